"""Visitors whom other sites introduce, in a SQL database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select, tuple_

from webapp.domain import Conversation, Place, ReaderId, Visitor
from webapp.stores.database import Database, insert_or, to_its_end
from webapp.stores.reading import with_branch
from webapp.stores.tables import conversations, visitors


class SqlVisitors:
    """See `webapp.stores.VisitorStore`."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @to_its_end
    async def keep(self, reader: ReaderId, visitor: Visitor) -> None:
        said = {"name": visitor.name, "context": visitor.context, "seen_at": self.database.now()}
        async with self.database.writing() as connection:
            keep = insert_or(visitors, connection).values(reader=reader, subject=visitor.subject, **said)
            await connection.execute(keep.on_conflict_do_update(index_elements=["reader"], set_=said))

    @to_its_end
    async def find(self, reader: ReaderId) -> Visitor | None:
        async with self.database.reading() as connection:
            one = select(visitors).where(visitors.c.reader == reader)
            row = (await connection.execute(one)).one_or_none()
        return None if row is None else Visitor(row.subject, row.name, row.context)

    @to_its_end
    async def conversations(
        self, readers: str, limit: int, after: Place | None = None
    ) -> Sequence[tuple[Visitor | None, Conversation]]:
        c, v = conversations.c, visitors.c
        query = select(conversations, v.subject, v.name, v.context).outerjoin(visitors, v.reader == c.owner)
        query = query.where(c.owner.startswith(readers, autoescape=True), c.deleted_at.is_(None))
        if after is not None:
            query = query.where(tuple_(c.updated_at, c.id) < (after.updated_at, after.id))
        async with self.database.reading() as connection:
            rows = (await connection.execute(query.order_by(c.updated_at.desc(), c.id.desc()).limit(limit))).all()
            return [
                (
                    None if row.subject is None else Visitor(row.subject, row.name, row.context),
                    await with_branch(connection, row),
                )
                for row in rows
            ]

    @to_its_end
    async def forget(self, readers: str, before: datetime) -> int:
        gone = delete(visitors).where(
            visitors.c.reader.startswith(readers, autoescape=True),
            visitors.c.seen_at < before,
            visitors.c.reader.not_in(select(conversations.c.owner)),
        )
        async with self.database.writing() as connection:
            return (await connection.execute(gone)).rowcount
