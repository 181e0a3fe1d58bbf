"""What a soak says of itself: a line now and then, and a table at the end."""

from __future__ import annotations

import signal
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence

from tests.soak.engine import Outcome
from tests.soak.ground import Ground
from tests.soak.lives import Life
from tests.soak.plans import FAULTS

START_SECONDS = 3.0
"""How long the server may take to start again, on a machine that it has for itself."""
LONG_SECONDS = 45.0
"""Few lives take longer; what such a one waits for is said while it does."""


class Progress:
    """Prints a line every `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._begun = self._last = time.monotonic()

    def __call__(self, place: Ground, lives: Sequence[Life]) -> None:
        now = time.monotonic()
        if now - self._last < self._seconds:
            return
        self._last = now
        minutes, seconds = divmod(int(now - self._begun), 60)
        over = sum(life.is_over for life in lives)
        problems = sum(len(life.problems) for life in lives) + len(place.problems)
        print(
            f"{minutes:3}:{seconds:02}  streams: {over} over, {len(lives) - over} live; faults: {_faults(place)}; "
            f"restarts: {len(place.restarts)}; server: {place.weights[-1].own_bytes >> 20 if place.weights else 0} MB; "
            f"problems: {problems}",
            *_long_lives(lives),
            sep="\n         ",
            flush=True,
        )


def _long_lives(lives: Sequence[Life]) -> Iterator[str]:
    for life in lives:
        seconds = time.monotonic() - life.begun_at
        if not life.is_over and seconds > LONG_SECONDS:
            yield f"stream {life.plan.number} is there for {seconds:.0f} s, {life.stage}"


def table(outcome: Outcome) -> str:
    """Say in a few lines what was done and what it cost."""
    return "\n".join(f"{name:10} {said}" for name, said in _lines(outcome))


def _lines(outcome: Outcome) -> Iterator[tuple[str, str]]:
    place, lives, result = outcome.place, outcome.lives, outcome.result
    longest = max(lives, key=lambda life: life.seconds)
    lasted = statistics.median(life.seconds for life in lives)
    yield "streams", f"{len(lives)}, of {lasted:.1f} s (median) to {longest.seconds:.1f} s ({longest.plan.number})"
    states = ", ".join(f"{count} {state}" for state, count in result.states.most_common())
    yield "replies", f"{result.states.total()}: {states}"
    kinds = sorted(((place.counts[kind], kind) for kind in FAULTS), reverse=True)
    yield "faults", f"{_faults(place)}: " + ", ".join(f"{kind} {count}" for count, kind in kinds)
    others = sorted(kind for kind in place.counts if kind not in FAULTS)
    yield "actions", ", ".join(f"{kind} {place.counts[kind]}" for kind in others)
    ends = Counter(restart.how.name for restart in place.restarts)
    yield "restarts", ", ".join(f"{count} by {name}" for name, count in ends.items())
    starts = sorted(restart.start_seconds for restart in place.restarts)
    late = sum(seconds > START_SECONDS for seconds in starts)
    yield "starts", f"{statistics.median(starts):.2f} s (median) to {starts[-1]:.2f} s; {late} over {START_SECONDS:g} s"
    drained = [restart.end_seconds for restart in place.restarts if restart.how is signal.SIGTERM]
    yield "drains", f"up to {max(drained):.2f} s"
    losses = result.losses
    lost = f"by SIGKILL, {losses.kills} replies lost {losses.seconds:.2f} s or {losses.chars} characters at most"
    yield "losses", f"{lost}, while prompts took up to {losses.wait_seconds:.2f} s to be stored"
    if place.weights:
        memory = max(weight.own_bytes for weight in place.weights) >> 20
        yield "server", f"{memory} MB and {max(weight.files for weight in place.weights)} open files at most"


def _faults(place: Ground) -> int:
    return sum(place.counts[kind] for kind in FAULTS)
