"""What is still to be told to other programs, in a SQL database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update

from webapp.domain import Delivery
from webapp.stores.database import Database, insert_or, to_its_end
from webapp.stores.tables import deliveries

d = deliveries.c
REMEMBERED = timedelta(days=7)
"""How long it is known what was told, so that it is not told again."""


class SqlOutbox:
    """See `webapp.stores.Outbox`."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @to_its_end
    async def put(self, delivery: Delivery) -> bool:
        values = {"id": delivery.id, "embed": delivery.embed, "body": delivery.body, "attempts": 0}
        async with self.database.writing() as connection:
            now = self.database.now()
            statement = insert_or(deliveries, connection).values(**values, created_at=now, due_at=now)
            return (await connection.execute(statement.on_conflict_do_nothing())).rowcount == 1

    @to_its_end
    async def take(self, limit: int, lease: timedelta) -> Sequence[Delivery]:
        now = self.database.now()
        due = select(deliveries).where(d.due_at <= now).order_by(d.due_at).limit(limit)
        async with self.database.writing() as connection:
            # Another process that takes at the same time waits for these rows, and then finds them not due.
            rows = (await connection.execute(due.with_for_update(skip_locked=True))).all()
            taken = update(deliveries).where(d.id.in_([row.id for row in rows]))
            await connection.execute(taken.values(due_at=now + lease, attempts=d.attempts + 1))
        return [Delivery(row.id, row.embed, row.body, row.attempts + 1) for row in rows]

    @to_its_end
    async def put_off(self, delivery_id: str, until: datetime) -> None:
        async with self.database.writing() as connection:
            await connection.execute(update(deliveries).where(d.id == delivery_id).values(due_at=until))

    @to_its_end
    async def drop(self, delivery_id: str) -> None:
        async with self.database.writing() as connection:
            await connection.execute(update(deliveries).where(d.id == delivery_id).values(due_at=None, body=""))
            old = self.database.now() - REMEMBERED
            await connection.execute(delete(deliveries).where(d.due_at.is_(None), d.created_at < old))

    @to_its_end
    async def next_due(self) -> datetime | None:
        async with self.database.reading() as connection:
            due: datetime | None = await connection.scalar(
                select(d.due_at).where(d.due_at.is_not(None)).order_by(d.due_at).limit(1)
            )
        return due
