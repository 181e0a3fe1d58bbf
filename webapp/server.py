"""How uvicorn serves the app: its limits, and what it has none for, deadlines, half-open connections, floods of frames.

uvicorn waits for ever for the rest of a request, and the kernel for a quarter of an hour for a peer that is gone.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import socket
import sys
from contextlib import suppress
from typing import Any

import h11
import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame

from webapp.compression import DeflateFactory
from webapp.security import MAX_HEADER_BYTES
from webapp.settings import Settings

SWITCH_SECONDS = 0.0005
"""How long a thread keeps the interpreter while others wait for it. A call of SQLite's takes and gives it back many
times, and at Python's 5 ms a prompt took 18 seconds to be stored beside a reply that floods.
"""
HEAD_SECONDS = 10.0
"""How long the head of a request may take; a slow phone sends one in a single packet."""
BODY_SECONDS = 30.0
"""How long a body may take: the longest prompt there is, over a bad mobile network."""
UNACKNOWLEDGED_MS = 40_000
"""After this long without an acknowledgement of what was sent, a peer is gone; pages get a beat every 10 seconds."""
KEEP_ALIVE_SECONDS = 75
"""Longer than proxies and programs keep an idle connection: who keeps it longer sends into one that is being closed."""
MANY_FILES = 65_536
"""Where the system sets no limit to the number of connections."""
BYTES_PER_CHAR_IN_JSON = 6
"""A control character, the longest there, is written as `\\u0000`."""
MAX_FRAGMENTS = 1024
"""Of one message, which browsers send in a few. Fragments without data count towards no limit of bytes."""

COLLECT_AFTER = (2_000, 10, 20)
"""When garbage is collected, for `gc.set_threshold`: all of it six times as rarely as by default; it takes 0.1 s."""
TRIM_BYTES = 131_072
"""What glibc begins with; it raises that by itself with what is freed."""
_M_TRIM_THRESHOLD = -1  # malloc.h

_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def configuration(app: Starlette, settings: Settings) -> uvicorn.Config:
    """Give the settings under which uvicorn serves an app."""
    return uvicorn.Config(
        app,
        host=settings.rill_host,
        port=settings.rill_port,
        http=Http,  # On h11: httptools has no limit, and took headers of 30 MB.
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        ws=Socket,
        ws_max_size=settings.rill_max_prompt_chars * BYTES_PER_CHAR_IN_JSON + MAX_HEADER_BYTES,
        root_path=settings.rill_root_path,
        forwarded_allow_ips=settings.rill_trusted_proxies,
        server_header=False,
        access_log=False,
        log_config=None,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=3,
    )


def allow_open_files() -> None:
    """Let this process have as many connections as the system allows it, not the few that shells give."""
    if sys.platform != "win32":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = MANY_FILES if hard == resource.RLIM_INFINITY else hard
        with suppress(ValueError, OSError):  # Some systems have a limit besides the one that they tell.
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def share_the_interpreter() -> None:
    """Let the database's thread have its turn sooner; the event loop would keep it waiting with each of its calls."""
    sys.setswitchinterval(SWITCH_SECONDS)


def settle_memory() -> None:
    """Leave what the start has made alone, and give freed memory back to the system.

    Collections of garbage walked over all of it, for 0.1 s each. glibc keeps ever more of what was freed: a tenth of
    what a crowd of waiting readers takes was not in use (measured).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # Only glibc has it.
        if mallopt is not None:
            mallopt(_M_TRIM_THRESHOLD, TRIM_BYTES)


class Http(H11Protocol):
    """A connection whose requests have to come in time, and whose peer has to be there."""

    _deadline: asyncio.TimerHandle | None = None
    _awaited: str | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # As uvicorn has it.
        super().connection_made(transport)
        _notice_dead_peer(transport)
        self._await("head")

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._await(self._missing())

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._await(None)
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        self._await(None)
        super().connection_lost(exc)

    def _missing(self) -> str | None:
        """Tell what has not come yet of a request that has begun."""
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return None
        if self.cycle is not None and self.cycle.more_body:
            return "body"  # Also after an answer that did not wait for it.
        is_between = self.cycle is None or self.cycle.response_complete
        return "head" if is_between and self.conn.trailing_data[0] else None

    def _await(self, part: str | None) -> None:
        """Set the deadline for a part of a request; one that is set already is left as it is."""
        if part == self._awaited:
            return
        self._awaited = part
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if part is not None:
            seconds = HEAD_SECONDS if part == "head" else BODY_SECONDS
            self._deadline = self.loop.call_later(seconds, self._give_up)

    def _give_up(self) -> None:
        if self._missing() is not None or self._awaited == "head":
            self.transport.write(_TOO_SLOW)
            self.transport.close()


class Socket(WebSocketsSansIOProtocol):
    """A WebSocket whose peer can make it neither keep much, nor log what was sent.

    Where uvicorn has no bound of its own, nothing is read while the peer takes nothing: each ping is owed a pong.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.conn.available_extensions = [DeflateFactory()]
        self.queue = _Inbox()  # type: ignore[assignment]  # It has what uvicorn uses of a queue.

    def pause_writing(self) -> None:
        super().pause_writing()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.read_paused and not self.transport.is_closing():
            self.transport.resume_reading()

    async def receive(self) -> Any:
        message = await super().receive()
        if not self.writable.is_set():
            self.transport.pause_reading()  # uvicorn goes on reading with each message that is taken.
        return message

    async def send(self, message: Any) -> None:
        await super().send(message)
        if message["type"] == "websocket.accept":
            # Of use for the handshake only; kept for hours, they cost a tenth of an idle connection's memory.
            del self.request, self.response
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True  # With a refusal; uvicorn would log it as an error of the app's.

    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) < MAX_FRAGMENTS:
            super().handle_cont(event)
        elif not self.close_sent:
            self._refuse(CloseCode.MESSAGE_TOO_BIG)

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type == "text" and not self.close_sent and not _is_utf_8(b"".join(self.frames)):
            # uvicorn closes with the same code, but logs the whole message, in which a prompt may stand.
            self._refuse(CloseCode.INVALID_DATA)
            return
        super().send_receive_event_to_app()

    def _refuse(self, code: CloseCode) -> None:
        self.frames = []
        self.conn.send_close(code)
        self.handle_parser_exception()


class _Inbox:
    """What has come and was not taken yet; `asyncio.Queue` takes 3 KB for those who wait at both its ends."""

    def __init__(self) -> None:
        self._messages: list[Any] = []
        self._wake: asyncio.Future[None] | None = None

    def put_nowait(self, message: Any) -> None:
        self._messages.append(message)
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def empty(self) -> bool:
        return not self._messages

    async def get(self) -> Any:
        if not self._messages:
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        return self._messages.pop(0)


def _is_utf_8(message: bytes) -> bool:
    try:
        message.decode()
    except UnicodeDecodeError:
        return False
    return True


def _notice_dead_peer(transport: Any) -> None:
    """Have the kernel close a connection whose peer acknowledges nothing."""
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)
