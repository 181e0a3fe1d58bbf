"""Files that readers attach to prompts: taken in, made safe and small, given to the model with the prompt.

An image becomes a JPEG without anything but its pixels, a PDF its text; text stays what it is. All else is refused.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath

import structlog

from webapp import errors
from webapp.attachments.reading import MOST_TEXT_CHARS, read_image, read_pdf
from webapp.domain import (
    Attachment,
    AttachmentId,
    AttachmentKind,
    Content,
    Conversation,
    ConversationId,
    ReaderId,
)
from webapp.stores import AttachmentStore
from webapp.text import clean, without_tags

log = structlog.get_logger()

MOST_WAITING = 8
"""How many files one prompt can have."""
MAX_NAME_CHARS = 120
WAITING_HOURS = 24
"""How long a file is kept that was attached and never sent."""
PURGE_SECONDS = 600.0
_IMAGE_BEGINNINGS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM")


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
        self, owner: ReaderId, conversation_id: ConversationId | None, name: str, data: bytes, *, are_images_seen: bool
    ) -> Attachment:
        """Read a file and keep it for the next prompt. Raises `AttachmentRefused` with the reason."""
        name = _shown_name(name)
        content = await _read(name, data, are_images_seen=are_images_seen)
        if not await self.store.add(owner, conversation_id, content, MOST_WAITING):
            raise errors.AttachmentRefused(f"A message can have {MOST_WAITING} attachments.")
        return content.attachment

    async def of(self, conversation: Conversation) -> Mapping[AttachmentId, Content]:
        """Read all that the showing branch of a conversation has, with what it is."""
        wanted = {each.id for message in conversation.messages for each in message.attachments}
        found = await self.store.contents(conversation.id, wanted) if wanted else ()
        return {content.attachment.id: content for content in found}

    async def _purge(self) -> None:
        while True:
            try:
                await self.store.purge_waiting(datetime.now(UTC) - timedelta(hours=WAITING_HOURS))
            except errors.StoreUnavailable as error:
                log.warning("attachments.not_purged", detail=error.detail)
            await asyncio.sleep(PURGE_SECONDS)


async def _read(name: str, data: bytes, *, are_images_seen: bool) -> Content:
    if not data:
        raise errors.AttachmentRefused(f"“{name}” is empty.")
    if data.startswith(b"%PDF-"):
        text = await read_pdf(name, data)
        return _content(name, AttachmentKind.TEXT, "application/pdf", text)
    if data.startswith(_IMAGE_BEGINNINGS) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP"):
        if not are_images_seen:
            raise errors.AttachmentRefused(f"“{name}” cannot be attached: the model here does not see images.")
        image, width, height = await read_image(name, data)
        return _content(name, AttachmentKind.IMAGE, "image/jpeg", image, width, height)
    return _content(name, AttachmentKind.TEXT, "text/plain", _text(name, data).encode())


def _text(name: str, data: bytes) -> str:
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise errors.AttachmentRefused(f"“{name}” cannot be attached: only images, PDFs and text can.")
    if len(text) > MOST_TEXT_CHARS:
        raise errors.AttachmentRefused(f"“{name}” has more than {MOST_TEXT_CHARS:,} characters of text.")
    return without_tags(clean(text))


def _content(name: str, kind: AttachmentKind, media_type: str, data: bytes, width: int = 0, height: int = 0) -> Content:
    attachment_id = AttachmentId(secrets.token_urlsafe(16))
    return Content(Attachment(attachment_id, name, kind, media_type, len(data), width, height), data)


def _shown_name(name: str) -> str:
    """Give the name of a file without its folders, on one line; what would not fit loses its middle."""
    name = " ".join(without_tags(clean(PurePosixPath(name.replace("\\", "/")).name)).split()) or "file"
    return name if len(name) <= MAX_NAME_CHARS else f"{name[:80]}…{name[-39:]}"


def as_text(contents: Sequence[Content]) -> str:
    """Write files of text as a model is told them, before the prompt that they were attached to."""
    return "".join(
        f'<file name="{content.attachment.name}">\n{content.data.decode("utf-8", "replace")}\n</file>\n\n'
        for content in contents
    )
