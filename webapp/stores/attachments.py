"""Attachments in a SQL database: waiting for their prompt, then a conversation's."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from webapp.domain import MOST_ATTACHMENTS, Attachment, AttachmentId, AttachmentKind, Content, ConversationId, ReaderId
from webapp.errors import AttachmentNotFound, AttachmentRefused
from webapp.stores.database import Database, to_its_end
from webapp.stores.tables import attachments, messages

c = attachments.c
_waits = c.conversation_id.is_(None)


class SqlAttachments:
    """See `webapp.stores.AttachmentStore`."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @to_its_end
    async def add(self, owner: ReaderId, conversation_id: ConversationId | None, content: Content, most: int) -> bool:
        place = conversation_id or ""
        async with self.database.writing() as connection:
            count = select(func.count()).select_from(attachments).where(c.owner == owner, c.place == place, _waits)
            if (await connection.scalar(count) or 0) >= most:
                return False
            await keep_content(connection, owner, content, self.database.now(), place=place)
            return True

    @to_its_end
    async def waiting(self, owner: ReaderId, conversation_id: ConversationId | None) -> Sequence[Attachment]:
        query = select(c.about).where(c.owner == owner, c.place == (conversation_id or ""), _waits)
        async with self.database.reading() as connection:
            rows = await connection.execute(query.order_by(c.created_at, c.id))
            return [_as_attachment(json.loads(row.about)) for row in rows]

    @to_its_end
    async def drop(self, owner: ReaderId, attachment_id: AttachmentId) -> None:
        async with self.database.writing() as connection:
            await connection.execute(delete(attachments).where(c.owner == owner, c.id == attachment_id, _waits))

    @to_its_end
    async def content(self, owner: ReaderId, conversation_id: ConversationId, attachment_id: AttachmentId) -> Content:
        own = (c.owner == owner, c.conversation_id == conversation_id, c.id == attachment_id)
        async with self.database.reading() as connection:
            found = await _contents(connection, select(attachments).where(*own))
        if not found:
            raise AttachmentNotFound
        return found[0]

    @to_its_end
    async def contents(self, conversation_id: ConversationId, wanted: Collection[AttachmentId]) -> Sequence[Content]:
        own = select(attachments).where(c.conversation_id == conversation_id, c.id.in_(wanted))
        async with self.database.reading() as connection:
            return await _contents(connection, own)

    @to_its_end
    async def purge_waiting(self, before: datetime) -> int:
        async with self.database.writing() as connection:
            return (await connection.execute(delete(attachments).where(_waits, c.created_at < before))).rowcount


async def keep_content(
    connection: AsyncConnection,
    owner: ReaderId,
    content: Content,
    now: datetime,
    *,
    place: str = "",
    conversation_id: ConversationId | None = None,
) -> None:
    """Keep an attachment: in a place, where it waits, or as a part of a conversation."""
    values = {
        "id": content.attachment.id,
        "owner": owner,
        "place": place,
        "conversation_id": conversation_id,
        "about": json.dumps(asdict(content.attachment)),
        "body": content.body,
        "created_at": now,
    }
    await connection.execute(insert(attachments).values(values))


async def take_waiting(
    connection: AsyncConnection, owner: ReaderId, conversation_id: ConversationId, wanted: Sequence[AttachmentId]
) -> list[Attachment]:
    """Give attachments that waited to a conversation.

    Raises `AttachmentNotFound` unless all are there, and `AttachmentRefused` if they are too many for a message.
    """
    if not wanted:
        return []
    if len(set(wanted)) > MOST_ATTACHMENTS:
        raise AttachmentRefused(f"A message can have {MOST_ATTACHMENTS} attachments.")
    own = (c.owner == owner, c.id.in_(wanted), _waits)
    taken = await connection.execute(
        update(attachments).where(*own).values(conversation_id=conversation_id).returning(c.id, c.about)
    )
    found = {row.id: _as_attachment(json.loads(row.about)) for row in taken}
    if len(found) != len(set(wanted)):
        raise AttachmentNotFound
    return [found[each] for each in dict.fromkeys(wanted)]


async def drop_unused(connection: AsyncConnection, conversation_id: ConversationId) -> None:
    """Delete those of a conversation's attachments that no message has any more."""
    of = (messages.c.conversation_id == conversation_id, messages.c.attachments.is_not(None))
    used = [
        attachment.id
        for row in await connection.execute(select(messages.c.attachments).where(*of))
        for attachment in read_attachments(row.attachments)
    ]
    gone = (c.conversation_id == conversation_id, c.id.not_in(used))
    await connection.execute(delete(attachments).where(*gone))


def write_attachments(found: Sequence[Attachment]) -> str | None:
    """Write what a message's row keeps of its attachments."""
    return json.dumps([asdict(attachment) for attachment in found]) if found else None


def read_attachments(text: str | None) -> tuple[Attachment, ...]:
    return tuple(_as_attachment(about) for about in json.loads(text)) if text else ()


async def _contents(connection: AsyncConnection, query: Select[Any]) -> list[Content]:
    rows: Sequence[Row[Any]] = (await connection.execute(query)).all()
    return [Content(_as_attachment(json.loads(row.about)), row.body) for row in rows]


def _as_attachment(about: dict[str, Any]) -> Attachment:
    return Attachment(**{**about, "kind": AttachmentKind(about["kind"])})
