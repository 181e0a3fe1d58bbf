"""What a soak is going to do: readers, the replies they get and the faults they meet, all from one number.

A plan holds no times of the day and no ids of the server's, so that the same number gives the same plan. What the
machine makes of it (which of two requests wins) is left to the machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from signal import Signals

TOKEN = r"q\d+x\d+z"
"""A word that a model writes once and no other text contains, whole or not at all."""

FAULTS = {
    "cut": 10,
    "reset": 8,
    "freeze": 8,
    "freeze and cut": 6,
    "half-open socket": 5,
    "sockets refused": 5,
    "overlap": 10,
    "to events": 8,
    "to events anew": 5,
    "to socket": 8,
    "hidden tab": 8,
    "second tab": 7,
    "reload": 7,
    "load cut off": 4,
    "slow reading": 7,
    "abandoned socket": 4,
    "abandoned stream": 3,
    "streamed page": 6,
    "lines": 6,
    "events of a turn": 4,
    "prompt again": 8,
    "stop": 2,
    "try again": 6,
}
"""What happens to a reader, and how often in comparison."""

ENDS = {
    "stop": 50,
    "length": 5,
    "content_filter": 4,
    "cut": 5,
    "cut chunked": 4,
    "reset": 4,
    "malformed": 4,
    "error": 4,
    "error event": 3,
    "stall": 2,
    "endless": 1,
}
"""How a model's reply ends, and how often in comparison."""

ASKS = ("form", "page", "lines", "events")
"""The ways in which a first prompt can be sent; later ones go up the socket too."""

BUSY = (429, 500, 502, 503)
FAULTS_OF_A_STREAM = 10
HUGE_CHARS = 150_000
MAX_PIECES_IN_BYTES = 100
"""More would keep the machine busy with sending bytes."""
WRITING_SECONDS = 4.0
"""How long a reply may take that nothing holds up: a longer one would only make a soak longer."""
READERS_PER_ENDING = 30
"""One of so many readers has the server ended, by SIGKILL and by SIGTERM in turns."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that happens to a reader. `seconds` is how long it lasts, `tab` chooses whom it happens to."""

    kind: str
    seconds: float
    tab: float


@dataclass(frozen=True, slots=True, order=True)
class Ending:
    """An end of the server when a reader has met so many faults; it is started again at once."""

    step: int
    how: Signals

    def __str__(self) -> str:
        return f"{self.how.name}@{self.step}"

    @classmethod
    def read(cls, text: str) -> Ending:
        """Read what `str` gives. Raises `ValueError` and `KeyError`."""
        name, step = text.split("@")
        return cls(int(step), Signals[name])


@dataclass(frozen=True, slots=True)
class Writing:
    """How the model writes one reply. `refusals` are the statuses that it answers with before it begins.

    `pause_seconds` is the longest time between two pieces; with `is_in_bytes` each comes in segments of one byte.
    `thoughts` come before them.
    """

    refusals: tuple[int, ...]
    pieces: tuple[str, ...]
    pause_seconds: float
    is_in_bytes: bool
    end: str
    thoughts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """The life of one reader: a prompt or two, each asked in its way, and what happens meanwhile.

    The model knows the reader by the `name` in the prompts. With `edits`, the second prompt stands in the place of the
    first. `tries` is how often a reply that did not finish is tried again after all faults, and `switches` how often
    another branch is shown then. `endings` are in the order of their steps.
    """

    number: int
    name: str
    seed: str
    prompts: tuple[str, ...]
    asks: tuple[str, ...]
    is_asked_twice: bool
    edits: bool
    faults: tuple[Fault, ...]
    tries: int
    switches: int
    endings: tuple[Ending, ...]

    def fields(self, turn: int) -> dict[str, str]:
        """What is sent as the prompt of a turn, each time that it is sent."""
        request_id = f"{self.seed} {turn}".replace(" ", "-")
        edits = {"edits": "1"} if self.edits and turn else {}
        return {"prompt": self.prompts[turn], "request_id": request_id, **edits}

    def faults_of(self, turn: int) -> tuple[Fault, ...]:
        """Those that are met in a turn: with two turns, half of them in each."""
        each = len(self.faults) // len(self.prompts)
        return self.faults[turn * each : (turn + 1) * each]

    def writing(self, index: int) -> Writing:
        """How the model writes the reply of this reader's turn `index`, counted from 0."""
        return _writing(Random(f"{self.seed} {index}"), index)


def plan(seed: str, number: int, copy: int = 0) -> Plan:
    """Make the plan of reader `number`; copies do the same under other names."""
    own_seed = f"{seed} {number}"
    random = Random(own_seed)
    kinds = random.choices(list(FAULTS), list(FAULTS.values()), k=FAULTS_OF_A_STREAM)
    prompts = random.choice([1, 1, 1, 2])
    how = Signals.SIGTERM if number // READERS_PER_ENDING % 2 else Signals.SIGKILL
    ends_server = number % READERS_PER_ENDING == READERS_PER_ENDING // 2
    return Plan(
        number=number,
        name=f"{number}-{copy}",
        seed=own_seed,
        prompts=tuple(f"Prompt {turn} of reader {number}-{copy}: say it **all**" for turn in range(prompts)),
        asks=(random.choice(ASKS), random.choice([*ASKS, "socket", "socket"])),
        is_asked_twice=random.random() < 0.3,
        edits=random.random() < 0.3,
        faults=tuple(Fault(kind, random.uniform(0.02, 0.3), random.random()) for kind in kinds),
        tries=random.choice([0, 1, 2]),
        switches=random.choice([0, 1, 3]),
        endings=(Ending(random.randint(1, FAULTS_OF_A_STREAM), how),) if ends_server else (),
    )


def _writing(random: Random, index: int) -> Writing:
    end = random.choices(list(ENDS), list(ENDS.values()))[0]
    refusals = random.choices([0, 1, 2, 3], [88, 5, 4, 3])[0]
    is_huge = random.random() < 0.03
    text = _markdown(random, index, random.randint(3, 25))
    pieces = _cut(random, text)
    if is_huge:
        huge = f"\n\n{_Words(random, f'{index}9').take(HUGE_CHARS // 10)}\n\n"
        pieces.insert(random.randrange(len(pieces)), huge)
    return Writing(
        refusals=tuple(random.choice(BUSY) for _ in range(refusals)),
        pieces=tuple(pieces),
        pause_seconds=min(random.choice([0.0, 0.005, 0.02, 0.05]), 2 * WRITING_SECONDS / len(pieces)),
        is_in_bytes=len(pieces) < MAX_PIECES_IN_BYTES and not is_huge and random.random() < 0.15,
        end=end,
        thoughts=tuple(f"Thought {number} <of> it.\n" for number in range(random.choice([0, 0, 1, 5, 30]))),
    )


def _cut(random: Random, text: str) -> list[str]:
    longest = random.choice([3, 10, 40, 200])
    pieces, start = [], 0
    while start < len(text):
        end = start + random.randint(1, longest)
        pieces.append(text[start:end])
        start = end
    return pieces


class _Words:
    """Words that are all different, and each is written once."""

    def __init__(self, random: Random, prefix: str) -> None:
        self._random, self._prefix, self._count = random, prefix, 0

    def take(self, words: int) -> str:
        made = []
        for _ in range(words):
            made.append(f"q{self._prefix}x{self._count}z")
            self._count += 1
        return " ".join(made)

    def few(self) -> str:
        return self.take(self._random.randint(1, 8))


def _markdown(random: Random, index: int, blocks: int) -> str:
    words = _Words(random, str(index))
    return "\n\n".join(_block(random, words) for _ in range(blocks)) + random.choice(["", "\n", "\n\n"])


def _block(random: Random, words: _Words) -> str:
    match random.randrange(9):
        case 0:
            return f"{'#' * random.randint(1, 4)} {words.few()}"
        case 1:
            return "\n".join(f"- {words.few()} *{words.few()}*" for _ in range(random.randint(1, 4)))
        case 2:
            items = [f"{number}. {words.few()}\n   - `{words.few()}`" for number in range(1, random.randint(2, 4))]
            return "\n".join(items)
        case 3:
            language = random.choice(["python", "js", "", "no-such-language"])
            lines = [f"    return {words.few()} < 1 && '{words.few()}'" for _ in range(random.randint(1, 6))]
            return "\n".join([f"```{language}", "def told():", *lines, "```"])
        case 4:
            rows = [f"| {words.few()} | **{words.few()}** |" for _ in range(random.randint(1, 4))]
            return "\n".join([f"| {words.take(1)} | {words.take(1)} |", "| --- | ---: |", *rows])
        case 5:
            return f"> {words.few()} [{words.few()}](https://example.com/a?b=1&c=2) {words.few()}"
        case 6:
            return f"{words.few()} **{words.few()} _{words.few()}_** ~~{words.few()}~~ <b>{words.few()}</b> 🐙 &amp; ü"
        case 7:
            return f"{words.few()}\n{words.few()}  \n{words.few()} \\* \\_{words.few()}"
        case _:
            return words.take(random.randint(5, 60))
