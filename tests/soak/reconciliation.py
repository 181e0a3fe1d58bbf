"""The outcome of a soak: what the model sent against the store, and the store against what every reader has."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tests.soak.ground import MAX_REPLY_CHARS, SILENCE_SECONDS, Ground
from tests.soak.lives import Life, Told, tokens
from tests.soak.losses import Losses
from tests.soak.model import Sent

SERVER_ASKS = 3
NOT_BEGUN = ("refused", "reset", "left")


@dataclass(frozen=True, slots=True)
class Stored:
    """A message as it stands in the store."""

    number: int
    parent: int | None
    role: str
    text: str
    state: str | None
    cause: str | None
    created_at: float

    @property
    def is_reply(self) -> bool:
        return self.role == "assistant"


@dataclass(frozen=True)
class Reconciliation:
    """What a soak's replies came to; problems are the lives' own, or the ground's."""

    losses: Losses
    states: Counter[str]


def reconcile(ground: Ground, lives: Sequence[Life]) -> Reconciliation:
    """Compare all; what differs is added to the lives' problems, or to the ground's if it is nobody's."""
    stored = _messages(ground)
    losses = Losses(ground.restarts, lives)
    states = Counter(str(message.state) for found in stored.values() for message in found if message.is_reply)
    for life in lives:
        own = stored.pop(life.path.removeprefix("/c/"), [])
        if life.path:
            life.problems += _Comparison(life, own, losses).problems()
    if stored:
        ground.problems.append(f"{len(stored)} conversations are nobody's: {sorted(stored)[:3]}")
    if left := ground.rows("SELECT count(*) FROM checkpoints")[0][0]:
        ground.problems.append(f"{left} checkpoints of replies that have ended are left in the store")
    ground.problems += [f"the model was asked for nobody: {body}" for body in ground.model.strange]
    return Reconciliation(losses, states)


def _messages(ground: Ground) -> dict[str, list[Stored]]:
    found: dict[str, list[Stored]] = defaultdict(list)
    columns = "conversation_id, number, parent, role, text, state, cause, created_at"
    rows = ground.rows(f"SELECT {columns} FROM messages ORDER BY conversation_id, number")
    for conversation_id, number, parent, role, text, state, cause, created_at in rows:
        moment = datetime.fromisoformat(created_at).replace(tzinfo=UTC).timestamp()
        found[conversation_id].append(Stored(number, parent, role, text, state, cause, moment))
    return found


class _Comparison:
    def __init__(self, life: Life, stored: list[Stored], losses: Losses) -> None:
        self._life, self._losses = life, losses
        self._prompts = [message for message in stored if not message.is_reply]
        self._replies = [message for message in stored if message.is_reply]
        self._sent = sorted(life.pen.sent, key=lambda sent: sent.at)

    def problems(self) -> Iterator[str]:
        if (texts := [prompt.text for prompt in self._prompts]) != self._life.acknowledged:
            yield f"prompts stored: {texts}, acknowledged: {self._life.acknowledged}"
        asked = self._asked()
        if asked.pop(None, None):
            yield "the model was asked before there was a reply to write"
        for reply in self._replies:
            for problem in self._of_reply(reply, asked[reply.number]):
                yield f"reply {reply.number} ({reply.state}, {reply.cause}): {problem}"
        for told in self._life.told:
            yield from (f"{told.how}: {problem}" for problem in self._of_told(told))

    def _asked(self) -> dict[int | None, list[Sent]]:
        """Say for which reply the model was asked each time: the one that began last before."""
        asked: dict[int | None, list[Sent]] = defaultdict(list)
        for sent in self._sent:
            begun = [reply.number for reply in self._replies if reply.created_at <= sent.at]
            asked[max(begun, default=None)].append(sent)
        return asked

    def _of_reply(self, reply: Stored, asked: list[Sent]) -> Iterator[str]:
        *before, last = asked or [Sent(reply.created_at, end="not asked")]
        if any(sent.end not in NOT_BEGUN or (sent.end == "left" and sent.text) for sent in before):
            yield f"the model was asked {len(asked)} times: {[(sent.status, sent.end) for sent in asked]}"
        if len(asked) > SERVER_ASKS:
            yield f"the model was asked {len(asked)} times"
        yield from self._of_text(reply, last)
        shown = self._life.replies.get(reply.number)
        # Where a reply was cut, what goes on from it may stand inside of a link's address or a fence's info string.
        if shown is not None and not last.continues and tokens(shown) != tokens(reply.text):
            yield f"a fresh page shows {_outline(tokens(shown))}, stored is {_outline(tokens(reply.text))}"

    def _of_text(self, reply: Stored, sent: Sent) -> Iterator[str]:
        whole = (sent.continues + sent.text)[:MAX_REPLY_CHARS]
        is_silent = sent.longest_silence > SILENCE_SECONDS * 0.75
        match reply.state, reply.cause:
            case "finished", None | "length" | "content_filter":
                if sent.end != (reply.cause or "stop"):
                    yield f"the model ended with {sent.end}"
                yield from _same(reply.text, whole)
            case "finished", "too_large":
                yield from _same(reply.text, whole)
                if len(reply.text) != MAX_REPLY_CHARS:
                    yield f"it has {len(reply.text)} characters"
            case "failed", "too_many_requests" | "endpoint_failed" if sent.end == "refused":
                yield from _same(reply.text, whole)
            case "failed", "endpoint_failed":
                if sent.end not in {"error", "error event"}:
                    yield f"the model ended with {sent.end}"
                yield from _same(reply.text, whole)
            case "failed", "broken_reply" if sent.end in {"cut", "cut chunked", "malformed"}:
                yield from _same(reply.text, whole)
            case "failed", "broken_reply" | "endpoint_unreachable" if sent.end == "reset":
                yield from _begins(reply.text, whole)  # A reset takes what is on its way with it.
            case "failed", "endpoint_silent" if sent.end == "stall":
                yield from _same(reply.text, whole)
            case "failed", "endpoint_silent" if is_silent:
                yield from _begins(reply.text, whole)
            case "stopped", None:
                yield from self._of_part(reply, sent, whole)
            case "interrupted", "interrupted":
                yield from self._of_part(reply, sent, whole)
                yield from self._losses.judge(reply.text, reply.created_at, sent)
            case _:
                yield f"the model ended with {sent.end}"

    def _of_part(self, reply: Stored, sent: Sent, whole: str) -> Iterator[str]:
        if sent.end != "not asked":
            yield from _begins(reply.text, whole)
        elif reply.text and not any(other.text == reply.text for other in self._replies if other is not reply):
            yield f"it has a text though the model was not asked: {reply.text[:100]!r}"

    def _of_told(self, told: Told) -> Iterator[str]:
        reply = next((reply for reply in self._replies if reply.number == told.number), None)
        if reply is None:
            if told.is_whole and told.number is not None:
                yield f"it told of a reply {told.number} that is not in the store"
            return
        if told.is_whole and told.how == "lines" and told.state == "stopped" and not told.text:
            return  # Another reply had taken its place.
        if told.is_exact and told.is_whole:
            yield from _same(told.text, reply.text)
            if told.state not in {reply.state, reply.cause}:
                yield f"it ended with {told.state}, stored is {reply.state} ({reply.cause})"
        elif told.is_exact:
            # A reply that was cut off may have been told further than the last checkpoint before a kill.
            yield from _begins(min(told.text, reply.text, key=len), max(told.text, reply.text, key=len))
        elif told.is_whole:
            if tokens(told.text) != tokens(reply.text) and not self._continues(reply):
                yield f"it showed {_outline(tokens(told.text))}, stored is {_outline(tokens(reply.text))}"
            if told.state != reply.state:
                yield f"it ended with {told.state}, stored is {reply.state}"

    def _continues(self, reply: Stored) -> bool:
        return any(sent.continues for sent in self._asked()[reply.number])


def _same(text: str, whole: str) -> Iterator[str]:
    if text != whole:
        at = next((at for at, pair in enumerate(zip(text, whole, strict=False)) if pair[0] != pair[1]), None)
        at = min(len(text), len(whole)) if at is None else at
        yield (
            f"{len(text)} characters where {len(whole)} were sent; they part at {at}: "
            f"{text[max(0, at - 20) : at + 40]!r}, sent {whole[max(0, at - 20) : at + 40]!r}"
        )


def _begins(text: str, whole: str) -> Iterator[str]:
    """Hold a text to be the beginning of what was sent."""
    yield from _same(text, whole[: len(text)])


def _outline(words: list[str]) -> str:
    return f"{len(words)} words ({' '.join(words[:2])} … {' '.join(words[-2:])})"
