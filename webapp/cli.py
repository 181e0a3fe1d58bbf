"""The command `rill`: `serve` runs the chat, `check` says whether what it needs is there, `feedback` prints ratings.

`key` and `ask` are modules of their own.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import Awaitable, Sequence
from contextlib import aclosing

import click
import uvicorn
from sse_starlette.sse import AppStatus
from starlette.applications import Starlette

from webapp import errors, logs
from webapp.app import create_app
from webapp.ask_command import ask
from webapp.domain import Model, ModelKind, ModelState, RatedReply
from webapp.embed_commands import embed
from webapp.key_commands import key
from webapp.model_choice import choose_provider
from webapp.providers import ChatMessage
from webapp.server import allow_open_files, configuration, settle_memory, share_the_interpreter
from webapp.settings import Settings
from webapp.stores.sql import SqlStore
from webapp.terminal import STORE_ADVICE, fail, told
from webapp.terminal import settings as read_settings


@click.group()
@click.version_option(package_name="rill", message="Rill %(version)s")
def main() -> None:
    """Streaming AI chat that is just HTML. Settings come from the environment and .env; the README lists them."""


main.add_command(embed)
main.add_command(ask)
main.add_command(key)


@main.command()
def serve() -> None:
    """Run the chat until it is told to stop."""
    settings = read_settings()
    logs.configure(settings.rill_log_level)
    try:
        # Said in a sentence here; inside the server it would be a traceback.
        asyncio.run(_try_store(settings))
        app = create_app(settings=settings)
    except errors.RillError as error:
        fail(f"Rill cannot start: {told(error)} {STORE_ADVICE}")
    except OSError as error:
        fail(f"Rill cannot start: its data folder cannot be used ({error}). {STORE_ADVICE}")
    allow_open_files()
    server = _Server(configuration(app, settings), app, settings.rill_shutdown_grace_seconds)
    server.run()
    if not server.started:
        sys.exit(3)


class _Server(uvicorn.Server):
    """Says where the chat is and what answers, and lets running replies end before it does.

    While it drains, readers stay connected and see the rest; only new prompts are refused. A second signal ends that.
    """

    def __init__(self, config: uvicorn.Config, app: Starlette, grace_seconds: float) -> None:
        super().__init__(config)
        self._app, self._grace_seconds = app, grace_seconds
        # It would end event streams at the signal, not at the end of what they carry.
        AppStatus.disable_automatic_graceful_drain()  # type: ignore[no-untyped-call]  # Its own lack.

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self.servers:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            model = describe(self._app.state.services.provider.model)
            settle_memory()
            share_the_interpreter()
            click.echo(f"\n  Rill is at http://{shown}:{port}/\n  {model}\n  Ctrl+C ends it.\n", err=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        turns = self._app.state.services.turns
        drain = asyncio.create_task(turns.drain(self._grace_seconds))
        while not drain.done() and not self.force_exit:
            await asyncio.wait([drain], timeout=0.1)
        if not drain.done():
            drain.cancel()
            await turns.drain(0)
            self.force_exit = False  # What else the app has open still has to be closed.
        AppStatus.should_exit = True
        await super().shutdown(sockets)


def describe(model: Model) -> str:
    """Say in one line what answers."""
    if model.state is ModelState.UNAVAILABLE:
        return f"No model answers yet: {model.detail}"
    name = model.name or "a model"
    if model.state is ModelState.STARTING:
        return f"{name} will answer. {model.detail}"
    if model.kind is ModelKind.BUILT_IN:
        return f"Answers come from {name}, a small model on {model.where}. It is fluent and often wrong."
    return f"Answers come from {name}, {model.where}."


@main.command()
def check() -> None:
    """Say in words whether the settings, the store and the model work, and what to do if not."""
    settings = read_settings()
    logs.configure("error")
    click.echo("Settings: fine.")
    sys.exit(0 if asyncio.run(_check(settings)) else 1)


async def _check(settings: Settings) -> bool:
    is_store_fine = await _is_fine("Store", _try_store(settings), STORE_ADVICE)
    advice = "Check OPENAI_BASE_URL, OPENAI_API_KEY and RILL_MODEL."
    return await _is_fine("Model", _try_model(settings), advice) and is_store_fine


async def _is_fine(part: str, attempt: Awaitable[str], advice: str) -> bool:
    try:
        click.echo(f"{part}: {await attempt}")
    except errors.RillError as error:
        click.echo(f"{part}: does not work. {told(error)} {advice}")
        return False
    return True


async def _try_store(settings: Settings) -> str:
    store = SqlStore(settings.database_url)
    try:
        await store.open()
        await store.check()
    finally:
        await store.close()
    return f"fine, {'SQLite' if store.is_embedded else 'PostgreSQL'}."


async def _try_model(settings: Settings) -> str:
    provider = await choose_provider(settings)
    try:
        await provider.open()
        async with aclosing(provider.stream([ChatMessage(role="user", content="Say hello.")])) as chunks:
            async for _ in chunks:
                return f"fine. {describe(provider.model)}"
    finally:
        await provider.close()
    raise errors.EmptyReply


@main.command()
def feedback() -> None:
    """Print all rated replies, one JSON object a line: rating, comment, prompt, reply, model."""
    settings = read_settings()
    logs.configure("error")
    try:
        for line in asyncio.run(_feedback(settings)):
            click.echo(line)
    except errors.StoreUnavailable as error:
        fail(f"{told(error)} {STORE_ADVICE}")


async def _feedback(settings: Settings) -> Sequence[str]:
    store = SqlStore(settings.database_url)
    try:
        await store.open()
        return [_as_line(rated) for rated in await store.ratings()]
    finally:
        await store.close()


def _as_line(rated: RatedReply) -> str:
    reply = rated.reply
    about = {"conversation": rated.conversation_id, "reply_number": reply.number, "at": reply.created_at.isoformat()}
    said = {"rating": reply.rating, "comment": reply.comment, "prompt": rated.prompt, "reply": reply.text}
    return json.dumps({**about, **said, "model": reply.measures.model}, ensure_ascii=False)
