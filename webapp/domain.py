"""The values that everything here speaks of: conversations, messages, chunks, fragments.

They know nothing of storage, of the web or of any model. All are frozen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, NewType

ReaderId = NewType("ReaderId", str)
"""Who owns a conversation: 32 hex digits, minted by the server, kept by the browser in a signed cookie."""

ConversationId = NewType("ConversationId", str)
"""A conversation's unguessable name in URLs: 22 URL-safe characters, 128 random bits."""

RequestId = NewType("RequestId", str)
"""Minted by the server into each composer, so that a prompt that arrives twice is stored once."""


class Role(StrEnum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


class TurnState(StrEnum):
    """Where the work on a reply stands; every state but `RUNNING` is final."""

    RUNNING = "running"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class FinishReason(StrEnum):
    """Why a model ended its reply; only this proves that the reply is whole."""

    STOP = "stop"
    LENGTH = "length"
    CONTENT_FILTER = "content_filter"


@dataclass(frozen=True, slots=True)
class Rendering:
    """A reply as HTML, and which version of the renderer made it; what another version made is made anew.

    `html` stands in a page as it is. While the reply is being written, it has the places in it where it goes on.
    """

    html: str
    version: str


@dataclass(frozen=True, slots=True)
class Message:
    """One role's content in a conversation.

    `number` is unique in its conversation and grows with time; `parent` is the number of the message before it on
    its branch, `None` for the first. A prompt has no `state`; a reply's `state` is that of its turn, and `cause` is
    the name of an error or finish reason that a sentence can be made of (see `webapp.errors.sentence`). A prompt has no
    `rendering`, and a reply may not have one yet: `webapp.replies` makes it.
    """

    number: int
    parent: int | None
    role: Role
    text: str
    created_at: datetime
    state: TurnState | None = None
    cause: str | None = None
    rendering: Rendering | None = None

    @property
    def is_running(self) -> bool:
        return self.state is TurnState.RUNNING


@dataclass(frozen=True, slots=True)
class Conversation:
    """An ordered tree of messages, with one branch of it showing.

    `messages` is the showing branch, oldest first; it is empty in listings, which carry titles only.
    """

    id: ConversationId
    owner: ReaderId
    title: str
    updated_at: datetime
    messages: tuple[Message, ...] = field(default=())

    @property
    def running(self) -> Message | None:
        """The reply that is being written, if any."""
        last = self.messages[-1] if self.messages else None
        return last if last is not None and last.is_running else None


@dataclass(frozen=True, slots=True)
class BegunTurn:
    """What the store answers to a prompt.

    `is_repeat` says that this very prompt was stored before, so that no second turn may start for it.
    """

    conversation: Conversation
    prompt: Message
    reply: Message
    is_repeat: bool


@dataclass(frozen=True, slots=True)
class TextChunk:
    """A piece of the reply as the provider sent it; not empty."""

    text: str


@dataclass(frozen=True, slots=True)
class FinishChunk:
    """The provider's word that the reply is whole, and why it ended."""

    reason: FinishReason


Chunk = TextChunk | FinishChunk


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a conversation's feed, ordered over the conversation's whole life.

    `turn` is the number of the reply that the turn writes, `index` counts that turn's fragments from 0. A turn's
    last fragment always has the index `END`, so that a position can be told from the store alone.
    """

    turn: int
    index: int

    END: ClassVar[int] = 2**31 - 1

    def __str__(self) -> str:
        return f"{self.turn}-{self.index}"

    @classmethod
    def parse(cls, text: str) -> Position | None:
        """Read what `str` wrote, as it comes back in `Last-Event-ID`; `None` for anything else."""
        turn, _, index = text.partition("-")
        if not (turn.isascii() and turn.isdigit() and index.isascii() and index.isdigit() and len(text) <= 24):
            return None
        return cls(int(turn), int(index))


class FragmentKind(StrEnum):
    """What a fragment tells: a turn began, its reply grew, it ended."""

    BEGAN = "began"
    PROGRESS = "progress"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Fragment:
    """HTML for the wire, made once per flush for all readers, with its place in the feed.

    `html` is one or more `<hx-partial>` elements, or nothing while all that came waits for more. `text` is the plain
    text that the reply grew by, for readers that want no HTML. `state` and `cause` are those of the turn once it has
    ended.
    """

    position: Position
    kind: FragmentKind
    html: str
    text: str = ""
    state: TurnState = TurnState.RUNNING
    cause: str | None = None


class ModelKind(StrEnum):
    """Where the answers come from."""

    ENDPOINT = "endpoint"
    DISCOVERED = "discovered"
    LOCAL_FILE = "local_file"
    BUILT_IN = "built_in"
    FUNCTION = "function"
    NONE = "none"


class ModelState(StrEnum):
    STARTING = "starting"
    READY = "ready"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Model:
    """What the page and the log say about the model that answers.

    `name` is the model's own name, `where` says who serves it ("Ollama on this machine"), `detail` is one sentence
    about a state that is not ready.
    """

    kind: ModelKind
    name: str
    where: str
    state: ModelState = ModelState.READY
    detail: str = ""
