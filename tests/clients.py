"""How programs talk to a running server: forms, lines of JSON, event streams, WebSockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.asyncio.client import connect

from tests.fakes import Exchange, RillServer, ScriptedUpstream

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


@dataclass
class Event:
    """One event of a stream: its fields as they stood there, in order."""

    fields: list[tuple[str, str]] = field(default_factory=list)

    def values(self, name: str) -> list[str]:
        return [value for found, value in self.fields if found == name]

    @property
    def data(self) -> str:
        return "\n".join(self.values("data"))

    @property
    def id(self) -> str:
        return "".join(self.values("id")[-1:])

    @property
    def name(self) -> str:
        return "".join(self.values("event")[-1:])


class EventStream:
    """An event stream as the WHATWG HTML specification reads it (section 9.2.6), comments kept apart.

    Made for these tests alone, so that the server is judged by other code than its own.
    """

    def __init__(self) -> None:
        self._text = ""
        self._is_first = True
        self._event = Event()
        self.comments: list[str] = []
        self.retries: list[str] = []

    @property
    def rest(self) -> str:
        """What came after the last whole event; a browser drops it."""
        return self._text or "".join(f"{name}: {value}" for name, value in self._event.fields)

    def feed(self, piece: str) -> Iterator[Event]:
        self._text += piece
        while (cut := self._line_end()) is not None:
            line, self._text = self._text[: cut[0]], self._text[cut[1] :]
            if self._is_first:
                line, self._is_first = line.removeprefix("\ufeff"), False
            event = self._take(line)
            if event is not None:
                yield event

    def _line_end(self) -> tuple[int, int] | None:
        ends = [place for sign in "\r\n" if (place := self._text.find(sign)) >= 0]
        if not ends:
            return None
        first = min(ends)
        if self._text[first] == "\r" and first + 1 == len(self._text):
            return None
        return first, first + (2 if self._text[first : first + 2] == "\r\n" else 1)

    def _take(self, line: str) -> Event | None:
        if not line:
            event, self._event = self._event, Event()
            return event if event.values("data") or event.values("event") else None
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not name:
            self.comments.append(value)
        elif name == "retry":
            self.retries.append(value)
        else:
            self._event.fields.append((name, value))
        return None


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
