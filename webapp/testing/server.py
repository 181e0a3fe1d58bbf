"""The real app on a free port of this machine, in the event loop of the test."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette

from webapp.app import create_app
from webapp.server import configuration
from webapp.settings import Settings
from webapp.testing.readers import Reader
from webapp.testing.scripts import Script, reply_function


@asynccontextmanager
async def chat(*script: Script, **settings: Any) -> AsyncGenerator[Reader, None]:
    """Run a chat that replies as scripted, and give a reader who has opened its page.

    The script is pieces (texts, or a `Gate` to wait at, or an exception to fail with), which are the reply to every
    prompt; or a list of pieces for each reply, in turn; or a function that takes the conversation. `settings` are those
    of the README in lower case, such as `rill_max_prompt_chars=10`; environment and `.env` are not read. Nothing is
    kept, and nothing is asked of any other machine.
    """
    reply = reply_function(script)
    with tempfile.TemporaryDirectory(prefix="rill-testing-") as folder:
        usual = {"rill_data_dir": Path(folder), "rill_port": 0, "rill_titles": False, "rill_shutdown_grace_seconds": 0}
        chosen = Settings(**{**usual, **settings})
        app = create_app(reply, settings=chosen)
        async with _served(app, chosen) as url:
            reader = Reader(url)
            try:
                await reader.open()
                yield reader
            finally:
                await reader.close()


@asynccontextmanager
async def _served(app: Starlette, settings: Settings) -> AsyncGenerator[str, None]:
    """Serve an app until it is left. What is wrong at its start is raised here, and not logged by the server."""
    config = configuration(app, settings)
    config.lifespan, config.timeout_graceful_shutdown = "off", 1
    async with app.router.lifespan_context(app):
        server = _Server(config)
        serving = asyncio.create_task(server.serve(), name="uvicorn")
        try:
            await server.has_started.wait()
            host, port = server.servers[0].sockets[0].getsockname()[:2]
            yield f"http://{host}:{port}"
        finally:
            server.should_exit = True
            await serving


class _Server(uvicorn.Server):
    """One among others in a process that is not its own: Ctrl+C is for whoever runs the tests."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.has_started = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.has_started.set()
