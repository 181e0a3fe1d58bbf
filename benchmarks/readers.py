"""The load: readers that hold a socket to a server, send prompts and watch the replies arrive.

The WebSocket is spoken without tasks or queues, so that one process can watch 200 replies and read the clock as the
bytes come in.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast
from urllib.parse import urlsplit

import httpx

from benchmarks.upstream import NUMBER, Script, Stamp
from benchmarks.wire import CLOSE, PING, TEXT, FrameReader, frame, handshake

_PROGRESS = re.compile(r"<hx-partial id=rill-r\d+[bt-]")
_STATE = re.compile(r'data-state="(finished|failed|stopped|interrupted)"')


@dataclass(slots=True)
class Reply:
    """One reply as its reader saw it; times are of the shared clock, in nanoseconds."""

    script: Script
    asked: int
    is_running: bool = False
    stamp: Stamp | None = None
    seen: int = 0
    ended: int = 0
    pieces: int = 0
    wire_bytes: int = 0
    numbers: set[int] = field(default_factory=set)
    delays_ms: list[float] = field(default_factory=list)

    def note_numbers(self, text: str, now: int) -> None:
        """Note which chunks of a numbered reply a frame brings, and how late; what comes again is not news."""
        for number, written in NUMBER.findall(text):
            index = int(number)
            if index not in self.numbers:
                self.numbers.add(index)
                if written:
                    self.delays_ms.append((now - int(written)) / 1e6)

    @property
    def lost(self) -> int:
        """How many chunks of a numbered reply never came."""
        return self.script.chunks - 1 - len(self.numbers)

    @property
    def added_ms(self) -> float:
        """From the model's writing of its first chunk to the reader's seeing it."""
        return (self.seen - self._stamp.written) / 1e6

    @property
    def request_ms(self) -> float:
        """From the prompt's leaving the reader to its reaching the model."""
        return (self._stamp.arrived - self.asked) / 1e6

    @property
    def writing_ms(self) -> float:
        """From the model's writing of its first chunk to the reader's seeing the end of the reply."""
        return (self.ended - self._stamp.written) / 1e6

    @property
    def _stamp(self) -> Stamp:
        if self.stamp is None:
            raise RuntimeError("the reply's first chunk was not seen")
        return self.stamp


FIRST_SCRIPT = Script(2, 100)
"""What opens a conversation."""


class Format(Protocol):
    """How a server writes prompts and replies."""

    def prompt(self, text: str) -> str: ...

    def pieces(self, frame: str) -> int:
        """Count the pieces of a reply's text in a frame."""
        ...

    def is_end(self, frame: str) -> bool:
        """Tell whether a frame ends a reply. Raises `RuntimeError` if that did not end well."""
        ...


class TutorialFormat:
    """JSON frames: `chunk` after `chunk`, then `done`."""

    def prompt(self, text: str) -> str:
        return json.dumps({"prompt": text})

    def pieces(self, frame: str) -> int:
        return int('"chunk"' in frame)

    def is_end(self, frame: str) -> bool:
        if '"error"' in frame:
            raise RuntimeError(frame)
        return '"done"' in frame


class PageFormat:
    """Fragments of HTML, as Rill's own page takes them."""

    def __init__(self) -> None:
        self._sent = 0

    def prompt(self, text: str) -> str:
        self._sent += 1
        return json.dumps({"prompt": text, "request_id": f"bench-{self._sent}"})

    def pieces(self, frame: str) -> int:
        return len(_PROGRESS.findall(frame))

    def is_end(self, frame: str) -> bool:
        found = _STATE.search(frame)
        if found is not None and found[1] != "finished":
            raise RuntimeError(frame)
        return found is not None


class ReaderSocket(asyncio.Protocol):
    """A WebSocket, compressed as browsers have it, that watches one reply after the other."""

    def __init__(self, url: str, headers: dict[str, str], form: Format) -> None:
        self._url, self._headers, self._form = url, headers, form
        self._head: bytes | None = b""
        self._frames = FrameReader("")
        self._transport: asyncio.Transport
        self._reply: Reply | None = None
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        self._began: asyncio.Future[None] = loop.create_future()
        self._done: asyncio.Future[Reply] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(handshake(self._url, self._headers))

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(ConnectionError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        if self._reply is not None:
            self._reply.wire_bytes += len(data)
        try:
            if self._head is not None:
                data = self._open(self._head + data)
            for opcode, payload in self._frames.feed(data):
                self._take(opcode, payload, now)
        except RuntimeError as error:
            self._fail(error)

    def expect(self, script: Script, *, is_running: bool = False) -> None:
        """Watch a reply to a prompt that goes its own way; of one that is running, the beginning may be missed."""
        loop = asyncio.get_running_loop()
        self._reply = Reply(script, time.monotonic_ns(), is_running)
        self._began, self._done = loop.create_future(), loop.create_future()

    async def ask(self, script: Script) -> Reply:
        """Send a prompt, watch the reply to its end."""
        await self.begin(script)
        return await self.ended()

    async def begin(self, script: Script) -> None:
        """Send a prompt, wait for the reply's first chunk."""
        self.expect(script)
        self._transport.write(frame(TEXT, self._form.prompt(str(script)).encode()))
        await self._began

    async def ended(self) -> Reply:
        """Wait for the end of a reply that has begun."""
        return await self._done

    def close(self) -> None:
        self._transport.abort()

    def _open(self, received: bytes) -> bytes:
        """Read the answer to the handshake; give what comes after it."""
        head, separator, rest = received.partition(b"\r\n\r\n")
        if not separator:
            self._head = received
            return b""
        if not head.startswith(b"HTTP/1.1 101"):
            raise RuntimeError(f"the server refused the socket: {head[:40]!r}")
        extensions = re.search(rb"(?i)sec-websocket-extensions: (.*)", head)
        self._head, self._frames = None, FrameReader(extensions[1].decode() if extensions else "")
        self.opened.set_result(None)
        return rest

    def _take(self, opcode: int, payload: bytes, now: int) -> None:
        if opcode == TEXT:
            self._watch(payload.decode(), now)
        elif opcode == PING:
            self._transport.write(frame(10, payload))
        elif opcode == CLOSE:
            raise RuntimeError("the server closed the socket")

    def _watch(self, text: str, now: int) -> None:
        reply = self._reply
        if reply is None:
            return
        if reply.stamp is None and (stamp := Stamp.find(text)) is not None and stamp.arrived > reply.asked:
            reply.stamp, reply.seen = stamp, now
            self._began.set_result(None)
        if reply.script.is_numbered:
            reply.note_numbers(text, now)
        reply.pieces += self._form.pieces(text)
        if self._form.is_end(text) and (reply.stamp is not None or reply.is_running):
            reply.ended, self._reply = now, None
            self._done.set_result(reply)

    def _fail(self, error: Exception) -> None:
        for waiting in (self.opened, self._began, self._done):
            if not waiting.done():
                waiting.set_exception(error)
                waiting.exception()  # Read, so that a future that nobody awaits does not complain.


async def connect(url: str, headers: dict[str, str], form: Format, running: Script | None = None) -> ReaderSocket:
    """Open a socket; if a reply is `running` already, see it to its end. Raises `RuntimeError` if refused."""
    address, loop = urlsplit(url), asyncio.get_running_loop()
    socket = ReaderSocket(url, headers, form)
    # Before the socket opens, since the end may arrive together with the handshake's answer.
    if running is not None:
        socket.expect(running, is_running=True)
    await loop.create_connection(lambda: socket, address.hostname or "", address.port or 80)
    await socket.opened
    if running is not None:
        await socket.ended()
    return socket


async def open_tutorial(server: str) -> ReaderSocket:
    """Open a socket that speaks the tutorial's protocol."""
    return await connect(server.replace("http", "ws") + "/chat", {}, TutorialFormat())


async def open_page(server: str) -> ReaderSocket:
    """Do what a browser does: post the first prompt, follow to the conversation, open its socket."""
    async with httpx.AsyncClient(base_url=server, headers={"Origin": server}) as browser:
        return await open_conversation(await begin_conversation(browser, FIRST_SCRIPT), FIRST_SCRIPT)


@dataclass(frozen=True, slots=True)
class Conversation:
    """Where a conversation is, and whose it is."""

    server: str
    path: str
    cookie: str


async def begin_conversation(browser: httpx.AsyncClient, script: Script) -> Conversation:
    """Post the first prompt of a conversation."""
    server = str(browser.base_url).rstrip("/")
    answer = await browser.post("/messages", data={"prompt": str(script)}, follow_redirects=False)
    if answer.status_code != 303:
        raise RuntimeError(f"the first prompt was answered with {answer.status_code}")
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    return Conversation(server, httpx.URL(answer.headers["location"]).path, cookie)


async def open_conversation(conversation: Conversation, running: Script | None = None) -> ReaderSocket:
    """Open a conversation's socket as its page does; if a reply is `running`, see it to its end."""
    url = f"{conversation.server.replace('http', 'ws')}{conversation.path}/stream?since=0&page=x"
    headers = {"Cookie": conversation.cookie, "Origin": conversation.server}
    return await connect(url, headers, PageFormat(), running)


async def ask_all(sockets: Sequence[ReaderSocket], script: Script, per_second: float) -> list[Reply]:
    """Ask one after the other, then see all replies to their ends."""

    async def ask(index: int, socket: ReaderSocket) -> Reply:
        await asyncio.sleep(index / per_second)
        return await socket.ask(script)

    return await asyncio.gather(*(ask(index, socket) for index, socket in enumerate(sockets)))
