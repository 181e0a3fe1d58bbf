"""Working objects that tests put in the place of the outer world: a model service, a network, a server process."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tests.forks import Fork, forked

ROOT = Path(__file__).parent.parent


async def until(condition: Callable[[], object], what: str, seconds: float = 20.0) -> None:
    """Wait for a condition that no event tells of; fail with what was waited for."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"waited {seconds:g} s for {what}")
        await asyncio.sleep(0.01)


@dataclass
class Exchange:
    """One request to the scripted model service, and the means to answer it in any way, right or wrong."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]
    _reader: asyncio.StreamReader = field(repr=False)
    _writer: asyncio.StreamWriter = field(repr=False)
    was_closed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def prompt(self) -> str:
        return str(self.body["messages"][-1]["content"])

    async def head(self, status: int = 200, media_type: str = "text/event-stream", **headers: str) -> None:
        lines = [f"HTTP/1.1 {status} Scripted", f"Content-Type: {media_type}", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.raw("\r\n".join([*lines, "", ""]).encode())

    async def chunk(self, text: str) -> None:
        await self.event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]})

    async def think(self, text: str) -> None:
        await self.event({"choices": [{"index": 0, "delta": {"reasoning_content": text}, "finish_reason": None}]})

    async def finish(self, reason: str = "stop") -> None:
        await self.event({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
        await self.raw(b"data: [DONE]\n\n")

    async def event(self, body: object) -> None:
        await self.raw(b"data: " + json.dumps(body).encode() + b"\n\n")

    async def raw(self, piece: bytes) -> None:
        self._writer.write(piece)
        await self._writer.drain()

    async def json(self, status: int, body: object, **headers: str) -> None:
        await self.head(status, "application/json", **headers)
        await self.raw(json.dumps(body).encode())

    def reset(self) -> None:
        """Break the connection off as a crashed host does, with a TCP reset."""
        reset_at_once = struct.pack("ii", 1, 0)
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset_at_once)
        self._writer.transport.abort()

    async def reply(self, *chunks: str, reason: str = "stop") -> None:
        """Answer well."""
        await self.head()
        for text in chunks:
            await self.chunk(text)
        await self.finish(reason)


Script = Callable[[Exchange], Awaitable[None]]


async def _default(exchange: Exchange) -> None:
    await exchange.reply("You said: ", exchange.prompt)


class ScriptedUpstream:
    """An OpenAI-compatible endpoint on a free loopback port; `script` answers each completion request."""

    def __init__(self) -> None:
        self.script: Script = _default
        self.models: list[str] = ["scripted-1", "scripted-2"]
        self.exchanges: list[Exchange] = []
        self.port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        await self.break_off()

    async def break_off(self) -> None:
        """Close every connection, whatever its script still waits for."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            await self._exchange(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # The other side left, which scripts may wait for; or `stop` ends what still goes on.
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        exchange = Exchange(request.split(" ")[1], headers, json.loads(body) if body else {}, reader, writer)
        if exchange.path.endswith("/models"):
            await exchange.json(200, {"object": "list", "data": [{"id": m, "object": "model"} for m in self.models]})
            return
        self.exchanges.append(exchange)
        watch = asyncio.create_task(self._watch(exchange))
        try:
            await self.script(exchange)
        except ConnectionError:
            exchange.was_closed.set()
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    async def _watch(self, exchange: Exchange) -> None:
        with suppress(ConnectionError):
            await exchange._reader.read()
        exchange.was_closed.set()


class RillServer:
    """`rill serve` in a process of its own, as an operator runs it.

    It is forked from one that has imported Rill already, unless it `is_forked` no: then it starts as it does elsewhere.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str], *, is_forked: bool = True) -> None:
        self._is_forked = is_forked and hasattr(os, "pidfd_open")
        self._folder = folder
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("RILL_", "OPENAI_"))},
            "RILL_DATA_DIR": str(folder / "data"),
            "RILL_PORT": "0",
            "RILL_DISCOVER_MODELS": "false",
            "RILL_EMBEDDED_MODEL": "false",
            "RILL_TITLES": "false",
            "RILL_SHUTDOWN_GRACE_SECONDS": "2",
            "PYTHONUNBUFFERED": "1",
            **environ,
        }
        self.process: asyncio.subprocess.Process | Fork | None = None
        self.output = ""
        self.url = ""
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.output = ""
        environ = {**self.environ, "PYTHONPATH": str(ROOT)}
        if self._is_forked:
            self.process = await forked(self._folder, environ, "serve")
        else:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-W", "error", "-m", "webapp", "serve"),
                cwd=self._folder,
                env=environ,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
        self._reading = asyncio.create_task(self._read())
        await until(lambda: "Rill is at" in self.output or self._has_ended(), "the server to start", 60)
        found = re.search(r"Rill is at (http://\S+)/", self.output)
        if found is None:
            raise AssertionError(f"the server did not start:\n{self.output}")
        self.url = found[1]
        self.environ["RILL_PORT"] = self.url.rpartition(":")[2]

    async def _read(self) -> None:
        if self.process is not None and self.process.stdout is not None:
            async for line in self.process.stdout:
                self.output += line.decode()

    def _has_ended(self) -> bool:
        return self.process is not None and self.process.returncode is not None

    async def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End the process with a signal and wait until it is gone; gives its return code."""
        if self.process is None or self._reading is None:
            return 0
        if not self._has_ended():
            self.process.send_signal(how)
        code = await self.process.wait()
        await self._reading
        self.process = None
        return code

    async def restart(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End the process and start it again on the same port with the same data."""
        await self.end(how)
        await self.start()


@asynccontextmanager
async def rill_server(folder: Path, **environ: str) -> AsyncIterator[RillServer]:
    server = RillServer(folder, environ)
    await server.start()
    try:
        yield server
    finally:
        await server.end(signal.SIGKILL)


class Network:
    """A TCP proxy between a browser and a server that can misbehave as networks do.

    `sockets` says what becomes of WebSocket handshakes: passed on, refused with 403, or never answered. `freeze` holds
    back everything in both directions without closing anything; `cut` breaks every connection.
    """

    def __init__(self, target: str) -> None:
        self._target_port = int(target.rpartition(":")[2])
        self.sockets: Literal["pass", "refuse", "black-hole"] = "pass"
        self.handshakes = 0
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._sockets_flowing = asyncio.Event()
        self._sockets_flowing.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._socket_writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.url = ""

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        self.thaw()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def cut_sockets(self) -> None:
        """Break the WebSockets only."""
        for writer in self._socket_writers:
            writer.transport.abort()

    def freeze(self) -> None:
        self._flowing.clear()

    def freeze_sockets(self) -> None:
        """Make the WebSockets half open; requests pass."""
        self._sockets_flowing.clear()

    def thaw(self) -> None:
        self._flowing.set()
        self._sockets_flowing.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._writers.add(writer)
        try:
            await self._relay(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # Broken connections are this proxy's business; and `stop` ends what still goes on.
        finally:
            self._writers.discard(writer)
            self._socket_writers.discard(writer)
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"upgrade: websocket" in head.lower():
            self.handshakes += 1
            if self.sockets == "refuse":
                writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                await writer.drain()
                return
            if self.sockets == "black-hole":
                await reader.read()
                return
            self._socket_writers.add(writer)
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        self._writers.add(up_writer)
        try:
            up_writer.write(head)
            gate = self._sockets_flowing if writer in self._socket_writers else self._flowing
            pumps = [self._pump(reader, up_writer, gate), self._pump(up_reader, writer, gate)]
            tasks = [asyncio.create_task(pump) for pump in pumps]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            self._writers.discard(up_writer)
            up_writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event) -> None:
        while piece := await reader.read(65536):
            await gate.wait()
            writer.write(piece)
            await writer.drain()


@asynccontextmanager
async def network(target: str) -> AsyncIterator[Network]:
    between = Network(target)
    await between.start()
    try:
        yield between
    finally:
        await between.stop()
