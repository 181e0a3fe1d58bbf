"""A database that is locked, read-only, full or gone in the middle of a turn."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import asyncpg
import httpx
import pytest

from tests.clients import Gated, ask, asking, page_with, socket
from tests.dom import Dom
from tests.fakes import RillServer, ScriptedUpstream, rill_server, until
from tests.stores import PostgresServer, postgres_url, running_postgres

NOT_SAVED = "could not be saved yet"


@pytest.fixture
async def reader(server: RillServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture
def database(server: RillServer, tmp_path: Path) -> Path:
    return tmp_path / "data" / "rill.db"


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Hold the lock that every writer needs, as a backup program in a bad moment does."""
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


@contextmanager
def without_table(database: Path) -> Iterator[None]:
    """Take a table away under the server, so that nothing can be written or read."""
    _run(database, "ALTER TABLE messages RENAME TO elsewhere")
    try:
        yield
    finally:
        _run(database, "ALTER TABLE elsewhere RENAME TO messages")


@contextmanager
def refusing_writes(database: Path, error: str) -> Iterator[None]:
    """Make every write to the messages fail in the database itself, while all can be read."""
    for kind in ("INSERT", "UPDATE"):
        _run(database, f"CREATE TRIGGER no_{kind} BEFORE {kind} ON messages BEGIN SELECT RAISE(ABORT, '{error}'); END")
    try:
        yield
    finally:
        for kind in ("INSERT", "UPDATE"):
            _run(database, f"DROP TRIGGER no_{kind}")


def _run(database: Path, statement: str) -> None:
    connection = sqlite3.connect(database, timeout=30)
    connection.execute(statement)
    connection.commit()
    connection.close()


FAULTS: dict[str, Callable[[Path], AbstractContextManager[None]]] = {
    "locked": locked,
    "gone": without_table,
    "full": lambda database: refusing_writes(database, "database or disk is full"),
    "read-only": lambda database: refusing_writes(database, "attempt to write a readonly database"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_reader_sees_the_whole_reply_is_told_and_finds_it_stored_once_that_works(
    reader: httpx.AsyncClient, upstream: ScriptedUpstream, database: Path, fault: str
) -> None:
    before = (await ask(reader, "Before")).path
    gated = Gated(upstream, "One ", "two ", "three")
    await reader.post(f"{before}/messages", data={"prompt": "Hello"})
    reader.cookies.delete("rill_scripts")
    page = Dom((await reader.get(before)).text)
    (owner,) = page.document.select("main[hx-ws\\:connect]")
    async with socket(reader, str(owner.attrs["hx-ws:connect"])) as connected:
        page.receive(str(await connected.recv()))
        gated.let()
        while "One" not in page.text():
            page.receive(str(await connected.recv()))
        with FAULTS[fault](database):
            gated.let_all()
            while NOT_SAVED not in page.document.text:
                page.receive(str(await connected.recv()))

            assert page.text().strip() == "One two three"
            assert page.state() == "finished"
            assert page.document.select(".send")

        while NOT_SAVED in page.document.text:
            page.receive(str(await connected.recv()))

    loaded = Dom((await reader.get(before)).text)
    assert loaded.content() == page.content()
    texts = [text.text.strip() for text in loaded.document.select("article.message .text")]
    assert texts == ["Before", "You said: Before", "Hello", "One two three"]


async def test_a_program_is_told_that_the_reply_is_not_saved(
    reader: httpx.AsyncClient, upstream: ScriptedUpstream, database: Path
) -> None:
    gated = Gated(upstream, "One ", "two")
    async with asking(reader) as (path, events):
        gated.let()
        await anext(events)
        with locked(database):
            gated.let_all()
            told = [event async for event in events]

    assert told[-1] == {"type": "done", "state": "finished", "cause": "not_saved"}
    await page_with(reader, path, "<p>One two</p></div>")


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_prompt_that_cannot_be_stored_is_refused_and_asks_no_model(
    reader: httpx.AsyncClient, upstream: ScriptedUpstream, database: Path, fault: str
) -> None:
    path = (await ask(reader, "Before")).path
    with FAULTS[fault](database):
        told = await ask(reader, "Hello", path)

    assert told.status == 503
    assert len(upstream.exchanges) == 1
    assert (await ask(reader, "Hello", path)).text == "You said: Hello"


async def test_a_reply_that_is_not_saved_when_the_server_ends_is_kept_to_its_last_checkpoint(
    server: RillServer, reader: httpx.AsyncClient, upstream: ScriptedUpstream, database: Path
) -> None:
    gated = Gated(upstream, "One ", "two")
    path = str((await reader.post("/messages", data={"prompt": "Hello"})).headers["location"])
    gated.let()
    await until(lambda: _pieces(database) == "One ", "the first checkpoint")
    with refusing_writes(database, "database or disk is full"):
        gated.let_all()
        await until(lambda: "turn.not_saved" in server.output, "the end not to be saved")
        await server.end(signal.SIGTERM)
    await server.start()

    page = await page_with(reader, path, "The server stopped while this was being written")

    assert "<p>One</p></div>" in page


def _pieces(database: Path) -> str:
    connection = sqlite3.connect(database, timeout=30)
    try:
        return "".join(text for (text,) in connection.execute("SELECT text FROM checkpoints ORDER BY start"))
    finally:
        connection.close()


class TestPostgreSQL:
    async def test_connections_that_break_midway_lose_nothing(
        self, tmp_path: Path, upstream: ScriptedUpstream, postgres: PostgresServer
    ) -> None:
        async with postgres_url(postgres) as url:
            model = {"OPENAI_BASE_URL": upstream.base_url, "OPENAI_API_KEY": "k", "RILL_DATABASE_URL": url}
            async with (
                rill_server(tmp_path, **model) as server,
                httpx.AsyncClient(base_url=server.url, timeout=60, trust_env=False) as reader,
            ):
                gated = Gated(upstream, *(f"word{number} " for number in range(20)))
                async with asking(reader) as (path, events):
                    gated.let(3)
                    await anext(events)
                    for _ in range(3):
                        await _break_connections(url)
                        gated.let(5)
                    gated.let_all()
                    told = [event async for event in events]
                page = await page_with(reader, path, "word19</p></div>")

                assert told[-1]["type"] == "done"
                assert " ".join(f"word{number}" for number in range(20)) in page

    async def test_a_dead_process_is_noticed_by_another_one(
        self, tmp_path: Path, upstream: ScriptedUpstream, postgres: PostgresServer
    ) -> None:
        async with postgres_url(postgres) as url:
            secret = "s" * 32
            model = {"OPENAI_BASE_URL": upstream.base_url, "OPENAI_API_KEY": "k", "RILL_DATABASE_URL": url}
            (tmp_path / "one").mkdir()
            (tmp_path / "two").mkdir()
            async with (
                rill_server(tmp_path / "one", **model, RILL_SECRET=secret) as one,
                rill_server(tmp_path / "two", **model, RILL_SECRET=secret) as two,
                httpx.AsyncClient(base_url=one.url, timeout=60, trust_env=False) as reader,
            ):
                gated = Gated(upstream, "One ", "two")
                path = str((await reader.post("/messages", data={"prompt": "Hello"})).headers["location"])
                gated.let()
                await gated.has_begun.wait()
                reader.cookies.delete("rill_scripts")
                page = Dom((await reader.get(f"{two.url}{path}")).text)
                (owner,) = page.document.select("main[hx-ws\\:connect]")
                async with socket(reader, f"{two.url}{owner.attrs['hx-ws:connect']}") as connected:
                    page.receive(str(await connected.recv()))
                    await one.end(signal.SIGKILL)

                    while page.state() == "running":
                        page.receive(str(await connected.recv()))

                assert page.state() == "interrupted"
                assert "Retry" in page.document.text


async def _break_connections(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await connection.close()


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server
