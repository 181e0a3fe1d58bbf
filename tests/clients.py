"""How programs talk to a running server: forms, lines of JSON, event streams, WebSockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from websockets.asyncio.client import connect

from tests.fakes import Exchange, RillServer, ScriptedUpstream
from webapp.testing.events import Event, EventStream

HTMX = {"HX-Request": "true"}
EVENTS = {"Accept": "text/event-stream"}
LINES = {"Accept": "application/x-ndjson"}


def new_reader(server: RillServer, **headers: str) -> httpx.AsyncClient:
    """A program that keeps its cookies, and so is one reader."""
    return httpx.AsyncClient(base_url=server.url, headers=headers, timeout=30, trust_env=False)


@dataclass
class Told:
    """What one turn told a program, line by line."""

    status: int
    path: str
    events: list[dict[str, Any]]

    @property
    def text(self) -> str:
        return "".join(event["content"] for event in self.events if event["type"] == "chunk")

    @property
    def end(self) -> dict[str, Any]:
        return self.events[-1]


async def ask(reader: httpx.AsyncClient, prompt: str = "Hello", path: str = "", **fields: str) -> Told:
    """Send a prompt to the conversation at `path`, or to a new one, and wait until it is answered."""
    response = await reader.post(f"{path}/messages", json={"prompt": prompt, **fields}, headers=LINES)
    events = [json.loads(line) for line in response.text.splitlines()] if response.is_success else []
    return Told(response.status_code, response.headers.get("location", ""), events)


@asynccontextmanager
async def asking(
    reader: httpx.AsyncClient, prompt: str = "Hello", path: str = ""
) -> AsyncIterator[tuple[str, AsyncIterator[dict[str, Any]]]]:
    """Send a prompt; give the conversation's path and what is told of the turn, as it comes."""
    async with reader.stream("POST", f"{path}/messages", json={"prompt": prompt}, headers=LINES) as response:
        assert response.status_code == 200
        yield response.headers["location"], _objects(response)


async def _objects(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    async for line in response.aiter_lines():
        yield json.loads(line)


async def page_with(reader: httpx.AsyncClient, path: str, text: str, seconds: float = 20.0) -> str:
    """Load a page again and again until it has a text in it."""
    deadline = asyncio.get_running_loop().time() + seconds
    while text not in (page := (await reader.get(path)).text):
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"waited {seconds:g} s for {text!r} in {path}:\n{page}")
    return page


class Gated:
    """A reply whose chunks come when the test lets them."""

    def __init__(self, upstream: ScriptedUpstream, *chunks: str) -> None:
        self._chunks = chunks
        self._allowed = asyncio.Semaphore(0)
        self.has_begun = asyncio.Event()
        upstream.script = self._script

    async def _script(self, exchange: Exchange) -> None:
        await exchange.head()
        self.has_begun.set()
        for chunk in self._chunks:
            await self._allowed.acquire()
            await exchange.chunk(chunk)
        await self._allowed.acquire()
        await exchange.finish()

    def let(self, chunks: int = 1) -> None:
        for _ in range(chunks):
            self._allowed.release()

    def let_all(self) -> None:
        """Let every chunk come, and the end."""
        self.let(len(self._chunks) + 1)


@asynccontextmanager
async def following(
    reader: httpx.AsyncClient, path: str, **headers: str
) -> AsyncIterator[tuple[EventStream, AsyncIterator[Event]]]:
    """Follow a conversation's feed as Server-Sent Events; the path may be that of a page's own feed."""
    path = path if "/stream" in path else f"{path}/stream"
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with reader.stream("GET", path, headers={**EVENTS, **sent}) as response:
        assert response.status_code == 200
        stream = EventStream()
        yield stream, _events(stream, response)


async def _events(stream: EventStream, response: httpx.Response) -> AsyncIterator[Event]:
    async for piece in response.aiter_text():
        for event in stream.feed(piece):
            yield event


def socket(reader: httpx.AsyncClient, path: str, **options: Any) -> AbstractAsyncContextManager[Any]:
    """Open a WebSocket with the reader's cookies."""
    cookies = "; ".join(f"{name}={value}" for name, value in reader.cookies.items())
    headers = {**({"Cookie": cookies} if cookies else {}), **options.pop("headers", {})}
    url = str(reader.base_url.join(path)).replace("http", "ws", 1)
    return connect(url, additional_headers=headers, proxy=None, **options)
