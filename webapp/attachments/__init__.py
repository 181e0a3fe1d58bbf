"""Files that readers attach to prompts: taken in, made safe and small, given to the model with the prompt.

An image becomes a JPEG without anything but its pixels, a PDF its text; text stays what it is. All else is refused.
"""

from __future__ import annotations

import asyncio
import codecs
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath

import structlog

from webapp import errors
from webapp.attachments.reading import MOST_TEXT_CHARS, read_image, read_pdf, refusal
from webapp.domain import (
    MOST_ATTACHMENTS,
    Attachment,
    AttachmentId,
    AttachmentKind,
    Content,
    Conversation,
    ConversationId,
    Message,
    ReaderId,
)
from webapp.languages import gettext as _
from webapp.stores import AttachmentStore
from webapp.text import clean, one_line, without_tags

log = structlog.get_logger()

MOST_TOLD_BYTES = 20_000_000
"""How much of a branch's attachments a model is told, the newest first: all of it goes with each request."""
MOST_TEXT_BYTES = 4 * MOST_TEXT_CHARS + 8
"""No character has more than four bytes: what is longer is not even read."""
MAX_NAME_CHARS = 120
WAITING_HOURS = 24
"""How long a file is kept that was attached and never sent."""
PURGE_SECONDS = 600.0
_IMAGE_BEGINNINGS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF87a", b"GIF89a")


class Attachments:
    """Takes in, gives and drops files; methods raise `StoreUnavailable` when the database fails."""

    def __init__(self, store: AttachmentStore) -> None:
        self.store = store
        self._purger: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to purge what was attached and never sent."""
        self._purger = asyncio.create_task(self._purge(), name="purge of attachments")

    async def close(self) -> None:
        if self._purger is not None:
            self._purger.cancel()
            await asyncio.wait([self._purger])

    async def take(
        self, owner: ReaderId, conversation_id: ConversationId | None, name: str, body: bytes, *, are_images_seen: bool
    ) -> Attachment:
        """Read a file and keep it for the next prompt. Raises `AttachmentRefused` with the reason."""
        content = await read_file(name, body, are_images_seen=are_images_seen)
        if not await self.store.add(owner, conversation_id, content, MOST_ATTACHMENTS):
            raise errors.AttachmentRefused(_("A message can have %(limit)s attachments.", limit=MOST_ATTACHMENTS))
        return content.attachment

    async def told(self, conversation: Conversation, *, are_images_seen: bool) -> Mapping[AttachmentId, Content]:
        """Read what a model is told of a showing branch's attachments, up to `MOST_TOLD_BYTES`.

        Raises `AttachmentsUnread` when the database fails.
        """
        attached = attachments_of(conversation.messages)
        told = [each for each in attached if are_images_seen or each.kind is AttachmentKind.TEXT]
        wanted = newest(told, MOST_TOLD_BYTES)
        if not wanted:
            return {}
        try:
            found = await self.store.contents(conversation.id, wanted)
        except errors.StoreUnavailable as error:
            raise errors.AttachmentsUnread(detail=error.detail) from error
        return {content.attachment.id: content for content in found}

    async def _purge(self) -> None:
        while True:
            try:
                await self.store.purge_waiting(datetime.now(UTC) - timedelta(hours=WAITING_HOURS))
            except errors.StoreUnavailable as error:
                log.warning("attachments.not_purged", detail=error.detail)
            await asyncio.sleep(PURGE_SECONDS)


def attachments_of(messages: Sequence[Message]) -> Sequence[Attachment]:
    """Give what messages have attached, in their order; edited prompts have some of it in common."""
    return [each for message in messages for each in message.attachments]


def newest(attached: Sequence[Attachment], most_bytes: int) -> set[AttachmentId]:
    """Choose among attachments the last ones, as many as fit."""
    chosen: set[AttachmentId] = set()
    for each in reversed(attached):
        if each.id not in chosen and each.size <= most_bytes:
            chosen.add(each.id)
            most_bytes -= each.size
    return chosen


async def read_file(name: str, body: bytes, *, are_images_seen: bool = True) -> Content:
    """Make of a file what is kept of it, whoever called it what. Raises `AttachmentRefused` with the reason."""
    name = _shown_name(name)
    if not body:
        raise errors.AttachmentRefused(_("“%(name)s” is empty.", name=name))
    if body.startswith(b"%PDF-"):
        text = without_tags(clean(await read_pdf(name, body)))
        return _content(name, AttachmentKind.TEXT, "application/pdf", text.encode())
    if _is_image(body):
        if not are_images_seen:
            raise errors.AttachmentRefused(
                _("“%(name)s” cannot be attached: the model here does not see images.", name=name)
            )
        image, width, height = await read_image(name, body)
        return _content(name, AttachmentKind.IMAGE, "image/jpeg", image, width, height)
    return _content(name, AttachmentKind.TEXT, "text/plain", _text(name, body).encode())


def _is_image(body: bytes) -> bool:
    is_bitmap = body[:2] == b"BM" and body[6:10] == b"\0\0\0\0"  # Text may begin with "BM", but has no NUL.
    is_webp = body[:4] == b"RIFF" and body[8:12] == b"WEBP"
    return is_bitmap or is_webp or body.startswith(_IMAGE_BEGINNINGS)


def _text(name: str, body: bytes) -> str:
    encoding = "utf-16" if body.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(body[:MOST_TEXT_BYTES], len(body) <= MOST_TEXT_BYTES)
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise errors.AttachmentRefused(_("“%(name)s” cannot be attached: only images, PDFs and text can.", name=name))
    if len(text) > MOST_TEXT_CHARS or len(body) > MOST_TEXT_BYTES:
        raise errors.AttachmentRefused(refusal("long", name))
    return without_tags(clean(text))


def _content(name: str, kind: AttachmentKind, media_type: str, body: bytes, width: int = 0, height: int = 0) -> Content:
    attachment_id = AttachmentId(secrets.token_urlsafe(16))
    return Content(Attachment(attachment_id, name, kind, media_type, len(body), width, height), body)


def _shown_name(name: str) -> str:
    """Give the name of a file without its folders, on one line; what would not fit loses its middle."""
    name = one_line(PurePosixPath(name.replace("\\", "/")).name) or "file"
    return name if len(name) <= MAX_NAME_CHARS else f"{name[:80]}…{name[-39:]}"


def as_text(contents: Sequence[Content]) -> str:
    """Write files of text as a model is told them, before the prompt that they were attached to."""
    return "".join(
        f'<file name="{content.attachment.name}">\n{content.body.decode("utf-8", "replace")}\n</file>\n\n'
        for content in contents
    )
