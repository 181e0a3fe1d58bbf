"""What readers keep beside conversations, in a SQL database: assistants of their own, and drafts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Row, and_, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from webapp.domain import Assistant, AssistantId, ConversationId, Parameters, ReaderId, RequestId
from webapp.stores.database import Database, insert_or, to_its_end
from webapp.stores.tables import assistants, conversations, drafts


class SqlWorkshop:
    """See `webapp.stores.Workshop`."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @to_its_end
    async def assistants(self, owner: ReaderId) -> Sequence[Assistant]:
        own = select(assistants).where(assistants.c.owner == owner).order_by(assistants.c.created_at, assistants.c.id)
        async with self.database.reading() as connection:
            return [_as_assistant(row) for row in await connection.execute(own)]

    @to_its_end
    async def keep_assistant(self, owner: ReaderId, assistant: Assistant, most: int) -> bool:
        values = {"name": assistant.name, "icon": assistant.icon, "system_prompt": assistant.system_prompt}
        values |= {**asdict(assistant.parameters), "starters": "\n".join(assistant.starters)}
        own = (assistants.c.owner == owner, assistants.c.id == assistant.id)
        async with self.database.writing() as connection:
            if (await connection.execute(update(assistants).where(*own).values(**values))).rowcount:
                return True
            count = select(func.count()).select_from(assistants).where(assistants.c.owner == owner)
            if (await connection.scalar(count) or 0) >= most:
                return False
            new = {"id": assistant.id, "owner": owner, "created_at": self.database.now(), **values}
            await connection.execute(insert_or(assistants, connection).values(**new).on_conflict_do_nothing())
            return True

    @to_its_end
    async def drop_assistant(self, owner: ReaderId, assistant_id: AssistantId) -> None:
        async with self.database.writing() as connection:
            own = (assistants.c.owner == owner, assistants.c.id == assistant_id)
            await connection.execute(delete(assistants).where(*own))

    @to_its_end
    async def draft(self, owner: ReaderId, conversation_id: ConversationId | None) -> str:
        kept = select(drafts.c.text).where(drafts.c.owner == owner, drafts.c.place == _place(conversation_id))
        async with self.database.reading() as connection:
            return await connection.scalar(kept) or ""

    @to_its_end
    async def keep_draft(
        self, owner: ReaderId, conversation_id: ConversationId | None, text: str, request_id: RequestId
    ) -> None:
        values = {"owner": owner, "place": _place(conversation_id), "text": text, "updated_at": self.database.now()}
        async with self.database.writing() as connection:
            new = insert_or(drafts, connection).values(**values, sent="")
            kept = {"text": new.excluded.text, "updated_at": new.excluded.updated_at}
            own, unsent = [drafts.c.owner, drafts.c.place], drafts.c.sent != request_id
            await connection.execute(new.on_conflict_do_update(index_elements=own, set_=kept, where=unsent))

    @to_its_end
    async def purge_drafts(self, before: datetime) -> int:
        is_lost = and_(
            drafts.c.place != "", ~select(conversations.c.id).where(conversations.c.id == drafts.c.place).exists()
        )
        async with self.database.writing() as connection:
            return (await connection.execute(delete(drafts).where(or_(drafts.c.updated_at < before, is_lost)))).rowcount


async def end_draft(
    connection: AsyncConnection,
    owner: ReaderId,
    conversation_id: ConversationId | None,
    request_id: RequestId,
    now: datetime,
) -> None:
    """Keep nothing any more of what was written in the composer of a request id, because it is a prompt now.

    Its row stays without a text, so that a draft that comes after its prompt is known to be late.
    """
    values = {"owner": owner, "place": _place(conversation_id), "text": "", "sent": request_id, "updated_at": now}
    new = insert_or(drafts, connection).values(**values)
    kept = {name: new.excluded[name] for name in ("text", "sent", "updated_at")}
    own = [drafts.c.owner, drafts.c.place]
    await connection.execute(new.on_conflict_do_update(index_elements=own, set_=kept))


def _place(conversation_id: ConversationId | None) -> str:
    return conversation_id or ""


def _as_assistant(row: Row[Any]) -> Assistant:
    return Assistant(
        row.id,
        row.name,
        row.icon,
        row.system_prompt,
        Parameters(row.model, row.temperature, row.max_tokens),
        tuple(row.starters.splitlines()),
        is_own=True,
    )
