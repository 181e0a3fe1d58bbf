"""The command `rill embed`: the embeds in the operator's file, added, listed, switched off and on."""

from __future__ import annotations

import asyncio
import json
import secrets
from pathlib import Path

import click
import tomlkit
from tomlkit import TOMLDocument
from tomlkit.exceptions import TOMLKitError

from webapp import errors, logs
from webapp.branding import Brand
from webapp.domain import Conversation, Visitor
from webapp.embeds import Embed, read_embed, read_embeds, read_tables
from webapp.exports import PAGE_SIZE, as_object
from webapp.security import signing_secret, write_private
from webapp.settings import Settings
from webapp.setups import read_offer
from webapp.snippets import snippets
from webapp.stores.sql import SqlStore
from webapp.stores.visitors import SqlVisitors
from webapp.terminal import STORE_ADVICE, fail, settings, told
from webapp.visits import OperatorPass

_url = click.option(
    "--url", default="http://127.0.0.1:8000", show_default=True, help="Address of this server, for the lines."
)


@click.group("embed")
def embed() -> None:
    """Chats in pages of other sites; a running server sees every change at once."""


@embed.command()
@click.argument("name")
@click.option("--origin", "origins", multiple=True, help="Whose pages may have it, such as https://shop.example.")
@click.option("--title", default="", help="What stands above it.")
@click.option("--greeting", default="", help="What an empty chat says.")
@click.option("--assistant", default="", help="Id of one of the assistants in RILL_ASSISTANTS.")
@click.option("--system-prompt", default="", help="Text put before each conversation, for the model only.")
@click.option("--model", default=None, help="Model that answers, if not the usual one.")
@_url
def add(name: str, url: str, **given: object) -> None:
    """Add a chat called NAME, and print the lines for the pages that are to have it."""
    found = settings()
    document = _document(found.embeds_path)
    if name in document:
        fail(f"There is an embed {name} already in {found.embeds_path}.")
    table = {key: list(value) if isinstance(value, tuple) else value for key, value in given.items() if value}
    table["secret"] = secrets.token_hex(32)
    added = _checked(name, table, found.embeds_path)
    document[name] = tomlkit.item(table)
    _write(found, document)
    click.echo(f"Added to {found.embeds_path}.", err=True)
    if not added.origins:
        click.echo("No page of another site may have it yet: give its origins.", err=True)
    _print_lines(found, added, url)


@embed.command("list")
def list_all() -> None:
    """Print all, one a line: name, whether it is on, origins."""
    path = settings().embeds_path
    try:
        embeds = [read_embed(name, table, path) for name, table in read_tables(path).items()]
    except errors.SettingsInvalid as error:
        fail(error.sentence)
    for each in embeds:
        click.echo("\t".join([each.name, "on" if each.enabled else "off", " ".join(each.origins)]))


@embed.command()
@click.argument("name")
def disable(name: str) -> None:
    """Switch NAME off: its pages say that there is no chat, and nothing is deleted."""
    _switch(name, is_on=False)


@embed.command()
@click.argument("name")
def enable(name: str) -> None:
    """Switch NAME on again."""
    _switch(name, is_on=True)


@embed.command()
@click.argument("name")
@_url
def snippet(name: str, url: str) -> None:
    """Print the lines for pages that are to have NAME."""
    found = settings()
    document = _document(found.embeds_path)
    _require(name, document, found.embeds_path)
    _print_lines(found, _checked(name, document.unwrap()[name], found.embeds_path), url)


@embed.command()
@click.argument("name")
@_url
def page(name: str, url: str) -> None:
    """Print the address of a page with what visitors of NAME have said; it is good for eight hours."""
    found = settings()
    _require(name, _document(found.embeds_path), found.embeds_path)
    shown_pass = OperatorPass(signing_secret(found)).make(name)
    click.echo(f"{url.rstrip('/')}/embed/{name}/conversations?pass={shown_pass}")


@embed.command()
@click.argument("name")
def conversations(name: str) -> None:
    """Print what visitors of NAME have said and were answered, the latest first, one JSON object a line."""
    logs.configure("error")
    try:
        asyncio.run(_print_conversations(settings(), name))
    except errors.StoreUnavailable as error:
        fail(f"{told(error)} {STORE_ADVICE}")


async def _print_conversations(found: Settings, name: str) -> None:
    # What was said in one that is no longer in the file can be had, too.
    prefix, after = _checked(name, {}, found.embeds_path).owner_prefix, None
    store = SqlStore(found.database_url)
    try:
        await store.open()
        visitors = SqlVisitors(store.database)
        while page := await visitors.conversations(prefix, PAGE_SIZE, after):
            for visitor, conversation in page:
                click.echo(_as_line(visitor, conversation))
            after = page[-1][1].listed.place
    finally:
        await store.close()


def _as_line(visitor: Visitor | None, conversation: Conversation) -> str:
    who = {"subject": visitor.subject, "name": visitor.name, "context": visitor.context} if visitor else None
    return json.dumps({"visitor": who, **as_object(conversation, conversation.messages)}, ensure_ascii=False)


def _switch(name: str, *, is_on: bool) -> None:
    found = settings()
    document = _document(found.embeds_path)
    _require(name, document, found.embeds_path)
    document[name]["enabled"] = is_on
    _write(found, document)
    click.echo(f"{name} is {'on' if is_on else 'off'}.", err=True)


def _print_lines(found: Settings, added: Embed, url: str) -> None:
    brand = Brand(found.rill_name, found.rill_footer, found.rill_logo, found.rill_accent)
    lines = snippets(f"{url.rstrip('/')}/embed/{added.name}", added.title or brand.name, *brand.button_colors)
    click.echo(f"A frame:\n\n{lines.frame}\n\nA button that opens it:\n\n{lines.button}\n")
    click.echo(f"In a page that has htmx:\n\n{lines.fragment}")


def _document(path: Path) -> TOMLDocument:
    """Read the file so that what is written again keeps its comments and its order."""
    try:
        return tomlkit.parse(path.read_text("utf-8")) if path.exists() else tomlkit.document()
    except (OSError, ValueError, TOMLKitError) as error:
        fail(f"{path} cannot be read: {error}.")


def _require(name: str, document: TOMLDocument, path: Path) -> None:
    if name not in document:
        fail(f"There is no embed {name} in {path}.")
    _checked(name, document.unwrap()[name], path)


def _checked(name: str, table: object, path: Path) -> Embed:
    try:
        return read_embed(name, table, path)
    except errors.SettingsInvalid as error:
        fail(error.sentence)


def _write(found: Settings, document: TOMLDocument) -> None:
    """Write the file, if a server can use all of it: it would go on as before, and nobody would know why."""
    path = found.embeds_path
    try:
        read_embeds(document.unwrap(), path, read_offer(found.rill_assistants))
    except errors.SettingsInvalid as error:
        fail(f"Nothing was changed, because a server could not use the file: {error.sentence}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(path, tomlkit.dumps(document))
    except OSError as error:
        fail(f"{path} cannot be written: {error.strerror}.")
