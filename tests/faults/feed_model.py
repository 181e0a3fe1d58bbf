"""One conversation in the real app, in this process, with tabs that lose their connections as browsers do.

Real: the app with its routes, transports, turns, store (a SQLite file), broker, renderer. Models: the browser (`Tab`,
which does what htmx 4.0.1 and its extensions do, on a small DOM), the network between them (`Line`, a queue that the
case empties as it likes), the model service (`Pen`), and the clock, which passes only when a case says so.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiosqlite.core
import pytest
from starlette.applications import Starlette

from tests.clients import EventStream
from tests.dom import Dom
from webapp import app as app_module
from webapp import create_app
from webapp.domain import ReasoningChunk
from webapp.markdown.workers import Workers
from webapp.settings import read
from webapp.stores.sql import SqlStore

HOST = ("host", "localhost")

_is_waited_for: ContextVar[bool] = ContextVar("is_waited_for", default=False)
Header = tuple[str, str]


class SteppedLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock stands still between `advance`s, and which can tell when it is at rest."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 1000.0

    def time(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds

    @property
    def is_at_rest(self) -> bool:
        """Whether no callback is ready besides the one that asks."""
        return not self._ready  # type: ignore[attr-defined]  # The base class has no name for this.


class Elsewhere:
    """Counts the work that goes on outside the loop (the highlighter's process).

    `hold` keeps back the outcome of a coming call of a name until `release`, as a slow disk does; but never a read
    that the case itself waits for.
    """

    def __init__(self) -> None:
        self._under_way = 0
        self._none = asyncio.Event()
        self._none.set()
        self._to_hold: dict[str, int] = {}
        self._gate = asyncio.Event()

    def hold(self, name: str, after: int = 0) -> None:
        """Hold the next call, or the one `after` some more."""
        self._to_hold[name] = after

    def release(self) -> None:
        self._to_hold.clear()
        self._gate.set()
        self._gate = asyncio.Event()

    def counting(self, name: str, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def counted(*args: Any, **options: Any) -> Any:
            self._under_way += 1
            self._none.clear()
            try:
                outcome = await call(*args, **options)
            finally:
                self._under_way -= 1
                if not self._under_way:
                    self._none.set()
            if name in self._to_hold and not (name == "conversation" and _is_waited_for.get()):
                self._to_hold[name] -= 1
                if self._to_hold[name] < 0:
                    del self._to_hold[name]
                    await self._gate.wait()
            return outcome

        return counted

    async def rest(self) -> None:
        """Wait until nothing happens any more, here or elsewhere, but for what is held."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SteppedLoop)
        while True:
            await asyncio.sleep(0)
            if self._under_way:
                await self._none.wait()
            elif loop.is_at_rest:
                return


class WatchedStore:
    """The real store, each of whose calls is counted."""

    def __init__(self, store: SqlStore, elsewhere: Elsewhere) -> None:
        self._store, self._elsewhere = store, elsewhere

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        return self._elsewhere.counting(name, found) if callable(found) else found


class NextTurn:
    """Has a connection to SQLite work in the next turn of the loop instead of a thread of its own.

    It takes the place of the queue to the thread. A case then costs a third, and its seed gives the same case again.
    """

    def put_nowait(self, order: tuple[asyncio.Future[Any] | None, Callable[[], Any]]) -> None:
        asyncio.get_running_loop().call_soon(self._work, *order)

    @staticmethod
    def _work(future: asyncio.Future[Any] | None, function: Callable[[], Any]) -> None:
        try:
            outcome = function()
        except Exception as error:  # noqa: BLE001  # It is raised where it is awaited.
            if future is not None and not future.done():
                future.set_exception(error)
        else:
            if future is not None and not future.done():
                future.set_result(outcome)


class NoThread:
    """The thread that a connection to SQLite would have."""

    def __init__(self, **_: object) -> None:
        self.daemon = True

    def start(self) -> None:
        """Nothing has to be started."""


class Pen:
    """What one conversation's model writes: a queue for each turn, the newest one last."""

    def __init__(self) -> None:
        self.queues: list[asyncio.Queue[str | ReasoningChunk | Exception | None]] = []

    async def write(self) -> AsyncIterator[str | ReasoningChunk]:
        queue: asyncio.Queue[str | ReasoningChunk | Exception | None] = asyncio.Queue()
        self.queues.append(queue)
        while (word := await queue.get()) is not None:
            if isinstance(word, Exception):
                raise word
            yield word

    def put(self, *words: str | ReasoningChunk | Exception | None) -> None:
        for word in words:
            self.queues[-1].put_nowait(word)


class Line:
    """One connection of a tab's. What the server sent is in flight until the case delivers or loses it."""

    def __init__(self, app: Starlette, scope: dict[str, Any], capacity: int) -> None:
        self.flight: deque[str] = deque()
        self.status: int | None = None
        self.close_code: int | None = None
        self._capacity = capacity
        self._room = asyncio.Event()
        self._coming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._is_socket = scope["type"] == "websocket"
        self._coming.put_nowait({"type": "websocket.connect"} if self._is_socket else {"type": "http.request"})
        self._task = asyncio.create_task(app(scope, self._coming.get, self._send))

    @property
    def has_ended(self) -> bool:
        return self._task.done()

    def say(self, text: str) -> None:
        """Send a frame up a socket."""
        self._coming.put_nowait({"type": "websocket.receive", "text": text})

    def take(self) -> str:
        piece = self.flight.popleft()
        self._room.set()
        return piece

    def close(self) -> None:
        """Break the connection; what is in flight is lost."""
        self.flight.clear()
        self._capacity = 1_000_000
        self._room.set()
        gone = {"type": "websocket.disconnect", "code": 1006} if self._is_socket else {"type": "http.disconnect"}
        self._coming.put_nowait(gone)

    async def ended(self) -> None:
        """Wait until the server's task has ended by itself, as it has to after a close."""
        await self._task

    async def _send(self, message: Any) -> None:
        match message["type"]:
            case "http.response.start" | "websocket.http.response.start":
                self.status = message["status"]
            case "websocket.accept":
                self.status = 101
            case "websocket.close":
                self.close_code = message.get("code", 1000)
            case "websocket.send":
                await self._put(message["text"])
            case "http.response.body":
                if body := message.get("body"):
                    await self._put(body.decode())

    async def _put(self, text: str) -> None:
        while len(self.flight) >= self._capacity:
            self._room.clear()
            await self._room.wait()
        self.flight.append(text)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    text: str


class Reader:
    """One browser's requests to the app, with its cookie."""

    def __init__(self, app: Starlette) -> None:
        self._app = app
        self.cookie = ""

    async def get(self, url: str, **headers: str) -> Answer:
        return await self._request("GET", url, b"", headers)

    async def post(self, url: str, **fields: str) -> Answer:
        """Send a form as htmx does."""
        headers = {"content-type": "application/x-www-form-urlencoded", "hx-request": "true"}
        return await self._request("POST", url, urlencode(fields).encode(), headers)

    def socket(self, url: str, capacity: int) -> Line:
        return Line(self._app, self._scope("websocket", "ws", url, {}), capacity)

    def events(self, url: str, last_event_id: str, capacity: int) -> Line:
        headers = {"accept": "text/html, text/event-stream", "hx-request": "true"}
        if last_event_id:
            headers["last-event-id"] = last_event_id
        return Line(self._app, {**self._scope("http", "http", url, headers), "method": "GET"}, capacity)

    async def _request(self, method: str, url: str, body: bytes, headers: dict[str, str]) -> Answer:
        scope = {**self._scope("http", "http", url, headers), "method": method}
        coming = [{"type": "http.request", "body": body}]
        answer = Answer(0, {}, "")
        never = asyncio.Event()

        async def receive() -> Any:
            if coming:
                return coming.pop()
            await never.wait()
            return None

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                answer.text += message.get("body", b"").decode()

        token = _is_waited_for.set(True)
        try:
            await self._app(scope, receive, send)
        finally:
            _is_waited_for.reset(token)
        if (cookie := answer.headers.get("set-cookie")) and not self.cookie:
            self.cookie = cookie.partition(";")[0]
        return answer

    def _scope(self, kind: str, scheme: str, url: str, headers: dict[str, str]) -> dict[str, Any]:
        path, _, query = url.partition("?")
        sent = [HOST, *headers.items(), *([("cookie", self.cookie)] if self.cookie else [])]
        return {
            "type": kind,
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": scheme,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode()) for name, value in sent],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "subprotocols": [],
            "state": {},
        }


FALLBACK = "#rill-fallback > i"


@dataclass
class Tab:
    """A page in a browser, and what htmx and its extensions do with its connections.

    Frames of a socket that was replaced are dropped, with those of the new one behind them; an event source that was
    swapped out is closed; one that lost its connection comes back with the id of the last event that it got whole; the
    fallback is asked for when the socket closes, and comes when the network pleases.
    """

    reader: Reader
    path: str
    page: Dom
    has_sockets: bool = True
    is_hidden: bool = False
    capacity: int = 1_000_000
    socket: Line | None = None
    source: Line | None = None
    stream: EventStream = field(default_factory=EventStream)
    last_event_id: str = ""
    fallbacks: list[str] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    closed: list[Line] = field(default_factory=list)

    @classmethod
    async def load(cls, reader: Reader, path: str) -> Tab:
        answer = await reader.get(path)
        assert answer.status == 200, answer
        return cls(reader, path, Dom(answer.text))

    @property
    def url(self) -> str:
        return self.page.attribute("#rill-chat", "hx-ws:connect")

    @property
    def has_source(self) -> bool:
        return self.page.has(FALLBACK)

    @property
    def is_connected(self) -> bool:
        return self.socket is not None or self.source is not None

    async def leave(self) -> None:
        """Close both connections, as a reload does or the end of the tab."""
        self._close_socket()
        self._close_source()
        self.fallbacks.clear()

    async def end(self) -> None:
        """Leave for good; the server has to notice the end of every connection."""
        await self.leave()
        for line in self.closed:
            await line.ended()

    async def reload(self) -> None:
        await self.leave()
        answer = await self.reader.get(self.path)
        self.page, self.last_event_id = Dom(answer.text), ""

    def open_socket(self) -> None:
        if self.has_sockets and self.socket is None and not self.is_hidden:
            self.socket = self.reader.socket(self.url, self.capacity)

    def open_source(self) -> None:
        if self.source is None and not self.is_hidden and self.has_source:
            url = self.page.attribute(FALLBACK, "hx-sse:connect")
            self.source, self.stream = self.reader.events(url, self.last_event_id, self.capacity), EventStream()

    async def cut_socket(self) -> None:
        """Lose the socket with all that is in flight; unless an event source is there, the page asks for one."""
        if self.socket is None:
            return
        self._close_socket()
        if not self.is_hidden and not self.has_source:
            answer = await self.reader.get(self.url.replace("/stream", "/fallback"), **{"hx-request": "true"})
            assert answer.status == 200
            self.fallbacks.append(answer.text)

    async def cut_source(self, chars: int = 0) -> None:
        """Lose the event stream, with the first characters of what is in flight still arriving."""
        if self.source is not None:
            whole = "".join(self.source.flight)
            await self._hear(whole[:chars])
            self._close_source()

    async def hide(self) -> None:
        self.is_hidden = True
        self._close_socket()
        self._close_source()

    def show(self) -> None:
        self.is_hidden = False
        self.open_socket()
        self.open_source()

    async def take_frame(self) -> bool:
        """Get the next frame of the socket, if one is in flight."""
        if self.socket is None or not self.socket.flight:
            return False
        await self._apply(self.socket.take())
        return True

    async def take_event(self) -> bool:
        """Get the next piece of the event stream, if one is in flight."""
        if self.source is None or not self.source.flight:
            return False
        await self._hear(self.source.take())
        return True

    async def take_fallback(self) -> bool:
        """Get the answer to a request for the fallback."""
        if not self.fallbacks:
            return False
        await self._apply(self.fallbacks.pop(0))
        self.open_source()
        return True

    async def _hear(self, piece: str) -> None:
        stream = self.stream
        for event in stream.feed(piece):
            if stream is not self.stream:
                return  # An event before this one took the source away.
            if event.id:
                self.last_event_id = event.id
            await self._apply(event.data)

    async def _apply(self, message: str) -> None:
        self.heard.append(message)
        self.page.receive(message)
        if '<hx-partial id="rill-fallback">' in message:
            self.last_event_id = ""
            self._close_source()

    def _close_socket(self) -> None:
        line, self.socket = self.socket, None
        if line is not None:
            line.close()
            self.closed.append(line)

    def _close_source(self) -> None:
        line, self.source = self.source, None
        self.stream = EventStream()
        if line is not None:
            line.close()
            self.closed.append(line)


@dataclass
class World:
    """The app, and what goes on around it."""

    app: Starlette
    loop: SteppedLoop
    elsewhere: Elsewhere
    pens: dict[str, Pen]

    async def rest(self) -> None:
        await self.elsewhere.rest()

    async def pass_time(self, seconds: float) -> None:
        # What goes on elsewhere knows no such clock, and would seem to have taken all that time.
        await self.rest()
        self.loop.advance(seconds)
        await self.rest()


_SETTINGS = {"RILL_SHUTDOWN_GRACE_SECONDS": "0"}
"""A clock that stands still would let a turn that is left behind go on for ever."""


@asynccontextmanager
async def world(folder: Path, **settings: str) -> AsyncIterator[World]:
    """Run the app in this loop, which has to be a `SteppedLoop`."""
    loop, elsewhere = asyncio.get_running_loop(), Elsewhere()
    assert isinstance(loop, SteppedLoop)
    pens: dict[str, Pen] = {}

    async def reply(messages: list[dict[str, str]]) -> AsyncIterator[str | ReasoningChunk]:
        """Write what the pen writes that the first prompt's first word names."""
        async for word in pens[messages[0]["content"].split()[0]].write():
            yield word

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aiosqlite.core, "SimpleQueue", NextTurn)
        patch.setattr(aiosqlite.core, "Thread", NoThread)
        patch.setattr(app_module, "SqlStore", lambda url: WatchedStore(SqlStore(url), elsewhere))
        highlight = Workers.highlight

        async def counted(self: Workers, source: str, language: str) -> str | None:
            return await elsewhere.counting("highlight", highlight)(self, source, language)  # type: ignore[no-any-return]

        patch.setattr(Workers, "highlight", counted)
        app = create_app(
            reply=reply, settings=read({**_SETTINGS, "RILL_DATA_DIR": str(folder), **settings}, folder / "none")
        )
        async with app.router.lifespan_context(app):
            yield World(app, loop, elsewhere, pens)
