"""One SQL database for all that is kept in it: connections, transactions, and calls that run to their end.

- On SQLite there is one writer at a time; PostgreSQL locks rows.
- A call runs to its end although its caller is cancelled: a connection to SQLite that is closed between two rows keeps
  its lock on the database until Python happens to collect the cursor.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from webapp.domain import ConversationId
from webapp.errors import StoreUnavailable
from webapp.stores.engines import (
    database_errors,
    database_url,
    is_sqlite,
    make_private_file,
    migrate,
    new_engine,
    reading,
    writing,
)

P = ParamSpec("P")
T = TypeVar("T")


_ID_BYTES = 16  # 128 random bits, 22 characters.


def new_conversation_id() -> ConversationId:
    return ConversationId(secrets.token_urlsafe(_ID_BYTES))


def utc_now() -> datetime:
    return datetime.now(UTC)


class Database:
    """The database at `url`, such as `sqlite:////path/to/rill.db` or `postgresql://host/rill`.

    `now` gives the time, aware. Raises `SettingsInvalid` for a URL that is no such database. Whatever fails in the
    database itself is raised as `StoreUnavailable`.
    """

    def __init__(self, url: str, now: Callable[[], datetime] = utc_now) -> None:
        self._url = database_url(url)
        self.now = now
        self._engine = new_engine(self._url)
        self._reader, self._writer = reading(self._engine), writing(self._engine)
        # Waiting here is fair and wakes at once; SQLite's own waiting is a race of sleeps.
        self._one_writer: AbstractAsyncContextManager[None] = asyncio.Lock() if self.is_embedded else nullcontext()
        # All but the urgent ones queue here: at most one of them stands before a checkpoint, however many prompts come.
        self._door: AbstractAsyncContextManager[None] = asyncio.Lock() if self.is_embedded else nullcontext()
        self._calls: set[asyncio.Task[Any]] = set()
        self._is_open = False

    @property
    def is_embedded(self) -> bool:
        """Whether the database is a file that this process alone should own."""
        return is_sqlite(self._url)

    async def open(self) -> None:
        """Connect, and bring the schema up to date."""
        with database_errors(self._url):
            if self.is_embedded:
                make_private_file(Path(self._url.database or ""))
            await migrate(self._url)
        self._is_open = True

    async def close(self) -> None:
        """Give back every connection, after the calls that still run."""
        self._is_open = False
        if self._calls:
            await asyncio.wait(self._calls)
        await self._engine.dispose()

    async def finish(self, call: Coroutine[Any, Any, T]) -> T:
        """Run a call to its end although whoever waits for it is cancelled; `close` waits for it."""
        task = asyncio.create_task(call)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)
        return await asyncio.shield(task)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Begin a transaction that only reads."""
        self._require_open()
        with database_errors(self._url):
            async with self._reader.connect() as connection:
                yield connection

    @asynccontextmanager
    async def writing(self, *, is_urgent: bool = False) -> AsyncIterator[AsyncConnection]:
        """Begin a transaction that writes; of those that wait for that, urgent ones come first."""
        self._require_open()
        door = nullcontext() if is_urgent else self._door
        with database_errors(self._url):
            async with door, self._one_writer, self._writer.begin() as connection:
                yield connection

    def _require_open(self) -> None:
        # A disposed engine would quietly connect again, and nobody would close that connection.
        if not self._is_open:
            raise StoreUnavailable(detail="The store is not open.")


class KeptInDatabase(Protocol):
    """Whoever has a database."""

    database: Database


def to_its_end(
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]:
    """Shield a method of a `KeptInDatabase` from the cancellation of its caller (see `Database.finish`)."""

    @wraps(method)
    async def call(self: KeptInDatabase, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.database.finish(method(self, *args, **kwargs))

    return call


def insert_or(table: Table, connection: AsyncConnection) -> sqlite.Insert | postgresql.Insert:
    """Begin an INSERT that may say what happens on a conflict; both dialects say it alike."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)
