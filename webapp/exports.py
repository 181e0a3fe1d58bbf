"""Conversations to take along: as Markdown, as JSON with every branch, all of a reader's in one zip file."""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
import zipfile
from base64 import b64encode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO, cast

from webapp.attachments import attachments_of, newest
from webapp.domain import (
    Attachment,
    AttachmentId,
    AttachmentKind,
    Content,
    Conversation,
    ConversationId,
    ListedConversation,
    Message,
    ReaderId,
    Role,
    Setup,
)
from webapp.errors import ConversationNotFound
from webapp.languages import gettext as _
from webapp.stores import AttachmentStore, Catalog, Shelf, Store
from webapp.wire import Exported, ExportedMessage, FileContent

FORMAT = "rill.conversation"
VERSION = 1
MAX_NAME_CHARS = 60
PAGE_SIZE = 100
AT_ONCE = 2
"""How many zip files are made at once, each on the disk and not in memory; the others wait."""
MOST_CARRIED_BYTES = 12_000_000
"""How much of what is attached goes into the one file of a conversation, the newest first; a zip file has all of it."""


class Exports:
    """Writes conversations; methods raise `ConversationNotFound`, and `StoreUnavailable` when the database fails."""

    def __init__(self, store: Store, catalog: Catalog, attachments: AttachmentStore) -> None:
        self._store, self._catalog, self._attachments = store, catalog, attachments
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def json(self, owner: ReaderId, conversation_id: ConversationId) -> tuple[Conversation, str]:
        """Give a conversation, and all of it as JSON."""
        conversation, messages = await self._whole(owner, conversation_id)
        carried = await self.carried(conversation_id, messages)
        data = {name: FileContent(data=b64encode(each.body).decode()) for name, each in carried.items()}
        return conversation, as_json(conversation, messages, data)

    async def carried(
        self, conversation_id: ConversationId, messages: Sequence[Message]
    ) -> Mapping[AttachmentId, Content]:
        """Read what messages of a conversation have attached, as much of it as goes into one file."""
        wanted = newest(attachments_of(messages), MOST_CARRIED_BYTES)
        found = await self._attachments.contents(conversation_id, wanted) if wanted else ()
        return {each.attachment.id: each for each in found}

    async def _whole(self, owner: ReaderId, conversation_id: ConversationId) -> tuple[Conversation, Sequence[Message]]:
        messages = await self._store.every_message(owner, conversation_id)
        conversation = await self._store.conversation(owner, conversation_id)
        # Of a running reply only the showing branch has the text so far.
        showing = {message.number: message for message in conversation.messages}
        every = {message.number: message for message in messages} | showing
        return conversation, [every[number] for number in sorted(every)]

    async def zip(self, owner: ReaderId) -> IO[bytes]:
        """Write each conversation as Markdown and as JSON, and what is attached, into a temporary file.

        It is gone once it is closed.
        """
        async with self._slots:
            file = await asyncio.to_thread(tempfile.TemporaryFile)
            try:
                with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                    for shelf in Shelf:
                        await self._add_shelf(archive, owner, shelf)
            except BaseException:
                file.close()
                raise
            file.seek(0)
            return file

    async def _add_shelf(self, archive: zipfile.ZipFile, owner: ReaderId, shelf: Shelf) -> None:
        after = None
        while listed := await self._catalog.page(owner, shelf, PAGE_SIZE, after):
            for each in listed:
                with suppress(ConversationNotFound):  # It was deleted meanwhile.
                    await self._add(archive, each, *await self._whole(owner, each.id))
            after = listed[-1].place

    async def _add(
        self, archive: zipfile.ZipFile, listed: ListedConversation, whole: Conversation, messages: Sequence[Message]
    ) -> None:
        paths: dict[AttachmentId, str] = {}
        for attached in attachments_of(messages):
            if attached.id not in paths:
                # One at a time: all of them together may be more than memory should have in it.
                for content in await self._attachments.contents(whole.id, {attached.id}):
                    paths[attached.id] = f"{file_name(listed)}/{len(paths) + 1}-{_name_of(attached)}"
                    await asyncio.to_thread(archive.writestr, paths[attached.id], content.body)
        files = {name: FileContent(file=path) for name, path in paths.items()}
        await asyncio.to_thread(archive.writestr, file_name(listed, ".json"), as_json(whole, messages, files))
        await asyncio.to_thread(archive.writestr, file_name(listed, ".md"), as_markdown(whole, paths))


def file_name(conversation: Conversation | ListedConversation, suffix: str = "") -> str:
    """Name a file after a conversation: by its title, and by its id, because titles are not unique."""
    return f"{_words(conversation.title) or 'conversation'}-{conversation.id[:6]}{suffix}"


def _name_of(attached: Attachment) -> str:
    """Name the file of what was attached: an image is a JPEG by now, a PDF its text.

    What ends in `.json` is a conversation to whoever imports it.
    """
    name, _, ending = attached.name.rpartition(".")
    if attached.kind is AttachmentKind.IMAGE:
        ending = "jpg"
    elif not name or attached.media_type != "text/plain" or _words(ending).lower() in {"", "json"}:
        name, ending = attached.name, "txt"
    return f"{_words(name) or 'file'}.{_words(ending)}"


def _words(text: str) -> str:
    return re.sub(r"[^\w]+", "-", text).strip("-")[:MAX_NAME_CHARS].strip("-")


def as_data_url(content: Content) -> str:
    """Write an attachment as an address that has all of it in itself."""
    is_image = content.attachment.kind is AttachmentKind.IMAGE
    media_type = content.attachment.media_type if is_image else "text/plain;charset=utf-8"
    return f"data:{media_type};base64,{b64encode(content.body).decode()}"


def as_markdown(conversation: Conversation, paths: Mapping[AttachmentId, str] | None = None) -> str:
    """Write the showing branch as people read it; `paths` are those of files beside it, of what is attached."""
    parts = [f"# {conversation.title}", *(_as_section(message, paths or {}) for message in conversation.messages)]
    return "\n\n".join(parts) + "\n"


def _as_section(message: Message, paths: Mapping[AttachmentId, str]) -> str:
    who = _("You") if message.role is Role.USER else message.measures.model or _("Reply")
    attached = "".join(f"- {_as_link(each, paths.get(each.id))}\n" for each in message.attachments)
    return f"## {who}\n\n" + (f"{attached}\n" if attached else "") + message.text.strip("\n")


def _as_link(attached: Attachment, path: str | None) -> str:
    if path is None:
        return attached.name
    name = re.sub(r"([\\\[\]])", r"\\\1", attached.name)
    return f"{'!' if attached.kind is AttachmentKind.IMAGE else ''}[{name}](<{path}>)"


def as_json(conversation: Conversation, messages: Sequence[Message], files: Mapping[AttachmentId, FileContent]) -> str:
    """Write a conversation as JSON (see `as_object`)."""
    return json.dumps(as_object(conversation, messages, files), ensure_ascii=False, indent=1)


def as_object(
    conversation: Conversation,
    messages: Sequence[Message],
    files: Mapping[AttachmentId, FileContent] | None = None,
) -> Exported:
    """Give a conversation with its messages, each with its `parent`; `head` ends the showing branch.

    `files` tell where what is attached is. How an operator's assistant is set up is not the reader's to take along.
    """
    setup = Setup(assistant=conversation.setup.assistant) if conversation.setup.is_fixed else conversation.setup
    return {
        "format": FORMAT,
        "version": VERSION,
        "id": conversation.id,
        "title": conversation.title,
        "updated_at": conversation.updated_at.isoformat(),
        "system_prompt": setup.system_prompt,
        "assistant": setup.assistant,
        "model": setup.parameters.model,
        "temperature": setup.parameters.temperature,
        "max_tokens": setup.parameters.max_tokens,
        "head": conversation.messages[-1].number if conversation.messages else None,
        "messages": [_message(message, files or {}) for message in messages],
    }


def _message(message: Message, files: Mapping[AttachmentId, FileContent]) -> ExportedMessage:
    # A test holds it to that: what is empty is left out by its value.
    return cast("ExportedMessage", _fields(message, files))


def _fields(message: Message, files: Mapping[AttachmentId, FileContent]) -> dict[str, object]:
    about: dict[str, object] = {
        "number": message.number,
        "parent": message.parent,
        "role": message.role.value,
        "text": message.text,
        "created_at": message.created_at.isoformat(),
    }
    if message.role is Role.USER:
        attached = [
            {"name": each.name, "kind": each.kind.value, "size": each.size, **files.get(each.id, {})}
            for each in message.attachments
        ]
        return about | ({"attachments": attached} if attached else {})
    more = {
        "state": message.state.value if message.state else None,
        "cause": message.cause,
        "model": message.measures.model,
        "reasoning": message.reasoning,
        "rating": message.rating,
        "comment": message.comment,
    }
    return about | {name: value for name, value in more.items() if value not in (None, "")}
