"""Readers over each transport, who all can tell the same: the reply's text so far, and how it ended.

What comes as fragments is applied as htmx does: by id, and not at all where the id is gone.
"""

from __future__ import annotations

import asyncio
import html
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import httpx

from tests.clients import EVENTS, LINES, EventStream, following, socket
from tests.fakes import until

_PARTIAL = re.compile(r'<hx-partial id="?([^" >]+)"?[^>]*>(.*?)</hx-partial>', re.DOTALL)
_REPLY = re.compile(
    r'<article id="(m\d+)" class="message reply"[^>]*data-state="(\w+)".*?'
    r'<div class="text"[^>]*>(.*?)(?:<i id="(m\d+-\d+)"></i>)?</div>',
    re.DOTALL,
)
_STEP = re.compile(r"(.*)<i id=(m\d+-\d+)></i>", re.DOTALL)


@dataclass
class Follower:
    """What a reader knows of the latest reply."""

    text: str = ""
    state: str = "running"
    marker: str | None = None

    def apply(self, fragments: str) -> None:
        """Apply fragments to the little that this reader remembers of the page."""
        for target, content in _PARTIAL.findall(fragments):
            if target == self.marker and (step := _STEP.fullmatch(content)):
                self.text += html.unescape(step[1])
                self.marker = step[2]
            elif replies := _REPLY.findall(content):
                _, self.state, text, self.marker = replies[-1]
                self.text = html.unescape(text)

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


@asynccontextmanager
async def over_websocket(reader: httpx.AsyncClient, prompt: str) -> AsyncIterator[tuple[str, Follower]]:
    path, follower = await _begin(reader, prompt), Follower()

    async def pump() -> AsyncIterator[None]:
        async for frame in connected:
            follower.apply(str(frame))
            yield

    async with socket(reader, f"{path}/stream") as connected, _reading(follower, pump()):
        yield path, follower


@asynccontextmanager
async def over_event_stream(reader: httpx.AsyncClient, prompt: str) -> AsyncIterator[tuple[str, Follower]]:
    path, follower = await _begin(reader, prompt), Follower()

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
            shown = page.rpartition('class="message reply"')[2].partition('<div class="text" dir="auto" hx-ignore>')[2]
            follower.text = html.unescape(shown.partition("</div>")[0])
            yield
        follower.state = _REPLY.findall((await reader.get(path)).text)[-1][1]

    async with reader.stream("GET", path) as response, _reading(follower, pump()):
        yield path, follower


@asynccontextmanager
async def over_turn_events(reader: httpx.AsyncClient, prompt: str) -> AsyncIterator[tuple[str, Follower]]:
    follower, stream = Follower(), EventStream()

    async def pump() -> AsyncIterator[None]:
        async for piece in response.aiter_text():
            for event in stream.feed(piece):
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
            while not found:
                found = re.findall(r'<li><a href="(/c/[^"]+)"', (await reader.get("/")).text)
            yield found[0], follower


TRANSPORTS: dict[str, Following] = {
    "websocket": over_websocket,
    "event stream": over_event_stream,
    "page": over_page,
    "turn's events": over_turn_events,
    "lines": over_lines,
    "tutorial": over_tutorial_socket,
}
