"""The command `rill key`, with which an operator makes, lists and revokes the keys of programs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypeVar

import click

from webapp import errors, logs
from webapp.domain import KeyScope, ProgramKey
from webapp.stores import KeyStore
from webapp.stores.keys import SqlKeys
from webapp.stores.sql import SqlStore
from webapp.terminal import STORE_ADVICE, fail, settings, told

T = TypeVar("T")

MAX_NAME_CHARS = 60
MOST_DAYS = 3650
_SCOPES = [scope.value for scope in KeyScope]


class _Name(click.ParamType[str]):
    """A name that stands in one line of a list."""

    name = "NAME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not isinstance(value, str) or not value.strip() or len(value) > MAX_NAME_CHARS or not value.isprintable():
            self.fail(f"A name is a line of at most {MAX_NAME_CHARS} characters.", param, ctx)
        return value.strip()


@click.group()
def key() -> None:
    """Make, list and revoke the keys with which programs use the chat."""


@key.command()
@click.argument("name", type=_Name())
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(_SCOPES),
    multiple=True,
    default=["ask"],
    show_default=True,
    help="What the program may do: `ask` is everything that a reader does, `read` is only reading.",
)
@click.option("--days", type=click.IntRange(1, MOST_DAYS), help="Days until the key expires; without, it never does.")
def create(name: str, scopes: tuple[str, ...], days: int | None) -> None:
    """Make a key for a program, and print it, once."""
    wanted = {KeyScope(scope) for scope in scopes}
    made = _run(_create(name, wanted, days))
    if made is None:
        fail(f"There is a key named {name} already. Revoke it first, or take another name.")
    click.echo(made)
    click.echo("Keep it now: it is not shown again. A program sends it as `Authorization: Bearer ...`.", err=True)


@key.command(name="list")
def list_() -> None:
    """List all keys: their names, what they may do, and when they were made, expire, and were last used."""
    found = _run(_every())
    if not found:
        click.echo("There is no key yet. `rill key create NAME` makes one.", err=True)
        return
    rows = [("NAME", "SCOPE", "CREATED", "EXPIRES", "LAST USED"), *(_row(each) for each in found)]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@key.command()
@click.argument("name", type=_Name())
def revoke(name: str) -> None:
    """Have a key open nothing from now on. What its program has written is then out of everybody's reach."""
    if not _run(_revoke(name)):
        fail(f"There is no key named {name}; `rill key list` lists them.")
    click.echo(f"The key {name} opens nothing any more.", err=True)


def _row(found: ProgramKey) -> tuple[str, ...]:
    return (
        found.name,
        ", ".join(sorted(found.scopes)),
        _shown(found.created_at),
        _shown(found.expires_at),
        _shown(found.last_used_at),
    )


def _shown(moment: datetime | None) -> str:
    return "never" if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC"


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except errors.RillError as error:
        fail(f"{told(error)} {STORE_ADVICE}")


async def _create(name: str, scopes: set[KeyScope], days: int | None) -> str | None:
    async with _keys() as keys:
        return await keys.make(name, scopes, days)


async def _every() -> Sequence[ProgramKey]:
    async with _keys() as keys:
        return await keys.every()


async def _revoke(name: str) -> bool:
    async with _keys() as keys:
        return await keys.revoke(name)


@asynccontextmanager
async def _keys() -> AsyncGenerator[KeyStore, None]:
    """Open the store that the settings name; a server may be using it meanwhile."""
    found = settings()
    logs.configure("error")
    store = SqlStore(found.database_url)
    try:
        await store.open()
        yield SqlKeys(store.database)
    finally:
        await store.close()
