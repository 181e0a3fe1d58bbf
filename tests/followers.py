"""Readers over each transport, who all can tell the same: the reply's text so far, and how it ended.

What comes as fragments is applied to a page as htmx does it.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import httpx

from tests.clients import EVENTS, LINES, EventStream, following, socket
from tests.dom import Dom
from tests.fakes import until


@dataclass
class Follower:
    """What a reader knows of the latest reply."""

    text: str = ""
    state: str = "running"
    page: Dom | None = None

    def apply(self, message: str) -> None:
        """Apply fragments to the page."""
        assert self.page is not None
        self.page.receive(message)
        self.text, self.state = self.page.text(), self.page.state()

    def hear(self, event: dict[str, str]) -> None:
        """Take an event of one of the JSON protocols."""
        if event["type"] == "chunk":
            self.text += event["content"]
        else:
            self.state = {"done": event.get("state", "finished"), "error": "failed"}[event["type"]]

    async def sees(self, text: str) -> None:
        await until(lambda: text in self.text, f"{text!r} in {self.text!r}")

    async def has_ended(self, state: str) -> None:
        await until(lambda: self.state != "running", "the end of the reply")
        assert self.state == state


Following = Callable[[httpx.AsyncClient, str], AbstractAsyncContextManager[tuple[str, Follower]]]
"""Sends a prompt and follows the reply to it; gives the conversation's path and the follower."""


@asynccontextmanager
async def _reading(follower: Follower, pump: AsyncIterator[None]) -> AsyncIterator[Follower]:
    async def read() -> None:
        async for _ in pump:
            pass

    task = asyncio.create_task(read())
    try:
        yield follower
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _begin(reader: httpx.AsyncClient, prompt: str) -> str:
    answer = await reader.post("/messages", data={"prompt": prompt})
    assert answer.status_code == 303
    return str(answer.headers["location"])


async def _loaded(reader: httpx.AsyncClient, path: str) -> Dom:
    """Load a page as a browser that runs scripts does."""
    reader.cookies.delete("rill_scripts")
    return Dom((await reader.get(path)).text)


@asynccontextmanager
async def over_websocket(reader: httpx.AsyncClient, prompt: str) -> AsyncIterator[tuple[str, Follower]]:
    path = await _begin(reader, prompt)
    follower = Follower(page=await _loaded(reader, path))

    async def pump() -> AsyncIterator[None]:
        async for frame in connected:
            follower.apply(str(frame))
            yield

    async with socket(reader, f"{path}/stream") as connected, _reading(follower, pump()):
        yield path, follower


@asynccontextmanager
async def over_event_stream(reader: httpx.AsyncClient, prompt: str) -> AsyncIterator[tuple[str, Follower]]:
    path = await _begin(reader, prompt)
    follower = Follower(page=await _loaded(reader, path))

    async def pump() -> AsyncIterator[None]:
        async for event in events:
            follower.apply(event.data)
            yield

    async with following(reader, path) as (_, events), _reading(follower, pump()):
        yield path, follower


@asynccontextmanager
async def over_page(reader: httpx.AsyncClient, prompt: str) -> AsyncIterator[tuple[str, Follower]]:
    path, follower = await _begin(reader, prompt), Follower()

    async def pump() -> AsyncIterator[None]:
        page = ""
        async for piece in response.aiter_text():
            page += piece
            follower.text = Dom(page).text()
            yield
        follower.state = Dom(page).state()

    async with reader.stream("GET", path) as response, _reading(follower, pump()):
        yield path, follower


@asynccontextmanager
async def over_turn_events(reader: httpx.AsyncClient, prompt: str) -> AsyncIterator[tuple[str, Follower]]:
    follower, stream = Follower(page=await _loaded(reader, "/")), EventStream()

    async def pump() -> AsyncIterator[None]:
        async for piece in response.aiter_text():
            for event in stream.feed(piece):
                if event.name != "done":
                    follower.apply(event.data)
            yield

    asked = reader.stream("POST", "/messages", data={"prompt": prompt}, headers=EVENTS)
    async with asked as response, _reading(follower, pump()):
        yield response.headers["location"], follower


@asynccontextmanager
async def over_lines(reader: httpx.AsyncClient, prompt: str) -> AsyncIterator[tuple[str, Follower]]:
    follower = Follower()

    async def pump() -> AsyncIterator[None]:
        async for line in response.aiter_lines():
            follower.hear(json.loads(line))
            yield

    asked = reader.stream("POST", "/messages", data={"prompt": prompt}, headers=LINES)
    async with asked as response, _reading(follower, pump()):
        yield response.headers["location"], follower


@asynccontextmanager
async def over_tutorial_socket(reader: httpx.AsyncClient, prompt: str) -> AsyncIterator[tuple[str, Follower]]:
    follower = Follower()

    async def pump() -> AsyncIterator[None]:
        async for frame in connected:
            follower.hear(json.loads(frame))
            yield

    await reader.get("/")
    async with socket(reader, "/chat") as connected:
        await connected.send(json.dumps({"prompt": prompt}))
        async with _reading(follower, pump()):
            found: list[str] = []
            async with asyncio.timeout(10):
                while not found:
                    found = re.findall(r'<li [^>]*><a href="(/c/[^"]+)"', (await reader.get("/")).text)
            yield found[0], follower


TRANSPORTS: dict[str, Following] = {
    "websocket": over_websocket,
    "event stream": over_event_stream,
    "page": over_page,
    "turn's events": over_turn_events,
    "lines": over_lines,
    "tutorial": over_tutorial_socket,
}
