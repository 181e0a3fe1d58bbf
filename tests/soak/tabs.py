"""A browser's tab, as far as a feed goes: a page that follows it over one transport after another.

It does what htmx 4.0.1 and the page's own attributes do: the addresses are the page's, a connection that breaks is
opened again, what a newer connection brings ends the older one, and each message is applied by itself.
"""

from __future__ import annotations

import asyncio
import json
import socket as sockets
import struct
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, suppress
from typing import Any, Literal

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, WebSocketException

from tests.clients import EVENTS, EventStream
from tests.dom import Dom

Way = Literal["socket", "events"]

AGAIN_SECONDS = 0.1
"""How soon a broken connection is tried again; htmx waits half a second, which would only make a soak longer."""
OPEN_SECONDS = 20.0
BROKEN = (OSError, WebSocketException, httpx.TransportError, EOFError)
"""What a program gets when a connection breaks, whoever broke it."""


class Gone(AssertionError):
    """The server says that there is no such conversation, though it was told to the reader."""


class Tab:
    """An open page; `page` is what a reader sees in it. It begins to follow at once, and does until `close`."""

    def __init__(self, url: str, html: str, headers: Mapping[str, str], client: httpx.AsyncClient, way: Way) -> None:
        self._url, self._headers, self._client = url, headers, client
        self.page = Dom(html)
        self.way = way
        self._path = self.page.attribute("main[hx-ws\\:connect]", "hx-ws:connect")
        self._last_id = ""
        self._is_reading = asyncio.Event()
        self._is_reading.set()
        self._has_changed = asyncio.Event()
        self._websocket: ClientConnection | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._connect()

    async def close(self) -> None:
        """Leave the page."""
        self._disconnect()
        await asyncio.wait(self._tasks)

    def check(self) -> None:
        """Raise what went wrong here, besides connections that broke."""
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()

    def hide(self) -> None:
        """Put another tab in front: htmx closes the socket."""
        self._disconnect()

    def show(self) -> None:
        self._connect()

    def change(self, way: Way, *, forgets: bool = False) -> None:
        """Follow over this transport from now on; the older connection goes on until the new one brings something.

        `forgets` makes an event stream begin without a `Last-Event-ID`.
        """
        self.way = way
        if forgets:
            self._last_id = ""
        self._connect()

    def read(self, is_reading: bool) -> None:
        """Let the browser stand still, or go on."""
        if is_reading:
            self._is_reading.set()
        else:
            self._is_reading.clear()

    def reset(self) -> None:
        """Break the socket off as a host that crashed does."""
        if self._websocket is not None:
            raw = self._websocket.transport.get_extra_info("socket")
            with suppress(OSError):
                raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))
            self._websocket.transport.abort()

    async def send(self, fields: Mapping[str, str]) -> None:
        """Send a prompt up the socket, if there is one; nobody knows whether it arrives."""
        if self._websocket is not None:
            with suppress(*BROKEN):
                await self._websocket.send(json.dumps({**fields, "headers": {"HX-Request": "true"}}))

    async def shows(self, condition: Callable[[Dom], object], seconds: float) -> bool:
        """Wait until the page is in a state, and tell whether it came to that. One may wait at a time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not condition(self.page):
                    self._has_changed.clear()
                    self.check()
                    with suppress(TimeoutError):
                        # Not for longer, so that what went wrong in a connection's task is noticed.
                        await asyncio.wait_for(self._has_changed.wait(), 1)
        self.check()
        return bool(condition(self.page))

    def _connect(self) -> None:
        self._tasks = [task for task in self._tasks if not task.done() or not task.cancelled()]
        self._tasks.append(asyncio.create_task(self._follow(list(self._tasks))))

    def _disconnect(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _follow(self, older: list[asyncio.Task[None]]) -> None:
        while True:
            with suppress(*BROKEN):
                async with aclosing(self._over_socket() if self.way == "socket" else self._over_events()) as messages:
                    async for message in messages:
                        await self._is_reading.wait()
                        # No await between these two: whatever an older connection still brings is dropped.
                        for task in older:
                            task.cancel()
                        self.page.receive(message)
                        self._has_changed.set()
            await asyncio.sleep(AGAIN_SECONDS)

    async def _over_socket(self) -> AsyncGenerator[str, None]:
        url = self._url.replace("http", "ws", 1) + self._path
        options: dict[str, Any] = {"additional_headers": self._headers, "proxy": None, "max_size": None}
        try:
            opening = connect(url, open_timeout=OPEN_SECONDS, close_timeout=1, ping_interval=None, **options)
            async with opening as websocket:
                self._websocket, self._last_id = websocket, ""
                async for message in websocket:
                    yield str(message)
        except InvalidStatus as refusal:
            _require_there(refusal.response.status_code)
        except InvalidHandshake:
            pass  # The connection broke in the middle of it.

    async def _over_events(self) -> AsyncGenerator[str, None]:
        headers = {**EVENTS, **self._headers, **({"Last-Event-ID": self._last_id} if self._last_id else {})}
        async with self._client.stream("GET", self._path, headers=headers) as response:
            _require_there(response.status_code)
            if response.status_code != 200:
                return
            stream = EventStream()
            async for piece in response.aiter_text():
                for event in stream.feed(piece):
                    self._last_id = event.id or self._last_id
                    yield event.data


def _require_there(status: int) -> None:
    if status in {404, 410}:
        raise Gone(f"a feed that was there answers {status}")
