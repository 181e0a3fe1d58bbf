"""Every implementation of the store, fresh for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.stores import Clock, PostgresServer, postgres_url, running_postgres, sqlite_url
from webapp.stores import AttachmentStore, Catalog, KeyStore, Outbox, ShareStore, VisitorStore, Workshop
from webapp.stores.attachments import SqlAttachments
from webapp.stores.catalog import SqlCatalog
from webapp.stores.keys import SqlKeys
from webapp.stores.outbox import SqlOutbox
from webapp.stores.shares import SqlShares
from webapp.stores.sql import SqlStore
from webapp.stores.visitors import SqlVisitors
from webapp.stores.workshop import SqlWorkshop


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
async def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    if request.param == "sqlite":
        yield sqlite_url(tmp_path)
        return
    async with postgres_url(request.getfixturevalue("postgres")) as url:
        yield url


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(store_url: str, clock: Clock) -> AsyncIterator[SqlStore]:
    store = SqlStore(store_url, now=clock)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def catalog(store: SqlStore) -> Catalog:
    return SqlCatalog(store.database)


@pytest.fixture
def workshop(store: SqlStore) -> Workshop:
    return SqlWorkshop(store.database)


@pytest.fixture
def attachments(store: SqlStore) -> AttachmentStore:
    return SqlAttachments(store.database)


@pytest.fixture
def visitors(store: SqlStore) -> VisitorStore:
    return SqlVisitors(store.database)


@pytest.fixture
def outbox(store: SqlStore) -> Outbox:
    return SqlOutbox(store.database)


@pytest.fixture
def shares(store: SqlStore) -> ShareStore:
    return SqlShares(store.database)


@pytest.fixture
def keys(store: SqlStore) -> KeyStore:
    return SqlKeys(store.database)
