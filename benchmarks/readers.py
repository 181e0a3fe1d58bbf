"""The load: readers that hold a socket to a server, send prompts and watch the replies arrive.

The WebSocket is spoken without tasks or queues, so that one process can watch 200 replies and read the clock as the
bytes come in.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import dataclass
from typing import Protocol, cast
from urllib.parse import urlsplit

import httpx
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from benchmarks.upstream import Script, Stamp

_PROGRESS = re.compile(r"<hx-partial id=r\d+[bt-]")
_STATE = re.compile(r'data-state="(finished|failed|stopped|interrupted)"')


@dataclass(slots=True)
class Reply:
    """One reply as its reader saw it; times are of the shared clock, in nanoseconds."""

    script: Script
    asked: int
    stamp: Stamp | None = None
    seen: int = 0
    ended: int = 0
    pieces: int = 0
    wire_bytes: int = 0

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
        self._form = form
        self._headers = headers
        self._frames = ClientProtocol(
            parse_uri(url), extensions=[ClientPerMessageDeflateFactory(client_max_window_bits=True)], max_size=None
        )
        self._transport: asyncio.Transport
        self._reply: Reply | None = None
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        request = self._frames.connect()
        request.headers.update(self._headers)
        self._frames.send_request(request)
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(ConnectionError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        if self._reply is not None:
            self._reply.wire_bytes += len(data)
        self._frames.receive_data(data)
        try:
            for event in self._frames.events_received():
                self._take(event, now)
        except RuntimeError as error:
            self._fail(error)
        self._flush()  # Pongs.

    def expect(self, script: Script) -> asyncio.Future[None]:
        """Watch a reply to a prompt that went another way."""
        self._reply = Reply(script, time.monotonic_ns())
        self._done = asyncio.get_running_loop().create_future()
        return self._done

    async def ask(self, script: Script) -> Reply:
        """Send a prompt, watch the reply to its end."""
        done = self.expect(script)
        reply = self._reply
        self._frames.send_text(self._form.prompt(str(script)).encode())
        self._flush()
        await done
        if reply is None or reply.stamp is None:
            raise RuntimeError("a reply ended without its first chunk")
        return reply

    def close(self) -> None:
        self._transport.abort()

    def _take(self, event: object, now: int) -> None:
        if isinstance(event, Response):
            self._open(event)
        elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
            self._watch(bytes(event.data).decode(), now)
        elif isinstance(event, Frame) and event.opcode is Opcode.CONT:
            raise RuntimeError("a message in several frames, which none of these servers sends")

    def _open(self, response: Response) -> None:
        if response.status_code != 101:
            raise RuntimeError(f"the server refused the socket: {response.status_code}")
        self.opened.set_result(None)

    def _watch(self, frame: str, now: int) -> None:
        reply = self._reply
        if reply is None:
            return
        if reply.stamp is None and (stamp := Stamp.find(frame)) is not None and stamp.arrived > reply.asked:
            reply.stamp, reply.seen = stamp, now
        reply.pieces += self._form.pieces(frame)
        if self._form.is_end(frame):
            reply.ended, self._reply = now, None
            self._done.set_result(None)

    def _fail(self, error: Exception) -> None:
        for waiting in (self.opened, self._done):
            if not waiting.done():
                waiting.set_exception(error)
                waiting.exception()  # Read, so that a future that nobody awaits does not complain.

    def _flush(self) -> None:
        self._transport.writelines(self._frames.data_to_send())


async def connect(url: str, headers: dict[str, str], form: Format, running: Script | None = None) -> ReaderSocket:
    """Open a socket; if a reply is `running` already, see it to its end. Raises `RuntimeError` if refused."""
    address, loop = urlsplit(url), asyncio.get_running_loop()
    socket = ReaderSocket(url, headers, form)
    # Before the socket opens, since the end may arrive together with the handshake's answer.
    ended = socket.expect(running) if running else None
    await loop.create_connection(lambda: socket, address.hostname or "", address.port or 80)
    await socket.opened
    if ended is not None:
        await ended
    return socket


async def open_tutorial(server: str) -> ReaderSocket:
    """Open a socket that speaks the tutorial's protocol."""
    return await connect(server.replace("http", "ws") + "/chat", {}, TutorialFormat())


async def open_page(server: str) -> ReaderSocket:
    """Do what a browser does: post the first prompt, follow to the conversation, open its socket."""
    script = Script(2, 100)
    async with httpx.AsyncClient(base_url=server, headers={"Origin": server}, follow_redirects=False) as browser:
        answer = await browser.post("/messages", data={"prompt": str(script)})
        if answer.status_code != 303:
            raise RuntimeError(f"the first prompt was answered with {answer.status_code}")
        cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
        path = httpx.URL(answer.headers["location"]).path
    url = f"{server.replace('http', 'ws')}{path}/stream?since=0&page=x"
    return await connect(url, {"Cookie": cookie, "Origin": server}, PageFormat(), running=script)
