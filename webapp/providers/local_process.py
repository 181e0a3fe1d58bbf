"""The parent's end of the process that runs llama.cpp's HTTP server.

What llama.cpp prints is kept until the server is ready, to explain a failed start, and never after: a later line could
quote a prompt.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx2

from webapp.errors import EndpointUnreachable

_SCRIPT = Path(__file__).with_name("local_server.py")

_START_SECONDS = 600.0
"""A large file on a slow disk takes minutes to load; a server that hangs has to be given up at some time."""

_HEALTH_POLL_SECONDS = 0.05
_REQUEST_SECONDS = 5.0
_STOP_SECONDS = 5.0
_KEPT_BYTES = 4096
_KEPT_LINES = 20

_WITHHELD = ("OPENAI_", "RILL_")
"""Keys of ours that llama.cpp has no use for."""


@dataclass(frozen=True, slots=True)
class ServerParameters:
    """What the child is told; see `webapp.providers.local_server`. Counts are in tokens."""

    model_path: str
    model_name: str
    api_key: str
    threads: int
    context_tokens: int
    reply_tokens: int
    temperature: float


class ServerEnded(Exception):
    """The process ended, or was given up, before it was ready."""

    def __init__(self, returncode: int | None, last_lines: list[str]) -> None:
        self.returncode = returncode
        self.last_lines = last_lines
        super().__init__(f"return code {returncode}")


class LocalServer:
    """One child process, from its start to its end; `stop` it in every case."""

    def __init__(self, process: Process, api_key: str) -> None:
        self._process = process
        # A proxy has no business on the loopback.
        self._client = httpx2.AsyncClient(
            trust_env=False, timeout=_REQUEST_SECONDS, headers={"Authorization": f"Bearer {api_key}"}
        )
        self._address = ""
        self._is_starting = True
        self._kept = b""
        self._reading = asyncio.create_task(self._read_stderr(), name="local-model-stderr")

    @classmethod
    async def spawn(cls, parameters: ServerParameters) -> LocalServer:
        # -P: nothing in the script's folder may stand in for a module of the standard library.
        command = (sys.executable, "-P", str(_SCRIPT))
        try:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=_environment()
            )
        except OSError as error:
            raise ServerEnded(None, [str(error)]) from error
        server = cls(process, parameters.api_key)
        server._pipe_in.write(json.dumps(asdict(parameters)).encode() + b"\n")
        return server

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ready(self) -> str:
        """Wait until the server answers; return its address, as in "http://127.0.0.1:4567", or raise `ServerEnded`."""
        try:
            async with asyncio.timeout(_START_SECONDS):
                self._address = await self._read_address()
                await self._until_healthy()
        except TimeoutError:
            raise ServerEnded(None, self._last_lines()) from None
        self._is_starting = False
        self._kept = b""
        return self._address

    async def count_tokens(self, text: str) -> int:
        """Ask the model's own tokenizer; raise `EndpointUnreachable` if it is gone."""
        try:
            answer = await self._client.post(f"{self._address}/tokenize", json={"content": text})
            return len(answer.raise_for_status().json()["tokens"])
        except httpx2.HTTPError as error:
            raise EndpointUnreachable(detail=f"{type(error).__name__} while counting tokens") from error

    async def wait(self) -> int:
        """Wait until the process ends; return its return code, negative for a signal."""
        return await self._process.wait()

    async def stop(self) -> None:
        """End the process: ask by closing its stdin, kill it after five seconds."""
        self._pipe_in.close()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            pass
        finally:
            if self._process.returncode is None:
                self._process.kill()
            # The transport closes itself once the process was waited for and both pipes are at their end.
            await asyncio.gather(self._process.wait(), self._reading, self._pipe_out.read(), self._client.aclose())

    @property
    def _pipe_in(self) -> asyncio.StreamWriter:
        assert self._process.stdin is not None  # noqa: S101  # Spawned with a pipe; this tells the type checker.
        return self._process.stdin

    @property
    def _pipe_out(self) -> asyncio.StreamReader:
        assert self._process.stdout is not None  # noqa: S101  # As above.
        return self._process.stdout

    async def _read_address(self) -> str:
        line = await self._pipe_out.readline()
        if not line:
            raise await self._ended()
        return str(json.loads(line)["address"])

    async def _until_healthy(self) -> None:
        while not await self._is_healthy():
            if self._process.returncode is not None:
                raise await self._ended()
            await asyncio.sleep(_HEALTH_POLL_SECONDS)

    async def _is_healthy(self) -> bool:
        try:
            return (await self._client.get(f"{self._address}/health")).status_code == 200
        except httpx2.TransportError:
            return False

    async def _ended(self) -> ServerEnded:
        returncode = await self._process.wait()
        await asyncio.wait({self._reading})
        return ServerEnded(returncode, self._last_lines())

    async def _read_stderr(self) -> None:
        assert self._process.stderr is not None  # noqa: S101  # As above.
        while piece := await self._process.stderr.read(_KEPT_BYTES):
            if self._is_starting:
                self._kept = (self._kept + piece)[-_KEPT_BYTES:]

    def _last_lines(self) -> list[str]:
        return self._kept.decode("utf-8", "replace").splitlines()[-_KEPT_LINES:]


def _environment() -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_WITHHELD)}
    # OpenMP's threads otherwise burn a whole core while they wait for the next batch.
    return inherited | {"GOMP_SPINCOUNT": "1000"}
