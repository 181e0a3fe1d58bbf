"""What a page or a program sends as a prompt, whichever way it comes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeGuard

from webapp import errors
from webapp.domain import AssistantId, AttachmentId, ConversationId, RequestId
from webapp.languages import gettext as _
from webapp.pages import new_request_id
from webapp.setups import MAX_MODEL_CHARS
from webapp.stores.texts import request_key

MAX_REQUEST_ID_CHARS = 64
MAX_ASSISTANT_ID_CHARS = 64
MAX_ATTACHMENT_ID_CHARS = 64
ATTACHED = "attached-"
"""Before the id of an attachment, in the name of a field: forms over sockets keep only one of each name."""


@dataclass(frozen=True, slots=True)
class SentPrompt:
    """A prompt as it was sent. `edits` is the number of an earlier prompt that it is to stand beside.

    `model` is the name of the model that was chosen, `assistant` the id of the assistant that a conversation is to
    begin with, `attached` the ids of what waits for this prompt, and `written` all that came: a setup may be in it.
    """

    text: str
    request_id: RequestId
    edits: int | None = None
    model: str | None = None
    assistant: AssistantId | None = None
    attached: tuple[AttachmentId, ...] = ()
    written: Mapping[str, object] = field(default_factory=dict)

    def sending(self, conversation_id: ConversationId | None) -> str:
        """Name this sending of this prompt: sent again, it has the same name, and is stored once."""
        return f"{conversation_id or ''}:{request_key(self.request_id, self.text)}"


def read_prompt(fields: Mapping[str, object]) -> SentPrompt:
    """Read `prompt`, `request_id`, `edits`, `model`, `assistant` and `attachments`. Raises `BadRequest`.

    A program may leave the request id out; each of its prompts is then a new one.
    """
    text, edits = fields.get("prompt"), fields.get("edits")
    if not isinstance(text, str):
        raise errors.BadRequest(_('This message has no "prompt" text in it.'))
    request_id = _read_text(fields, "request_id")
    if len(request_id) > MAX_REQUEST_ID_CHARS:
        raise _unusable("request_id")
    return SentPrompt(
        text,
        RequestId(request_id) if request_id else new_request_id(),
        None if edits in (None, "") else read_number(fields, "edits"),
        read_model(fields),
        read_assistant_id(fields, "assistant"),
        _attached(fields),
        fields,
    )


def _attached(fields: Mapping[str, object]) -> tuple[AttachmentId, ...]:
    """Read the ids of attachments: a list of them, or fields whose names have them, as a page's form does."""
    listed = fields.get("attachments") or []
    if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
        raise _unusable("attachments")
    ids = [*listed, *(name.removeprefix(ATTACHED) for name in fields if name.startswith(ATTACHED))]
    return tuple(AttachmentId(each[:MAX_ATTACHMENT_ID_CHARS]) for each in ids)


def read_assistant_id(fields: Mapping[str, object], name: str) -> AssistantId | None:
    """Read the id of an assistant, if there is one. Raises `BadRequest`."""
    return AssistantId(_read_text(fields, name)[:MAX_ASSISTANT_ID_CHARS]) or None


def read_model(fields: Mapping[str, object]) -> str | None:
    """Read the name of a model, if one was chosen. Raises `BadRequest`."""
    return _read_text(fields, "model")[:MAX_MODEL_CHARS] or None


def _read_text(fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name) or ""
    if not isinstance(value, str):
        raise _unusable(name)
    return value


def _unusable(name: str) -> errors.BadRequest:
    return errors.BadRequest(_('The "%(name)s" of this request cannot be used.', name=name))


def read_number(fields: Mapping[str, object], name: str) -> int:
    """Read the number of a message. Raises `BadRequest`."""
    digits = str(fields.get(name, ""))
    if not is_number(digits):
        raise errors.BadRequest(_('This request has no "%(name)s" number in it.', name=name))
    return int(digits)


def is_number(value: object) -> TypeGuard[str]:
    """Tell whether something can be the number of a message, or a count of them."""
    return isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10
