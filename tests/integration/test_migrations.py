"""The schema: made from nothing, left alone when it is right, refused when it is newer."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect
from sqlalchemy.ext.asyncio import create_async_engine

from tests.stores import ADA, PostgresServer, begin, finish, postgres_url, query, running_postgres, sqlite_url
from webapp.errors import SettingsInvalid
from webapp.stores.catalog import SqlCatalog
from webapp.stores.engines import MIGRATIONS, database_url, new_engine
from webapp.stores.sql import SqlStore
from webapp.stores.tables import metadata

OPEN_AND_CLOSE = """
import asyncio, sys
from webapp.stores.sql import SqlStore

async def main():
    store = SqlStore(sys.argv[1])
    print("ready", flush=True)
    sys.stdin.readline()
    await store.open()
    await store.check()
    await store.close()

asyncio.run(main())
"""


HEAD = "0011"
NOT_IN_METADATA = ("search_index", "ix_search_texts_words")
"""What only one of the databases has: its index of words, which the migration makes."""


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    if request.param == "sqlite":
        yield sqlite_url(tmp_path)
        return
    async with postgres_url(request.getfixturevalue("postgres")) as url:
        yield url


async def open_and_close(url: str) -> None:
    store = SqlStore(url)
    try:
        await store.open()
    finally:
        await store.close()


def differences(connection: Connection) -> list[object]:
    def is_compared(_object: object, name: str | None, *_: object) -> bool:
        return not (name or "").startswith(NOT_IN_METADATA)

    options = {"compare_type": True, "compare_server_default": True, "include_object": is_compared}
    context = MigrationContext.configure(connection, opts=options)
    return list(compare_metadata(context, metadata))


def tables(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names())


async def test_an_empty_database_gets_the_tables_of_this_version(url: str) -> None:
    await open_and_close(url)
    engine = create_async_engine(database_url(url))
    async with engine.connect() as connection:
        found = await connection.run_sync(tables)
        differing = await connection.run_sync(differences)
    await engine.dispose()

    own = {name for name in found if not name.startswith(NOT_IN_METADATA)}
    assert own == {
        "conversations",
        "messages",
        "checkpoints",
        "search_texts",
        "assistants",
        "drafts",
        "attachments",
        "shares",
        "visitors",
        "deliveries",
        "keys",
        "alembic_version",
    }
    assert differing == []


async def test_partial_and_unique_indexes_are_there(url: str) -> None:
    await open_and_close(url)
    schema = "sqlite_master" if url.startswith("sqlite") else "pg_indexes"
    column = "sql" if url.startswith("sqlite") else "indexdef"

    ((running,),) = await query(url, f"SELECT {column} FROM {schema} WHERE {column} LIKE '%ix_messages_running%'")

    assert "WHERE" in str(running)
    assert "'running'" in str(running)


async def test_messages_go_with_their_conversation(url: str) -> None:
    store = SqlStore(url)
    await store.open()
    await begin(store)
    async with store.database.writing() as connection:
        await connection.exec_driver_sql("DELETE FROM conversations")
    await store.close()

    assert await query(url, "SELECT * FROM messages") == []


async def test_opening_again_changes_nothing(url: str) -> None:
    store = SqlStore(url)
    await store.open()
    turn = await begin(store)
    await store.close()

    again = SqlStore(url)
    await again.open()
    found = await again.conversation(ADA, turn.conversation.id)
    await again.close()

    assert found == turn.conversation
    assert await query(url, "SELECT version_num FROM alembic_version") == [(HEAD,)]


async def test_a_database_newer_than_this_code_is_refused_and_left_alone(url: str) -> None:
    await open_and_close(url)
    await query(url, "UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(SettingsInvalid) as caught:
        await open_and_close(url)

    assert "made by a newer version of Rill" in caught.value.sentence
    assert "9999" in caught.value.sentence
    assert await query(url, "SELECT version_num FROM alembic_version") == [("9999",)]


async def test_a_migration_that_fails_leaves_an_empty_database(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("after the first table")

    monkeypatch.setattr("alembic.op.create_index", fail)
    with pytest.raises(RuntimeError, match="after the first table"):
        await open_and_close(url)
    monkeypatch.undo()

    await open_and_close(url)
    assert await query(url, "SELECT version_num FROM alembic_version") == [(HEAD,)]


async def test_stores_that_open_at_once_in_one_process_do_not_collide(url: str, tmp_path: Path) -> None:
    urls = [url, url, sqlite_url(tmp_path / "second"), url, sqlite_url(tmp_path / "third")]

    await asyncio.gather(*(open_and_close(each) for each in urls))

    for each in urls:
        assert await query(each, "SELECT version_num FROM alembic_version") == [(HEAD,)]


async def test_processes_that_start_at_once_do_not_collide(url: str) -> None:
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-W", "error", "-c", OPEN_AND_CLOSE, url)
    processes = [await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe) for _ in range(4)]
    for process in processes:
        assert process.stdout is not None
        await process.stdout.readline()  # All have imported what they need; now they start together.

    outputs = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))

    assert [process.returncode for process in processes] == [0] * 4, outputs
    assert await query(url, "SELECT version_num FROM alembic_version") == [(HEAD,)]


async def test_a_file_that_another_program_is_reading_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "store" / "rill.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(path, check_same_thread=False)) as other:
        other.execute("CREATE TABLE of_theirs (n)")
        other.execute("BEGIN")
        other.execute("SELECT * FROM of_theirs").fetchall()
        waits: list[float] = []

        def wait(seconds: float) -> None:
            waits.append(seconds)
            other.rollback()

        monkeypatch.setattr("webapp.stores.engines.sleep", wait)
        await open_and_close(sqlite_url(tmp_path))

    assert len(waits) == 1
    assert await query(sqlite_url(tmp_path), "PRAGMA journal_mode") == [("wal",)]


async def test_migrating_leaves_logging_as_it_was(url: str) -> None:
    def configured() -> list[tuple[str, int, list[logging.Handler], bool]]:
        names = [None, "alembic", "alembic.runtime.migration", "sqlalchemy.engine", "rill.test"]
        loggers = [logging.getLogger(name) for name in names]
        return [(logger.name, logger.level, list(logger.handlers), logger.disabled) for logger in loggers]

    before = configured()
    await open_and_close(url)

    assert configured() == before


async def test_what_was_written_before_there_was_a_search_is_found(url: str) -> None:
    store = SqlStore(url)
    await store.open()
    turn = await begin(store, "Tell me of Ærøskøbing")
    await finish(store, turn, "It is a town")
    await store.close()
    await migrate_to(url, "0003")
    assert "search_texts" not in await tables_of(url)

    await store.open()
    hits = [await SqlCatalog(store.database).search(ADA, words, 9) for words in ("ærø", "town", "village")]
    version = await SqlCatalog(store.database).version(ADA)
    await store.close()

    assert [[hit.number for hit in found] for found in hits] == [[1], [2], []]
    assert version > 0


async def migrate_to(url: str, revision: str) -> None:
    def downgrade(connection: Connection) -> None:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(MIGRATIONS))
        command.downgrade(config, revision)

    engine = new_engine(database_url(url))
    async with engine.begin() as connection:
        await connection.run_sync(downgrade)
    await engine.dispose()


async def tables_of(url: str) -> set[str]:
    engine = create_async_engine(database_url(url))
    async with engine.connect() as connection:
        found = await connection.run_sync(tables)
    await engine.dispose()
    return found
