"""Connections whose every byte a test decides about, and what they cost a server."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import psutil

from tests.fakes import RillServer

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
CONTINUATION = 0
GIVES_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
"""For a server's environment: glibc gives back what is free, so that its resident memory is about what it holds."""

_MASK = b"\x25\x8e\x37\xa1"
_FULL_LENGTH = struct.Struct("!BBQ")


class Wire:
    """One TCP connection to a server, read and written only as far as the test says."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.port: int = connection.getsockname()[1]

    async def send(self, piece: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._connection, piece)

    async def receive(self, most_bytes: int = 65_536) -> bytes:
        """Wait for some bytes; give none once the server has closed."""
        with suppress(ConnectionError):
            return await asyncio.get_running_loop().sock_recv(self._connection, most_bytes)
        return b""

    async def receive_until(self, end: bytes) -> bytes:
        """Read until what has come has something in it."""
        told = b""
        while end not in told:
            piece = await self.receive()
            if not piece:
                raise AssertionError(f"closed before {end!r} came: {told[:2000]!r}")
            told += piece
        return told

    async def receive_all(self) -> bytes:
        """Read until the server closes."""
        told = bytearray()
        while piece := await self.receive():
            told += piece
        return bytes(told)

    def abort(self) -> None:
        """Be gone with a reset."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._connection.close()


@asynccontextmanager
async def wire(port: int, *, window_bytes: int | None = None) -> AsyncIterator[Wire]:
    """Connect to a server on this machine, which may send `window_bytes` (Linux doubles them) before it has to wait."""
    connection = socket.socket()
    connection.setblocking(False)
    if window_bytes is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window_bytes)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
    opened = Wire(connection)
    try:
        yield opened
    finally:
        if connection.fileno() >= 0:
            opened.abort()


def request_head(reader: httpx.AsyncClient, method: str, path: str, **headers: str) -> bytes:
    """Write a request's head with a reader's cookies."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {reader.base_url.netloc.decode()}"]
    if reader.cookies:
        lines.append("Cookie: " + "; ".join(f"{name}={value}" for name, value in reader.cookies.items()))
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def handshake(reader: httpx.AsyncClient, path: str, **headers: str) -> bytes:
    """Write the handshake of a WebSocket; without other headers, as a page of the server's own sends it."""
    usual = {
        "Origin": f"http://{reader.base_url.netloc.decode()}",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    return request_head(reader, "GET", path, **{**usual, **headers})


def frame(opcode: int, payload: bytes = b"", *, is_last: bool = True, announced: int | None = None) -> bytes:
    """Write a client's WebSocket frame (RFC 6455, section 5.2); `announced` is the length that its head tells."""
    length = len(payload) if announced is None else announced
    head = opcode | (0x80 if is_last else 0)
    if length < 126:
        begin = bytes([head, 0x80 | length])
    elif length < 65_536:
        begin = struct.pack("!BBH", head, 0x80 | 126, length)
    else:
        begin = _FULL_LENGTH.pack(head, 0x80 | 127, length)
    whole, rest = divmod(len(payload), 4)
    mask = _MASK * whole + _MASK[:rest]
    masked = (int.from_bytes(payload) ^ int.from_bytes(mask)).to_bytes(len(payload))
    return begin + _MASK + masked


def memory_bytes(server: RillServer) -> int:
    """The resident memory of a server's process."""
    assert server.process is not None
    return int(psutil.Process(server.process.pid).memory_info().rss)


def unsent_bytes(server: RillServer, port: int) -> int:
    """What the kernel could not hand over yet to a client's port; nothing if the server let that connection go."""
    ours = (f"{int(server.url.rpartition(':')[2]):04X}", f"{port:04X}")
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state, queues, *_ = line.split()
        if (local.rpartition(":")[2], remote.rpartition(":")[2], state) == (*ours, "01"):
            return int(queues.partition(":")[0], 16)
    return 0
