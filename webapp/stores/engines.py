"""How the store reaches its database: the engine, its transactions, its schema.

On SQLite a writing transaction takes the write lock when it begins (`BEGIN IMMEDIATE`), because one that reads first
and writes later fails at once, whatever the timeout, if another has written in between.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from time import monotonic, sleep

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, event, func, make_url, select
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

import webapp
from webapp.errors import SettingsInvalid, StoreUnavailable

PATIENCE_SECONDS = 5.0
"""How long a call waits for a lock, a connection or an answer: longer than any query here takes on a busy machine."""

MIGRATION_PATIENCE_SECONDS = 60.0
"""How long a process that starts waits for another that is migrating."""

GIVE_WAY_SECONDS = 0.05
"""How long a process that starts gives way to another that is changing how the file is written."""

MIGRATIONS = Path(webapp.__file__).parent / "migrations"

_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
}
_WRITES = "rill_writes"
_ADVISORY_LOCK = int.from_bytes(b"rill-sql")  # Any number that no other program at this database uses.

# Alembic's `context` and `op` are one per process, so two stores cannot migrate in turns.
_migrating = asyncio.Lock()


def database_url(text: str) -> URL:
    """Read a database's URL and name the asynchronous driver in it. Raises `SettingsInvalid`."""
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise SettingsInvalid("The database URL cannot be read; it looks like sqlite:////path/to/rill.db.") from error
    if url.drivername not in _DRIVERS:
        raise SettingsInvalid(f"The database URL starts with {url.drivername}:, but only sqlite: and postgresql: work.")
    url = url.set(drivername=_DRIVERS[url.drivername])
    return _sqlite_url(url) if is_sqlite(url) else _postgresql_url(url)


def is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def _sqlite_url(url: URL) -> URL:
    if url.database in (None, "", ":memory:") or "mode" in url.query or "uri" in url.query:
        raise SettingsInvalid("The database URL names no file; it looks like sqlite:////path/to/rill.db.")
    return url


def _postgresql_url(url: URL) -> URL:
    # Hosting providers write what libpq reads; asyncpg calls the same setting `ssl`.
    if (mode := url.query.get("sslmode")) is not None:
        return url.difference_update_query(["sslmode"]).update_query_dict({"ssl": mode})
    return url


def new_engine(url: URL, patience_seconds: float = PATIENCE_SECONDS) -> AsyncEngine:
    """Make an engine; it connects when it is first used. Raises `SettingsInvalid` if its driver is not installed."""
    return _sqlite_engine(url, patience_seconds) if is_sqlite(url) else _postgresql_engine(url, patience_seconds)


def _sqlite_engine(url: URL, patience_seconds: float) -> AsyncEngine:
    engine = create_async_engine(
        url,
        hide_parameters=True,  # They hold what people wrote, and an error's text goes to the log.
        pool_timeout=patience_seconds,
        # No isolation level: SQLAlchemy begins transactions, and not the driver when it thinks fit.
        connect_args={"timeout": patience_seconds, "isolation_level": None},
    )
    event.listen(engine.sync_engine, "connect", _set_pragmas)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def _set_pragmas(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    # With a write-ahead log NORMAL syncs less and still cannot corrupt the file.
    for pragma in ("synchronous = NORMAL", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgresql_engine(url: URL, patience_seconds: float) -> AsyncEngine:
    try:
        return create_async_engine(
            url,
            hide_parameters=True,
            isolation_level="READ COMMITTED",  # A query that waited for a lock must see what the holder wrote.
            pool_pre_ping=True,  # After a restart of the server its old connections are dead.
            pool_timeout=patience_seconds,
            connect_args={"timeout": patience_seconds, "command_timeout": patience_seconds},
        )
    except ModuleNotFoundError as error:
        raise SettingsInvalid("PostgreSQL needs its driver; install it with: pip install 'rill[postgres]'") from error


def reading(engine: AsyncEngine) -> AsyncEngine:
    """Give the same engine for transactions that only read: all of one sees the database at one moment."""
    is_embedded = engine.dialect.name == "sqlite"  # Where it is so anyway.
    return engine if is_embedded else engine.execution_options(isolation_level="REPEATABLE READ")


def writing(engine: AsyncEngine) -> AsyncEngine:
    """Give the same engine for transactions that write."""
    return engine.execution_options(**{_WRITES: True})


@contextmanager
def database_errors(url: URL) -> Iterator[None]:
    """Raise every failure of the database as `StoreUnavailable`, with a detail that holds nothing people wrote."""
    try:
        yield
    except (DBAPIError, sqlite3.Error, PoolTimeout, OSError) as error:
        raise StoreUnavailable(detail=f"{url.render_as_string(hide_password=True)}: {_detail(error)}") from error


def _detail(error: Exception) -> str:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    # A data error quotes the value, and the lines after the first may quote the row.
    lines = [] if isinstance(error, DataError) else str(cause).splitlines()
    return ": ".join([type(cause).__name__, *lines[:1]])


def make_private_file(path: Path) -> None:
    """Make an empty file that only its owner can read, and its folder, unless they exist.

    SQLite gives the files that it puts beside it the same permissions.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, mode=0o600))


async def migrate(url: URL) -> None:
    """Bring the schema up to date, one process after the other. Raises `SettingsInvalid` if it is a newer one."""
    engine = new_engine(url, MIGRATION_PATIENCE_SECONDS)
    try:
        async with _migrating:
            if is_sqlite(url):
                await asyncio.to_thread(_keep_write_ahead_log, url.database)
            async with writing(engine).begin() as connection:
                await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()


def _keep_write_ahead_log(path: str | None) -> None:
    """Let readers go on while one writes; the file itself says so from now on.

    SQLite refuses the change at once while another process has the file open for the same purpose, whatever the
    timeout: of two that would each wait for the other, one must give way.
    """
    last = monotonic() + MIGRATION_PATIENCE_SECONDS
    while True:
        with closing(sqlite3.connect(str(path), timeout=0, isolation_level=None)) as connection:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or monotonic() > last:
                    raise
        sleep(GIVE_WAY_SECONDS)


def _upgrade(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    _refuse_newer(connection, ScriptDirectory.from_config(config))
    command.upgrade(config, "head")


def _refuse_newer(connection: Connection, script: ScriptDirectory) -> None:
    known = {revision.revision for revision in script.walk_revisions()}
    unknown = set(MigrationContext.configure(connection).get_current_heads()) - known
    if unknown:
        raise SettingsInvalid(
            f"The database was made by a newer version of Rill (its schema is {', '.join(sorted(unknown))}, "
            f"this version knows {script.get_current_head()}). Install that version, or choose another database."
        )
