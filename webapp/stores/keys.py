"""The keys of programs, in a SQL database."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, delete, select, update

from webapp.domain import KEY_READER, KeyScope, ProgramKey, ReaderId
from webapp.errors import ProgramKeyUnknown, StoreUnavailable
from webapp.stores.database import Database, insert_or, to_its_end
from webapp.stores.tables import keys

_ID_BYTES = 8
_SECRET_BYTES = 32
_NOTED_EVERY = timedelta(minutes=1)
"""How often it is noted that a key is used: a write with each request would have all programs wait for one another."""


class SqlKeys:
    """See `webapp.stores.KeyStore`."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @to_its_end
    async def make(self, name: str, scopes: Collection[KeyScope], days: int | None = None) -> str | None:
        id_, now = secrets.token_hex(_ID_BYTES), self.database.now()
        key = f"rill_{id_}_{secrets.token_hex(_SECRET_BYTES)}"
        row = {
            "id": id_,
            "name": name,
            "hash": _hash(key),
            "scopes": " ".join(sorted(scopes)),
            "created_at": now,
            "expires_at": None if days is None else now + timedelta(days=days),
        }
        async with self.database.writing() as connection:
            keep = insert_or(keys, connection).values(row).on_conflict_do_nothing(index_elements=["name"])
            kept = (await connection.execute(keep.returning(keys.c.id))).one_or_none()
        return None if kept is None else key

    @to_its_end
    async def every(self) -> Sequence[ProgramKey]:
        async with self.database.reading() as connection:
            rows = (await connection.execute(select(keys).order_by(keys.c.created_at, keys.c.name))).all()
        return [_as_key(row) for row in rows]

    @to_its_end
    async def revoke(self, name: str) -> bool:
        async with self.database.writing() as connection:
            gone = (await connection.execute(delete(keys).where(keys.c.name == name).returning(keys.c.id))).all()
        return bool(gone)

    @to_its_end
    async def find(self, key: str) -> ProgramKey:
        now = self.database.now()
        async with self.database.reading() as connection:
            row = (await connection.execute(select(keys).where(keys.c.hash == _hash(key)))).one_or_none()
        if row is None or (row.expires_at is not None and row.expires_at <= now):
            raise ProgramKeyUnknown
        if row.last_used_at is None or now - row.last_used_at >= _NOTED_EVERY:
            # Whoever reads can do so on a disk that is full.
            with suppress(StoreUnavailable):
                await self._note_use(row.id)
        return _as_key(row)

    @to_its_end
    async def require(self, reader: ReaderId) -> None:
        id_, now = reader.removeprefix(KEY_READER), self.database.now()
        works = (keys.c.id == id_) & (keys.c.expires_at.is_(None) | (keys.c.expires_at > now))
        async with self.database.reading() as connection:
            if (await connection.execute(select(keys.c.id).where(works))).one_or_none() is None:
                raise ProgramKeyUnknown

    async def _note_use(self, id_: str) -> None:
        async with self.database.writing() as connection:
            await connection.execute(update(keys).where(keys.c.id == id_).values(last_used_at=self.database.now()))


def _hash(key: str) -> str:
    """Give what is kept of a key.

    One round of SHA-256, without salt, is right for 256 random bits: they cannot be guessed, however fast guesses are
    tested. Slow hashes are for passwords. A lookup by it tells by its time nothing of the key, only of the hash.
    """
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def _as_key(row: Row[Any]) -> ProgramKey:
    scopes = frozenset(KeyScope(scope) for scope in row.scopes.split())
    return ProgramKey(row.id, row.name, scopes, row.created_at, row.expires_at, row.last_used_at)
