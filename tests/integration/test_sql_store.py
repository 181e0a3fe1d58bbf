"""What only this store has to do with: files, servers, URLs."""

from __future__ import annotations

import asyncio
import stat
import sys
from pathlib import Path

import pytest
from sqlalchemy import text as sql

from tests.stores import ADA, begin
from webapp.errors import SettingsInvalid, StoreUnavailable
from webapp.stores import Shelf
from webapp.stores.catalog import SqlCatalog
from webapp.stores.engines import database_url
from webapp.stores.sql import SqlStore


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class TestSQLite:
    async def test_the_data_folder_and_file_are_private(self, tmp_path: Path) -> None:
        store = SqlStore(f"sqlite:///{tmp_path}/new/rill.db")
        await store.open()
        modes = {mode_of(tmp_path / "new" / name) for name in names_in(tmp_path / "new")}
        await store.close()

        assert mode_of(tmp_path / "new") == 0o700
        assert modes == {0o600}

    async def test_closing_leaves_one_file(self, tmp_path: Path) -> None:
        store = SqlStore(f"sqlite:///{tmp_path}/rill.db")
        await store.open()
        await begin(store)
        await store.close()

        assert names_in(tmp_path) == ["rill.db"]

    @pytest.mark.parametrize("path", ["file/rill.db", "folder"])
    async def test_a_path_that_cannot_be_written_is_reported_with_its_name(self, tmp_path: Path, path: str) -> None:
        (tmp_path / "file").touch()
        (tmp_path / "folder").mkdir()
        store = SqlStore(f"sqlite:///{tmp_path}/{path}")

        with pytest.raises(StoreUnavailable) as caught:
            await store.open()

        assert str(tmp_path / path) in caught.value.detail

    async def test_a_file_that_is_no_database_is_reported(self, tmp_path: Path) -> None:
        (tmp_path / "rill.db").write_bytes(b"These are no tables. " * 100)
        store = SqlStore(f"sqlite:///{tmp_path}/rill.db")

        with pytest.raises(StoreUnavailable, match="not a database"):
            await store.open()

    async def test_the_database_is_set_up_for_readers_beside_one_writer(self, tmp_path: Path) -> None:
        store = SqlStore(f"sqlite:///{tmp_path}/rill.db")
        await store.open()
        async with store.database.reading() as connection:
            pragmas = [
                await connection.scalar(sql(f"PRAGMA {name}"))
                for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            ]
        await store.close()

        assert pragmas == ["wal", 1, 1, 5000]

    async def test_readers_are_answered_while_a_writer_holds_the_database(self, tmp_path: Path) -> None:
        store = SqlStore(f"sqlite:///{tmp_path}/rill.db")
        await store.open()
        turn = await begin(store)
        async with store.database.writing() as connection:
            await connection.execute(sql("UPDATE messages SET text = 'not yet committed'"))
            read = await store.conversation(ADA, turn.conversation.id)
        await store.close()

        assert read == turn.conversation

    async def test_readers_are_answered_however_many_writers_wait(self, tmp_path: Path) -> None:
        store = SqlStore(f"sqlite:///{tmp_path}/rill.db")
        await store.open()
        async with store.database.writing():
            writers = [asyncio.create_task(begin(store, number=number)) for number in range(30)]
            reads = [await SqlCatalog(store.database).page(ADA, Shelf.RECENT, 50) for _ in range(10)]
        await asyncio.gather(*writers)
        await store.close()

        assert reads == [[]] * 10

    def test_it_is_embedded(self) -> None:
        assert SqlStore("sqlite:////tmp/rill.db").is_embedded


class TestPostgreSQL:
    def test_it_is_not_embedded(self) -> None:
        assert not SqlStore("postgresql://rill@127.0.0.1/rill").is_embedded

    async def test_a_server_that_is_not_there_is_reported_without_the_password(self, unused_tcp_port: int) -> None:
        store = SqlStore(f"postgresql://rill:SECRET@127.0.0.1:{unused_tcp_port}/rill")

        with pytest.raises(StoreUnavailable) as caught:
            await store.open()

        assert f"127.0.0.1:{unused_tcp_port}" in caught.value.detail
        assert "SECRET" not in f"{caught.value.detail} {caught.value.__cause__}"


class TestTheURL:
    @pytest.mark.parametrize(
        ("given", "used"),
        [
            ("sqlite:////data/rill.db", "sqlite+aiosqlite:////data/rill.db"),
            ("sqlite+aiosqlite:////data/rill.db", "sqlite+aiosqlite:////data/rill.db"),
            ("postgres://rill@db/rill", "postgresql+asyncpg://rill@db/rill"),
            ("postgresql://rill@db/rill", "postgresql+asyncpg://rill@db/rill"),
            ("postgresql://db/rill?sslmode=require", "postgresql+asyncpg://db/rill?ssl=require"),
        ],
    )
    def test_the_driver_need_not_be_named(self, given: str, used: str) -> None:
        assert str(database_url(given)) == used

    @pytest.mark.parametrize(
        ("url", "named"),
        [
            ("mysql://root:SECRET@db/rill", "mysql"),
            ("postgresql+psycopg://rill:SECRET@db/rill", "psycopg"),
            ("rill.db", "cannot be read"),
            ("", "cannot be read"),
            ("sqlite://", "no file"),
            ("sqlite:///:memory:", "no file"),
        ],
    )
    def test_a_url_of_another_kind_is_refused_with_a_sentence(self, url: str, named: str) -> None:
        with pytest.raises(SettingsInvalid, match=named) as caught:
            SqlStore(url)

        assert caught.value.sentence.endswith(".")
        assert "SECRET" not in str(caught.value)

    def test_a_missing_driver_is_named_with_the_way_to_install_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "asyncpg", None)

        with pytest.raises(SettingsInvalid, match=r"pip install 'rill\[postgres\]'"):
            SqlStore("postgresql://rill@db/rill")
