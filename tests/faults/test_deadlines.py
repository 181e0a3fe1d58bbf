"""Connections whose other side is slow, or gone without a word."""

from __future__ import annotations

import asyncio
import ctypes
import socket as sockets
import struct
from pathlib import Path

import httpx
import psutil
import pytest

from tests.clients import Gated, ask, following, socket
from tests.fakes import RillServer, ScriptedUpstream, rill_server, until

SO_ATTACH_FILTER = 26
DROP_ALL = struct.pack("HBBI", 0x06, 0, 0, 0)
"""A classic BPF program of one instruction: `ret #0`, which lets no packet in."""


FORM = (
    b"POST /messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    b"Content-Length: 1000\r\n\r\nprompt="
)


def drop_all_packets(connection: sockets.socket) -> None:
    """Make a connection half open: nothing that arrives is acknowledged any more, and nothing says so."""
    instructions = ctypes.create_string_buffer(DROP_ALL)
    program = struct.pack("HL", 1, ctypes.addressof(instructions))
    connection.setsockopt(sockets.SOL_SOCKET, SO_ATTACH_FILTER, program)


async def connection(server: RillServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))


def established(server: RillServer, port: int) -> bool:
    """Whether the server still holds its end of a connection to a port of a client's."""
    assert server.process is not None
    found = psutil.Process(server.process.pid).net_connections("tcp")
    return any(known.raddr and known.raddr.port == port and known.status == "ESTABLISHED" for known in found)


@pytest.mark.timeout(180)
async def test_slow_and_dead_peers_are_let_go_and_others_stay(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    model = {"OPENAI_BASE_URL": upstream.base_url, "OPENAI_API_KEY": "k"}
    async with (
        rill_server(tmp_path, **model) as server,
        httpx.AsyncClient(base_url=server.url, timeout=120, trust_env=False) as reader,
    ):
        path = (await ask(reader)).path
        gated = Gated(upstream, "Still ", "there")
        await reader.post(f"{path}/messages", data={"prompt": "Hello"})
        idle = await connection(server)
        await _is_answered(*idle)
        async with socket(reader, f"{path}/stream") as well, following(reader, path) as (_, events):
            await well.recv()
            await anext(events)

            await asyncio.gather(
                _is_refused(server, b""),
                _is_refused(server, b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "),
                _is_refused(server, FORM),
                _is_noticed(server, reader, path),
            )

            await _is_answered(*idle)
            idle[1].close()
            gated.let_all()
            while "there" not in str(await well.recv()):
                pass
            while "there" not in (await anext(events)).data:
                pass
        assert "Traceback" not in server.output


async def _is_answered(incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
    outgoing.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    head = await incoming.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    length = next(line for line in head.lower().splitlines() if line.startswith(b"content-length:"))
    await incoming.readexactly(int(length.partition(b":")[2]))


async def _is_refused(server: RillServer, beginning: bytes) -> None:
    """Begin a request and send on so slowly that it never ends."""
    incoming, outgoing = await connection(server)
    outgoing.write(beginning)
    answer = asyncio.create_task(incoming.read())
    while not answer.done():
        if beginning and not outgoing.is_closing():
            outgoing.write(b"x")
        await asyncio.wait([answer], timeout=1)
    outgoing.close()

    assert (await answer).startswith(b"HTTP/1.1 408 ")


async def _is_noticed(server: RillServer, reader: httpx.AsyncClient, path: str) -> None:
    """Follow a feed over either transport, then be gone without a word."""
    cookies = "; ".join(f"{name}={value}" for name, value in reader.cookies.items())
    head = f"GET {path}/stream HTTP/1.1\r\nHost: localhost\r\nCookie: {cookies}\r\nOrigin: http://localhost\r\n"
    upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    dead = []
    for request in (f"{head}\r\n", f"{head}{upgrade}{key}\r\n"):
        incoming, outgoing = await connection(server)
        outgoing.write(request.encode())
        assert b"HTTP/1.1" in await incoming.readuntil(b"\r\n")
        while b"rill-live" not in await incoming.read(65536):
            pass
        drop_all_packets(outgoing.get_extra_info("socket"))
        dead.append(outgoing)
    ports = [outgoing.get_extra_info("sockname")[1] for outgoing in dead]
    assert all(established(server, port) for port in ports)

    await until(lambda: not any(established(server, port) for port in ports), "the dead to be noticed", 60)

    for outgoing in dead:
        outgoing.transport.abort()
