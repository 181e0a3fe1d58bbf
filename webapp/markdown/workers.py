"""Highlighting in processes that can be killed, off the event loop.

A worker starts when it is first needed, serves one source at a time, and ends with its parent. Whatever goes wrong
with one (too slow, too much memory, a crash, a cancelled caller) ends that worker, leaves that source plain, and is
over with the next source, which gets a new worker.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType

from webapp.markdown.code import is_highlightable
from webapp.markdown.worker import HEADER_BYTES

_SCRIPT = Path(__file__).with_name("worker.py")

_START_SECONDS = 30.0
"""A start takes a tenth of a second; on a machine that swaps it takes longer, and is no reader's fault."""

_MAX_ANSWER_BYTES = 8 * 1024 * 1024
"""More than any source within the limits of `code` can become."""

_PIECE_BYTES = 65_536

_log = logging.getLogger(__name__)


class Workers:
    """A small pool of processes that highlight; `aclose` it, or use it as a context manager.

    `cpu_seconds` is the processor time that one source may take once a worker has begun with it, `wall_seconds` the
    time on the clock, for a worker that hangs or a system that cannot count processor time. `max_waiting` is how many
    sources may wait for a worker; the next one stays plain at once. `memory_bytes` bounds a worker's address space,
    on Linux. After a worker that did not start, the next one is tried `retry_seconds` later.
    """

    def __init__(
        self,
        *,
        processes: int = 1,
        cpu_seconds: float = 1.0,
        wall_seconds: float = 20.0,
        max_waiting: int = 32,
        memory_bytes: int = 512 * 1024 * 1024,
        retry_seconds: float = 30.0,
    ) -> None:
        self._processes = processes
        self._wall_seconds = wall_seconds
        self._max_waiting = max_waiting
        self._retry_seconds = retry_seconds
        self._command = (sys.executable, "-P", str(_SCRIPT), str(cpu_seconds), str(memory_bytes))
        self._slots = asyncio.Semaphore(processes)
        self._closing = asyncio.Lock()
        self._waiting = 0
        self._idle: list[_Worker] = []
        self._live: set[_Worker] = set()
        self._endings: set[asyncio.Task[None]] = set()
        self._no_start_before = 0.0
        self._is_closed = False

    async def __aenter__(self) -> Workers:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def pids(self) -> list[int]:
        """The processes that are running now."""
        return [worker.pid for worker in self._live]

    async def highlight(self, source: str, language: str) -> str | None:
        """Give the HTML inside `<code>`, or None if the source should be shown plain; see `code.highlight`.

        None is also for a source that takes too long, and for one that would have to wait behind too many others.
        """
        if not is_highlightable(source, language):
            return None
        if self._slots.locked() and self._waiting >= self._max_waiting:
            return None
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        try:
            return await self._highlight_next(source, language)
        finally:
            self._slots.release()

    async def aclose(self) -> None:
        """End all workers; whoever waits for one gets None. Later calls of `highlight` give None too."""
        self._is_closed = True
        for worker in self._live:
            worker.kill()
        # Two that each take a part of the places would wait for each other.
        async with self._closing, AsyncExitStack() as places:
            for _ in range(self._processes):
                await places.enter_async_context(self._slots)
            # Every place is free now, so nobody asks a worker any more.
            while self._idle:
                self._end(self._idle.pop(), "closed")
            await asyncio.gather(*self._endings)

    async def _highlight_next(self, source: str, language: str) -> str | None:
        worker = await self._idle_or_new()
        if worker is None:
            return None
        try:
            html = await worker.ask({"source": source, "language": language}, self._wall_seconds)
        except _Failed as error:
            self._end(worker, str(error))
            return None
        except BaseException:
            # A cancelled caller leaves an answer behind that the next one must not get.
            self._end(worker, "cancelled")
            raise
        self._idle.append(worker)
        return html if isinstance(html, str) else None

    async def _idle_or_new(self) -> _Worker | None:
        while self._idle:
            worker = self._idle.pop()
            if worker.is_alive:
                return worker
            self._end(worker, "ended while idle")
        if self._is_closed or asyncio.get_running_loop().time() < self._no_start_before:
            return None
        return await self._start()

    async def _start(self) -> _Worker | None:
        try:
            process = await asyncio.create_subprocess_exec(*self._command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL)
        except OSError as error:
            self._put_off(type(error).__name__)
            return None
        worker = _Worker(process)
        self._live.add(worker)
        try:
            await worker.ready()
        except _Failed as error:
            self._end(worker, f"{error} at its start")
            self._put_off(str(error))
            return None
        except BaseException:
            self._end(worker, "cancelled at its start")
            raise
        return worker

    def _put_off(self, cause: str) -> None:
        _log.error("code_worker.not_started cause=%r", cause)
        self._no_start_before = asyncio.get_running_loop().time() + self._retry_seconds

    def _end(self, worker: _Worker, cause: str) -> None:
        """Kill a worker now; clear up after it while nobody waits."""
        worker.kill()
        self._live.discard(worker)
        ending = asyncio.create_task(self._clear_up(worker, cause), name=f"code-worker-{worker.pid}-ended")
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)

    async def _clear_up(self, worker: _Worker, cause: str) -> None:
        returncode = await worker.ended()
        _log.info("code_worker.ended cause=%r returncode=%d", cause, returncode)


class _Failed(Exception):
    """A worker ended or was too slow; its text says which, and nothing of a source."""


class _Worker:
    """One process, asked one thing at a time; after `_Failed` or a cancelled question it is of no more use."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.returncode is None

    async def ready(self) -> None:
        """Wait until it takes questions."""
        async with _failing(_START_SECONDS):
            await self._read()

    async def ask(self, question: object, seconds: float) -> object:
        """Send a message and give the answer to it."""
        async with _failing(seconds):
            body = json.dumps(question).encode()
            self._pipe_in.write(len(body).to_bytes(HEADER_BYTES, "big") + body)
            await self._pipe_in.drain()
            return await self._read()

    def kill(self) -> None:
        # One that closed its output has ended; a signal now would take its return code from asyncio's hands.
        if self.is_alive and not self._pipe_out.at_eof():
            with suppress(ProcessLookupError):
                self._process.kill()

    async def ended(self) -> int:
        """Wait for the end of a killed process; give its return code, negative for a signal."""
        self._pipe_in.close()
        # The transport closes itself once the process was waited for and both pipes are at their end.
        while await self._pipe_out.read(_PIECE_BYTES):
            pass
        return await self._process.wait()

    async def _read(self) -> object:
        length = int.from_bytes(await self._pipe_out.readexactly(HEADER_BYTES), "big")
        if length > _MAX_ANSWER_BYTES:
            raise _Failed("too long an answer")
        return json.loads(await self._pipe_out.readexactly(length))

    @property
    def _pipe_in(self) -> asyncio.StreamWriter:
        assert self._process.stdin is not None  # noqa: S101  # Spawned with a pipe; this tells the type checker.
        return self._process.stdin

    @property
    def _pipe_out(self) -> asyncio.StreamReader:
        assert self._process.stdout is not None  # noqa: S101  # As above.
        return self._process.stdout


@asynccontextmanager
async def _failing(seconds: float) -> AsyncIterator[None]:
    """Turn an end of the process, or of the time, into `_Failed`."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise _Failed("no answer in time") from None
    except (EOFError, OSError, ValueError):
        # ValueError: no JSON, as when something else wrote to the pipe.
        raise _Failed("ended") from None
