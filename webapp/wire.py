"""What programs send and get, as types: the transports make these, and the machine-readable reference shows them.

Field names are those on the wire; a docstring is what the reference says of a shape. `__all__` has the shapes that it
shows by their names; the others are queries, which it shows field by field.
"""

from __future__ import annotations

from typing import Literal, Required

from typing_extensions import TypedDict

__all__ = [
    "Attached",
    "AttachedFile",
    "BegunVisit",
    "Chunk",
    "Done",
    "Dropped",
    "Event",
    "Exported",
    "ExportedFile",
    "ExportedMessage",
    "Failure",
    "FirstPrompt",
    "Health",
    "Imported",
    "ListChange",
    "MessageNumber",
    "Prompt",
    "Rating",
    "Readiness",
    "ReplyNumber",
    "Retry",
    "TutorialDone",
    "TutorialEvent",
    "TutorialFailure",
    "TutorialPrompt",
]


class Chunk(TypedDict):
    """The reply's Markdown goes on like this."""

    type: Literal["chunk"]
    content: str


class Done(TypedDict):
    """The reply is whole, was cut for a cause, or was stopped; this is the last line."""

    type: Literal["done"]
    state: Literal["finished", "stopped"]
    cause: str | None


class Failure(TypedDict):
    """What failed: a cause that stays the same with any version and language, and a sentence for people."""

    type: Literal["error"]
    cause: str
    message: str


class TutorialDone(TypedDict):
    """The reply has ended, as the tutorials say it."""

    type: Literal["done"]


class TutorialFailure(TypedDict):
    """What failed, as the tutorials say it."""

    type: Literal["error"]
    message: str


Event = Chunk | Done | Failure
"""A line of NDJSON."""
TutorialEvent = Chunk | TutorialDone | TutorialFailure


class TutorialPrompt(TypedDict):
    """A prompt, as the tutorials send it."""

    prompt: str


class Prompt(TypedDict, total=False):
    """A further prompt."""

    prompt: Required[str]
    request_id: str
    edits: int
    attachments: list[str]
    model: str


class FirstPrompt(Prompt, total=False):
    """A prompt that opens a conversation, and how that is answered."""

    assistant: str
    system_prompt: str
    temperature: float
    max_tokens: int


Retry = TypedDict("Retry", {"reply": int, "reply-by": str}, total=False)
Retry.__doc__ = "The number of a reply, or that with the model that is to answer instead."


class ReplyNumber(TypedDict):
    """The number of a reply."""

    reply: int


class MessageNumber(TypedDict):
    """The number of a message."""

    message: int


class Rating(TypedDict, total=False):
    """The number of a reply, under what is thought of it; `comment-{number}` may say why."""

    good: int
    bad: int
    unrate: int


COMMENT = "^comment-[0-9]+$"
"""The names of further fields of a `Rating`."""


class Dropped(TypedDict):
    """The id of an attachment."""

    drop: str


class ListChange(TypedDict, total=False):
    """The id of a conversation, under what is to be done to it."""

    rename: str
    title: str
    pin: str
    unpin: str
    archive: str
    unarchive: str
    delete: str
    restore: str


class PromptQuery(TypedDict, total=False):
    """With it the reply comes as NDJSON, whatever is accepted."""

    format: Literal["json"]


class ConversationQuery(TypedDict, total=False):
    """The number of a message, to have its text alone, or the id of an attachment, to have that."""

    raw: int
    attachment: str


class SearchQuery(TypedDict, total=False):
    """What to search for."""

    q: str


class VisitQuery(TypedDict, total=False):
    """A site's word of who its visitor is, or the token of a visit to go on with."""

    visitor: str
    visit: str


ExportQuery = TypedDict("ExportQuery", {"as": Literal["markdown", "html", "json"]})
"""The form that a conversation is wanted in."""


class BegunVisit(TypedDict):
    """A visit of an embed: its token, the address of its chat, and when it ends (ISO 8601)."""

    visit: str
    url: str
    ends_at: str


class Health(TypedDict):
    """The process answers."""

    status: Literal["alive"]


class Readiness(TypedDict, total=False):
    """Whether all is ready; and for each part that, or the cause why it is not."""

    status: Required[Literal["ready", "not ready"]]
    store: Required[str]
    model: Required[str]
    server: str


class AttachedFile(TypedDict):
    """A file that waits for the next prompt; its size is in bytes."""

    id: str
    name: str
    kind: str
    size: int


class Attached(TypedDict):
    """The files that were kept."""

    attachments: list[AttachedFile]


class Imported(TypedDict):
    """How many conversations came in."""

    imported: int


class FileContent(TypedDict, total=False):
    """Where the content of a file is: in `data`, as Base64, or in a zip file at the path `file`; or neither."""

    data: str
    file: str


class ExportedFile(FileContent):
    """What was attached to a message; its size is in bytes."""

    name: str
    kind: str
    size: int


class ExportedMessage(TypedDict, total=False):
    """A prompt, which may have attachments; or a reply, with its end."""

    number: Required[int]
    parent: Required[int | None]
    role: Required[Literal["user", "assistant"]]
    text: Required[str]
    created_at: Required[str]
    attachments: list[ExportedFile]
    state: str
    cause: str
    model: str
    reasoning: str
    rating: int
    comment: str


class Exported(TypedDict):
    """A conversation with the messages of all its branches; `head` ends the showing one."""

    format: str
    version: int
    id: str
    title: str
    updated_at: str
    system_prompt: str
    assistant: str | None
    model: str | None
    temperature: float | None
    max_tokens: int | None
    head: int | None
    messages: list[ExportedMessage]
