"""The values that everything here speaks of: conversations, messages, chunks, fragments.

They know nothing of storage, of the web or of any model. All are frozen.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import ClassVar, NewType

ReaderId = NewType("ReaderId", str)
"""Who owns a conversation: 32 hex digits, minted by the server, kept by the browser in a signed cookie.

A program with a key is `key:` and the key's id.
"""

ConversationId = NewType("ConversationId", str)
"""A conversation's unguessable name in URLs: 22 URL-safe characters, 128 random bits."""

AssistantId = NewType("AssistantId", str)
"""An assistant's name in URLs: letters, digits, `-` and `_`."""

AttachmentId = NewType("AttachmentId", str)
"""An attachment's unguessable name in URLs: 22 URL-safe characters, 128 random bits."""

ShareToken = NewType("ShareToken", str)
"""What a link has to a conversation that is shared; who knows it may read."""

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
class Measures:
    """What a reply took: the model's name, seconds until its first word or thought and until its end, and tokens.

    `None` is what is not known; seconds are rounded to tenths.
    """

    model: str = ""
    first_seconds: float | None = None
    seconds: float | None = None
    prompt_tokens: int | None = None
    reply_tokens: int | None = None


MAX_COMMENT_CHARS = 2_000
"""Of what a reader says of a reply."""
MOST_ATTACHMENTS = 8
"""How many a prompt can have."""


class AttachmentKind(StrEnum):
    """What a model is given: an image, or text (also that of a PDF)."""

    IMAGE = "image"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Attachment:
    """What a reader attached to a prompt, without its content. `size` is the content's as it is kept, in bytes."""

    id: AttachmentId
    name: str
    kind: AttachmentKind
    media_type: str
    size: int
    width: int = 0
    height: int = 0


@dataclass(frozen=True, slots=True)
class Content:
    """An attachment with what it is: an image's bytes, or text as UTF-8."""

    attachment: Attachment
    body: bytes


@dataclass(frozen=True, slots=True)
class Message:
    """One role's content in a conversation.

    `number` is unique in its conversation and grows with time; `parent` is the number of the message before it on
    its branch, `None` for the first. A prompt has no `state`; a reply's `state` is that of its turn, and `cause` is
    the name of an error or finish reason that a sentence can be made of (see `webapp.errors.sentence`). A prompt has no
    `rendering`, and a reply may not have one yet: `webapp.replies` makes it. `siblings` are the numbers of all messages
    with this one's parent, itself among them, oldest first: other replies to one prompt, or other prompts in one place.
    `is_saved` is false for a reply that has ended but could not be stored yet. `reasoning` is what the model thought
    before it answered. `rating` is what the reader thinks of a reply, 1 or -1, with a `comment`. Only prompts have
    `attachments`.
    """

    number: int
    parent: int | None
    role: Role
    text: str
    created_at: datetime
    state: TurnState | None = None
    cause: str | None = None
    rendering: Rendering | None = None
    siblings: tuple[int, ...] = ()
    is_saved: bool = True
    reasoning: str = ""
    measures: Measures = Measures()
    rating: int | None = None
    comment: str = ""
    attachments: tuple[Attachment, ...] = ()

    @property
    def is_thinking(self) -> bool:
        return self.is_running and bool(self.reasoning) and not self.text

    @property
    def is_running(self) -> bool:
        return self.state is TurnState.RUNNING


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a model is asked with besides messages; `None` leaves it to the model's service.

    `model` is the name of one of those offered, `temperature` goes from 0 (the likeliest words) to 2, `max_tokens` is
    the longest reply.
    """

    model: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Setup:
    """How a conversation is to be answered: what the model is told before it, what it is asked with, and as whom.

    `assistant` is the icon and the name of the assistant that it began with, if it did; `is_fixed` says that it was the
    operator's, so that the reader neither sees what the model is told nor changes it.
    """

    system_prompt: str = ""
    parameters: Parameters = Parameters()
    assistant: str = ""
    is_fixed: bool = False


@dataclass(frozen=True, slots=True)
class Assistant:
    """A setup to begin conversations with, under a name. Conversations keep it as it was when they began.

    `id` is its name in URLs, `starters` are first prompts that the page offers; `is_own` says that the reader made it.
    """

    id: AssistantId
    name: str
    icon: str = ""
    system_prompt: str = ""
    parameters: Parameters = Parameters()
    starters: tuple[str, ...] = ()
    is_own: bool = False

    @property
    def label(self) -> str:
        return f"{self.icon} {self.name}".strip()

    @property
    def setup(self) -> Setup:
        return Setup(self.system_prompt, self.parameters, self.label, is_fixed=not self.is_own)


@dataclass(frozen=True, slots=True)
class Window:
    """How much of a branch is wanted: its last `least` messages and all after number `since`, of those before `before`.

    With `least` of `None`, all of those.
    """

    least: int | None = None
    since: int | None = None
    before: int | None = None

    def of(self, branch: Sequence[int]) -> slice:
        """Say where to cut the numbers of a branch, which grow along it."""
        end = len(branch) if self.before is None else bisect_left(branch, self.before)
        start = 0 if self.least is None else max(0, end - self.least)
        if self.since is not None:
            start = min(start, bisect_right(branch, self.since))
        return slice(start, end)


WHOLE = Window()
NOTHING = Window(least=0)
"""For whoever only asks whether a conversation is there, and what it is called."""
PAGE_OF_MESSAGES = 40
"""How many messages a page begins with, and gets at once as it is scrolled up: more than any screen shows."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """An ordered tree of messages, with one branch of it showing.

    `messages` is the showing branch, oldest first, or what a window shows of it: `earlier` is how many of the branch
    stand before. `switches` counts how often another branch was shown; `last_number` is the highest number of any
    message on any branch. The setup's model is the one that was chosen last, if any was.
    """

    id: ConversationId
    owner: ReaderId
    title: str
    updated_at: datetime
    messages: tuple[Message, ...] = field(default=())
    earlier: int = 0
    switches: int = 0
    last_number: int = 0
    is_pinned: bool = False
    is_archived: bool = False
    setup: Setup = Setup()

    @property
    def running(self) -> Message | None:
        """The reply that is being written, if any."""
        last = self.messages[-1] if self.messages else None
        return last if last is not None and last.is_running else None

    @property
    def listed(self) -> ListedConversation:
        """The conversation as a list shows it."""
        shown = (self.id, self.owner, self.title, self.updated_at)
        return ListedConversation(*shown, self.running is not None, self.is_pinned, self.is_archived)


@dataclass(frozen=True, slots=True)
class Share:
    """A conversation that anybody who has the token may read, as it was at a moment, with the title that it had."""

    token: ShareToken
    conversation_id: ConversationId
    title: str
    shared_at: datetime


class KeyScope(StrEnum):
    """What a program may do with its key: all that a reader does, or only read."""

    ASK = "ask"
    READ = "read"


KEY_READER = "key:"
"""What the ids of readers begin with that are programs with keys."""


@dataclass(frozen=True, slots=True)
class ProgramKey:
    """What is known of a program's key: all but the key itself, which the program alone has.

    `last_used_at` is at most a minute behind.
    """

    id: str
    name: str
    scopes: frozenset[KeyScope]
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None

    @property
    def reader(self) -> ReaderId:
        """Who the program is."""
        return ReaderId(f"{KEY_READER}{self.id}")


@dataclass(frozen=True, slots=True)
class Visitor:
    """A reader whom another site has introduced: always by the same `subject`, with what the model may know of them."""

    subject: str
    name: str = ""
    context: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """Something that is to be told to an embed's operator, as JSON; `attempts` is how often that was tried."""

    id: str
    embed: str
    body: str
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class ImportedConversation:
    """A conversation that was held elsewhere. `head` is the number of a message on the branch to show.

    The same conversation has the same `source_key` each time that it is brought along. `contents` is what its messages
    have attached.
    """

    source_key: str
    title: str
    updated_at: datetime
    setup: Setup
    messages: tuple[Message, ...]
    head: int
    contents: tuple[Content, ...] = ()


@dataclass(frozen=True, slots=True)
class ListedConversation:
    """A conversation as a list shows it. `is_running` says that a reply to it is being written."""

    id: ConversationId
    owner: ReaderId
    title: str
    updated_at: datetime
    is_running: bool = False
    is_pinned: bool = False
    is_archived: bool = False
    is_deleted: bool = False

    @property
    def place(self) -> Place:
        return Place(self.updated_at, self.id)


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a conversation stands in a list that is ordered by time, so that the list can go on after it."""

    updated_at: datetime
    id: ConversationId

    def __str__(self) -> str:
        return f"{self.updated_at.astimezone(UTC):%Y%m%dT%H%M%S%f}-{self.id}"

    @classmethod
    def parse(cls, text: str) -> Place | None:
        """Read what `str` wrote, as it comes back in a URL; `None` for anything else."""
        moment, _, conversation_id = text.partition("-")
        if not (moment.isascii() and conversation_id):
            return None
        try:
            updated_at = datetime.strptime(moment, "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC)
        except ValueError:
            return None
        return cls(updated_at, ConversationId(conversation_id))


@dataclass(frozen=True, slots=True)
class Hit:
    """A conversation that a search found.

    `number` is that of the newest message that has what was searched for, 0 if only the title does; `text` is that
    message's.
    """

    listed: ListedConversation
    number: int
    text: str


class ListChange(StrEnum):
    """What happened to a reader's list: a conversation came to its top, changed where it is, or moved elsewhere."""

    CAME = "came"
    CHANGED = "changed"
    MOVED = "moved"


@dataclass(frozen=True, slots=True)
class ListNews:
    """A change of a reader's list, and the conversation as it is after it."""

    change: ListChange
    listed: ListedConversation


@dataclass(frozen=True, slots=True)
class Listing:
    """The beginning of a reader's list: what is pinned, and the latest of the rest.

    `goes_on` says that there is more of the rest. `version` is another one after each change of the list.
    """

    pinned: tuple[ListedConversation, ...] = ()
    recent: tuple[ListedConversation, ...] = ()
    goes_on: bool = False
    version: int = 0


@dataclass(frozen=True, slots=True)
class BegunTurn:
    """What the store answers to a prompt.

    `is_repeat` says that this very prompt was stored before, so that no second turn may start for it. `replaced` is the
    reply that was the last of the branch and whose place the new one takes; `is_switch` says that more than that
    changed, because the turn stands on a new branch.
    """

    conversation: Conversation
    prompt: Message
    reply: Message
    is_repeat: bool
    replaced: Message | None = None
    is_switch: bool = False


@dataclass(frozen=True, slots=True)
class RatedReply:
    """A reply that its reader rated, with the prompt that it answers."""

    conversation_id: ConversationId
    reply: Message
    prompt: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a running reply grew by since its last checkpoint: `text` begins at character `start` of the reply.

    With no text it only says that the turn is alive.
    """

    conversation_id: ConversationId
    number: int
    start: int
    text: str


@dataclass(frozen=True, slots=True)
class TextChunk:
    """A piece of the reply as the provider sent it; not empty."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningChunk:
    """A piece of what the model thinks, which is not part of its reply; not empty."""

    text: str


@dataclass(frozen=True, slots=True)
class UsageChunk:
    """How many tokens a request took, as the model counts them."""

    prompt_tokens: int | None
    reply_tokens: int | None


@dataclass(frozen=True, slots=True)
class FinishChunk:
    """The provider's word that the reply is whole, and why it ended."""

    reason: FinishReason


@dataclass(frozen=True, slots=True)
class WaitChunk:
    """The provider's word that it will ask again in some seconds, because the model could not begin (`cause`)."""

    cause: str
    seconds: float


Chunk = TextChunk | ReasoningChunk | UsageChunk | FinishChunk | WaitChunk


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a conversation's feed, ordered over the conversation's whole life.

    `turn` is the number of the reply that the turn writes, `index` counts that turn's fragments from 0. A turn's
    last fragment always has the index `END`, so that a position can be told from the store alone. Showing another
    branch comes after that, at `END` plus the conversation's count of switches.
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
    """What a fragment tells: a turn began, its reply grew, it ended; or that another branch shows.

    `UNSAVED` is an end that could not be stored yet; `ENDED` follows once it is.
    """

    BEGAN = "began"
    PROGRESS = "progress"
    UNSAVED = "unsaved"
    ENDED = "ended"
    SWITCHED = "switched"


@dataclass(frozen=True, slots=True)
class Fragment:
    """HTML for the wire, made once per flush for all readers, with its place in the feed.

    `html` is one or more `<hx-partial>` elements, or nothing while all that came waits for more. `text` is the plain
    text that the reply grew by, for readers that want no HTML. `state` and `cause` are those of the turn once it has
    ended. With `needs_snapshot`, what has to be changed depends on the page, so that a snapshot is sent in its place.
    """

    position: Position
    kind: FragmentKind
    html: str
    text: str = ""
    state: TurnState = TurnState.RUNNING
    cause: str | None = None
    needs_snapshot: bool = False

    @property
    def is_end(self) -> bool:
        """Whether the reply is whole with this fragment, stored or not."""
        return self.kind in {FragmentKind.ENDED, FragmentKind.UNSAVED}


class ModelKind(StrEnum):
    """Where the answers come from."""

    ENDPOINT = "endpoint"
    DISCOVERED = "discovered"
    LOCAL_FILE = "local_file"
    BUILT_IN = "built_in"
    FUNCTION = "function"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class ModelOption:
    """A model that readers may choose: its own name, and the one that they see."""

    name: str
    label: str


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

    @property
    def shown_name(self) -> str:
        """The name to put below a reply; a function's own is no reader's business."""
        return "" if self.kind is ModelKind.FUNCTION else self.name
