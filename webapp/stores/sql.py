"""The store in a SQL database: SQLite by default, PostgreSQL when one machine is outgrown.

What keeps it right when calls meet:
- All that changes a conversation's branch happens in one transaction that first locks the conversation's row.
- On SQLite there is one writer at a time; PostgreSQL locks rows.
- A prompt and its first reply are stored together, as neighbours: the reply's number is the prompt's plus one.
- Only a branch's last reply can be running, because nothing is added after a running one.
- A call runs to its end although its caller is cancelled: a connection to SQLite that is closed between two rows keeps
  its lock on the database until Python happens to collect the cursor.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Row, Select, bindparam, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from webapp.domain import (
    BegunTurn,
    Conversation,
    ConversationId,
    Message,
    ReaderId,
    Rendering,
    RequestId,
    Role,
    TurnState,
)
from webapp.errors import ConversationNotFound, NothingToRetry, StoreUnavailable, TurnRunning
from webapp.stores.engines import (
    database_errors,
    database_url,
    is_sqlite,
    make_private_file,
    migrate,
    new_engine,
    writing,
)
from webapp.stores.tables import conversations, is_running, messages
from webapp.stores.texts import request_key, title_from

_ID_BYTES = 16  # 128 random bits, 22 characters.


P = ParamSpec("P")
T = TypeVar("T")


def utc_now() -> datetime:
    return datetime.now(UTC)


def _to_its_end(
    method: Callable[Concatenate[SqlStore, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[SqlStore, P], Coroutine[Any, Any, T]]:
    """Shield a method from the cancellation of its caller; `close` waits for it."""

    @wraps(method)
    async def call(self: SqlStore, /, *args: P.args, **kwargs: P.kwargs) -> T:
        task = asyncio.create_task(method(self, *args, **kwargs))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)
        return await asyncio.shield(task)

    return call


class SqlStore:
    """Keep conversations in the database at `url`, such as `sqlite:////path/to/rill.db` or `postgresql://host/rill`.

    `now` gives the time, aware. Raises `SettingsInvalid` for a URL that is no such database.
    """

    def __init__(self, url: str, now: Callable[[], datetime] = utc_now) -> None:
        self._url = database_url(url)
        self._now = now
        self._engine = new_engine(self._url)
        self._writer = writing(self._engine)
        # Waiting here is fair and wakes at once; SQLite's own waiting is a race of sleeps.
        self._one_writer: AbstractAsyncContextManager[None] = asyncio.Lock() if self.is_embedded else nullcontext()
        self._calls: set[asyncio.Task[Any]] = set()
        self._is_open = False

    @property
    def is_embedded(self) -> bool:
        """Whether the database is a file that this process alone should own."""
        return is_sqlite(self._url)

    async def open(self) -> None:
        with database_errors(self._url):
            if self.is_embedded:
                make_private_file(Path(self._url.database or ""))
            await migrate(self._url)
        self._is_open = True

    async def close(self) -> None:
        self._is_open = False
        if self._calls:
            await asyncio.wait(self._calls)
        await self._engine.dispose()

    @_to_its_end
    async def check(self) -> None:
        async with self._reading() as connection:
            await connection.execute(select(conversations.c.id).limit(1))

    @_to_its_end
    async def create_conversation(self, owner: ReaderId, prompt: str, request_id: RequestId) -> BegunTurn:
        key = request_key(request_id, prompt)
        async with self._writing() as connection:
            if not await self._add_conversation(connection, owner, title_from(prompt), key):
                return await _repeated(connection, await _row_by_key(connection, owner, key), key)
            row = await _row_by_key(connection, owner, key)
            return await self._add_turn(connection, row, prompt, key)

    @_to_its_end
    async def begin_turn(
        self, owner: ReaderId, conversation_id: ConversationId, prompt: str, request_id: RequestId
    ) -> BegunTurn:
        key = request_key(request_id, prompt)
        async with self._writing() as connection:
            row = await _locked_row(connection, owner, conversation_id)
            if await _is_stored(connection, row, key):
                return await _repeated(connection, row, key)
            if (await _message(connection, row.id, row.head)).is_running:
                raise TurnRunning
            return await self._add_turn(connection, row, prompt, key)

    @_to_its_end
    async def retry_turn(self, owner: ReaderId, conversation_id: ConversationId, number: int) -> BegunTurn:
        async with self._writing() as connection:
            row = await _locked_row(connection, owner, conversation_id)
            head = await _message(connection, row.id, row.head)
            if head.number != number or head.is_running:
                raise NothingToRetry
            await self._add_reply(connection, row, number=await _last_number(connection, row) + 1, parent=head.parent)
            return await _begun(connection, row.id)

    @_to_its_end
    async def conversation(self, owner: ReaderId, conversation_id: ConversationId) -> Conversation:
        async with self._reading() as connection:
            row = await _row(connection, _owned(owner, conversation_id))
            return await _with_branch(connection, row)

    @_to_its_end
    async def conversations(self, owner: ReaderId, limit: int) -> Sequence[Conversation]:
        newest_first = (conversations.c.updated_at.desc(), conversations.c.id.desc())
        owned = select(conversations).where(conversations.c.owner == owner).order_by(*newest_first).limit(limit)
        async with self._reading() as connection:
            return [_as_conversation(row) for row in await connection.execute(owned)]

    @_to_its_end
    async def checkpoint(self, conversation_id: ConversationId, number: int, text: str) -> None:
        async with self._writing() as connection:
            await self._update_running(connection, conversation_id, number, text=text, seen_alive_at=self._now())

    @_to_its_end
    async def end_turn(self, conversation_id: ConversationId, reply: Message) -> None:
        values = {"text": reply.text, "state": reply.state, "cause": reply.cause, **_rendering_values(reply.rendering)}
        async with self._writing() as connection:
            if await self._update_running(connection, conversation_id, reply.number, **values):
                await self._touch(connection, [conversation_id])

    @_to_its_end
    async def keep_rendering(self, conversation_id: ConversationId, number: int, rendering: Rendering) -> None:
        ended = (messages.c.conversation_id == conversation_id, messages.c.number == number, ~is_running)
        async with self._writing() as connection:
            await connection.execute(update(messages).where(*ended).values(**_rendering_values(rendering)))

    @_to_its_end
    async def interrupt_turns(self, silent_since: datetime) -> Sequence[tuple[ConversationId, Message]]:
        interrupt = (
            update(messages)
            .where(is_running, messages.c.seen_alive_at < silent_since)
            .values(state=TurnState.INTERRUPTED, cause="interrupted")
            .returning(messages)
        )
        async with self._writing() as connection:
            ended = [
                (ConversationId(row.conversation_id), _as_message(row)) for row in await connection.execute(interrupt)
            ]
            await self._touch(connection, sorted({conversation_id for conversation_id, _ in ended}))
        return ended

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncConnection]:
        self._require_open()
        with database_errors(self._url):
            async with self._engine.connect() as connection:
                yield connection

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[AsyncConnection]:
        self._require_open()
        with database_errors(self._url):
            async with self._one_writer, self._writer.begin() as connection:
                yield connection

    def _require_open(self) -> None:
        # A disposed engine would quietly connect again, and nobody would close that connection.
        if not self._is_open:
            raise StoreUnavailable(detail="The store is not open.")

    async def _add_conversation(self, connection: AsyncConnection, owner: ReaderId, title: str, key: str) -> bool:
        """Add a conversation unless the prompt opened one before; another process that is adding it is waited for."""
        now = self._now()
        values = {"owner": owner, "title": title, "request_key": key, "created_at": now, "updated_at": now}
        dialect = sqlite if self.is_embedded else postgresql
        statement = dialect.insert(conversations).values(id=secrets.token_urlsafe(_ID_BYTES), **values)
        return (await connection.execute(statement.on_conflict_do_nothing())).rowcount == 1

    async def _add_turn(self, connection: AsyncConnection, row: Row[Any], prompt: str, key: str) -> BegunTurn:
        number = await _last_number(connection, row) + 1
        values = {"parent": row.head, "role": Role.USER, "text": prompt, "request_key": key}
        statement = insert(messages).values(conversation_id=row.id, number=number, created_at=self._now(), **values)
        await connection.execute(statement)
        await self._add_reply(connection, row, number=number + 1, parent=number)
        return await _begun(connection, row.id)

    async def _add_reply(self, connection: AsyncConnection, row: Row[Any], number: int, parent: int | None) -> None:
        """Add a running, empty reply and show it."""
        now = self._now()
        values = {"parent": parent, "role": Role.ASSISTANT, "text": "", "state": TurnState.RUNNING}
        statement = insert(messages).values(conversation_id=row.id, number=number, **values)
        await connection.execute(statement.values(created_at=now, seen_alive_at=now))
        show = update(conversations).where(conversations.c.id == row.id).values(head=number, updated_at=now)
        await connection.execute(show)

    async def _update_running(
        self, connection: AsyncConnection, conversation_id: ConversationId, number: int, **values: object
    ) -> bool:
        reply = (messages.c.conversation_id == conversation_id, messages.c.number == number, is_running)
        return (await connection.execute(update(messages).where(*reply).values(**values))).rowcount == 1

    async def _touch(self, connection: AsyncConnection, changed: Sequence[ConversationId]) -> None:
        if changed:
            statement = update(conversations).where(conversations.c.id == bindparam("changed"))
            rows = [{"changed": conversation_id} for conversation_id in changed]
            await connection.execute(statement.values(updated_at=self._now()), rows)


def _owned(owner: ReaderId, conversation_id: ConversationId) -> Select[Any]:
    return select(conversations).where(conversations.c.id == conversation_id, conversations.c.owner == owner)


async def _row(connection: AsyncConnection, query: Select[Any]) -> Row[Any]:
    row: Row[Any] | None = (await connection.execute(query)).one_or_none()
    if row is None:
        raise ConversationNotFound
    return row


async def _locked_row(connection: AsyncConnection, owner: ReaderId, conversation_id: ConversationId) -> Row[Any]:
    # SQLite has no such clause, and needs none: there the transaction holds the write lock.
    return await _row(connection, _owned(owner, conversation_id).with_for_update())


async def _row_by_key(connection: AsyncConnection, owner: ReaderId, key: str) -> Row[Any]:
    by_key = select(conversations).where(conversations.c.owner == owner, conversations.c.request_key == key)
    return (await connection.execute(by_key)).one()


async def _is_stored(connection: AsyncConnection, row: Row[Any], key: str) -> bool:
    stored = select(messages.c.number).where(messages.c.conversation_id == row.id, messages.c.request_key == key)
    return await connection.scalar(stored) is not None


async def _last_number(connection: AsyncConnection, row: Row[Any]) -> int:
    last = select(func.max(messages.c.number)).where(messages.c.conversation_id == row.id)
    return await connection.scalar(last) or 0


async def _message(connection: AsyncConnection, conversation_id: ConversationId, number: int) -> Message:
    one = select(messages).where(messages.c.conversation_id == conversation_id, messages.c.number == number)
    return _as_message((await connection.execute(one)).one())


async def _repeated(connection: AsyncConnection, row: Row[Any], key: str) -> BegunTurn:
    by_key = select(messages).where(messages.c.conversation_id == row.id, messages.c.request_key == key)
    prompt = _as_message((await connection.execute(by_key)).one())
    reply = await _message(connection, row.id, prompt.number + 1)
    return BegunTurn(await _with_branch(connection, row), prompt, reply, is_repeat=True)


async def _begun(connection: AsyncConnection, conversation_id: ConversationId) -> BegunTurn:
    """Say what was just added: its prompt and its reply end the showing branch."""
    row = await _row(connection, select(conversations).where(conversations.c.id == conversation_id))
    conversation = await _with_branch(connection, row)
    prompt, reply = conversation.messages[-2:]
    return BegunTurn(conversation, prompt, reply, is_repeat=False)


async def _with_branch(connection: AsyncConnection, row: Row[Any]) -> Conversation:
    # All are read, and the branch is found here: PostgreSQL, before it has statistics, plans the recursive query as
    # quadratic work, and replies that were tried again are few.
    found = await connection.execute(select(messages).where(messages.c.conversation_id == row.id))
    return _as_conversation(row, _branch({message.number: message for message in found}, row.head))


def _branch(rows: dict[int, Row[Any]], head: int | None) -> tuple[Message, ...]:
    """Follow the parents from the head to the first message, and give them oldest first."""
    branch: list[Message] = []
    while head is not None:
        branch.append(_as_message(rows[head]))
        head = branch[-1].parent
    return tuple(reversed(branch))


def _as_conversation(row: Row[Any], branch: tuple[Message, ...] = ()) -> Conversation:
    return Conversation(row.id, row.owner, row.title, row.updated_at, branch)


def _rendering_values(rendering: Rendering | None) -> dict[str, str | None]:
    if rendering is None:
        return {"html": None, "html_version": None}
    return {"html": rendering.html, "html_version": rendering.version}


def _as_message(row: Row[Any]) -> Message:
    return Message(
        number=row.number,
        parent=row.parent,
        role=Role(row.role),
        text=row.text,
        created_at=row.created_at,
        state=None if row.state is None else TurnState(row.state),
        cause=row.cause,
        rendering=None if row.html is None else Rendering(row.html, row.html_version or ""),
    )
