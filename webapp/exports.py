"""Conversations to take along: as Markdown, as JSON with every branch, all of a reader's in one zip file."""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, cast

from webapp.domain import Conversation, ConversationId, ListedConversation, Message, ReaderId, Role, Setup
from webapp.errors import ConversationNotFound
from webapp.languages import gettext as _
from webapp.stores import Catalog, Shelf, Store
from webapp.wire import Exported, ExportedMessage

FORMAT = "rill.conversation"
VERSION = 1
MAX_NAME_CHARS = 60
PAGE_SIZE = 100
AT_ONCE = 2
"""How many zip files are made at once, each on the disk and not in memory; the others wait."""


class Exports:
    """Writes conversations; methods raise `ConversationNotFound`, and `StoreUnavailable` when the database fails."""

    def __init__(self, store: Store, catalog: Catalog) -> None:
        self._store, self._catalog = store, catalog
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def json(self, owner: ReaderId, conversation_id: ConversationId) -> tuple[Conversation, str]:
        """Give a conversation, and all of it as JSON."""
        messages = await self._store.every_message(owner, conversation_id)
        conversation = await self._store.conversation(owner, conversation_id)
        # Of a running reply only the showing branch has the text so far.
        showing = {message.number: message for message in conversation.messages}
        every = {message.number: message for message in messages} | showing
        return conversation, as_json(conversation, [every[number] for number in sorted(every)])

    async def zip(self, owner: ReaderId) -> IO[bytes]:
        """Write each conversation as Markdown and as JSON into a temporary file, which is gone once it is closed."""
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
                    conversation, text = await self.json(owner, each.id)
                    await asyncio.to_thread(archive.writestr, file_name(each, "json"), text)
                    await asyncio.to_thread(archive.writestr, file_name(each, "md"), as_markdown(conversation))
            after = listed[-1].place


def file_name(conversation: Conversation | ListedConversation, suffix: str) -> str:
    """Name a file after a conversation: by its title, and by its id, because titles are not unique."""
    words = re.sub(r"[^\w]+", "-", conversation.title).strip("-")[:MAX_NAME_CHARS]
    return f"{words or 'conversation'}-{conversation.id[:6]}.{suffix}"


def as_markdown(conversation: Conversation) -> str:
    """Write the showing branch as people read it."""
    parts = [f"# {conversation.title}", *(_as_section(message) for message in conversation.messages)]
    return "\n\n".join(parts) + "\n"


def _as_section(message: Message) -> str:
    who = _("You") if message.role is Role.USER else message.measures.model or _("Reply")
    attached = "".join(f"- {attachment.name}\n" for attachment in message.attachments)
    return f"## {who}\n\n" + (f"{attached}\n" if attached else "") + message.text.strip("\n")


def as_json(conversation: Conversation, messages: Sequence[Message]) -> str:
    """Write a conversation as JSON (see `as_object`)."""
    return json.dumps(as_object(conversation, messages), ensure_ascii=False, indent=1)


def as_object(conversation: Conversation, messages: Sequence[Message]) -> Exported:
    """Give a conversation with its messages, each with its `parent`; `head` ends the showing branch.

    How an operator's assistant is set up is not the reader's to take along.
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
        "messages": [_message(message) for message in messages],
    }


def _message(message: Message) -> ExportedMessage:
    return cast("ExportedMessage", _fields(message))  # A test holds it to that: what is empty is left out by its value.


def _fields(message: Message) -> dict[str, object]:
    about: dict[str, object] = {
        "number": message.number,
        "parent": message.parent,
        "role": message.role.value,
        "text": message.text,
        "created_at": message.created_at.isoformat(),
    }
    if message.role is Role.USER:
        attached = [{"name": each.name, "kind": each.kind.value, "size": each.size} for each in message.attachments]
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
