"""Where a soak takes place: a model service and one server, ended and started again while its readers are there."""

from __future__ import annotations

import asyncio
import re
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.fakes import RillServer
from tests.soak.model import Model

MAX_REPLY_CHARS = 200_000
GRACE_SECONDS = 2.0
SILENCE_SECONDS = 6.0
SETTINGS = {
    "RILL_MAX_REPLY_CHARS": str(MAX_REPLY_CHARS),
    "RILL_SHUTDOWN_GRACE_SECONDS": f"{GRACE_SECONDS:g}",
    "RILL_SILENCE_SECONDS": f"{SILENCE_SECONDS:g}",
    "OPENAI_API_KEY": "sk-test-canary-key",
}
_UNWANTED_IN_LOG = re.compile(r"Traceback|level=(error|critical)|cause=internal|Error:|Warning:")
_OF_AN_END = re.compile("ASGI callable returned without completing response|timeout graceful shutdown exceeded")
"""Uvicorn says so of what a server breaks off that ends: event streams, and what takes longer than it waits."""


@dataclass(frozen=True, slots=True)
class Restart:
    """One end of the server, and its next start; moments are those of `time.time`."""

    how: signal.Signals
    signalled_at: float
    gone_at: float
    up_at: float

    @property
    def start_seconds(self) -> float:
        return self.up_at - self.gone_at

    @property
    def end_seconds(self) -> float:
        return self.gone_at - self.signalled_at


@dataclass(frozen=True, slots=True)
class Weight:
    """What the server's process weighed at a moment; its helpers' memory apart."""

    at: float
    pid: int
    own_bytes: int
    helpers_bytes: int
    files: int


@dataclass
class Ground:
    """`problems` are those that no single reader has: in the log, in memory, at a start."""

    server: RillServer
    model: Model
    folder: Path
    counts: Counter[str] = field(default_factory=Counter)
    restarts: list[Restart] = field(default_factory=list)
    weights: list[Weight] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    async def restart(self, how: signal.Signals) -> Restart:
        """End the server and start it again on the same port, with the same data."""
        before = time.time()
        helpers = _helpers(self.server)
        await self.server.end(how)
        gone = time.time()
        self._read_log()
        await self.server.start()
        restart = Restart(how, before, gone, time.time())
        self.restarts.append(restart)
        self.counts[f"restart by {how.name}"] += 1
        _, alive = await asyncio.to_thread(psutil.wait_procs, helpers, 10)
        if alive:
            self.problems.append(f"{len(alive)} helper processes outlived a server that was ended by {how.name}")
        return restart

    async def end(self) -> None:
        """End the server for good, by SIGTERM."""
        await self.server.end()
        self._read_log()

    def weigh(self) -> None:
        if self.server.process is None:
            return
        try:
            process = psutil.Process(self.server.process.pid)
            helpers = sum(helper.memory_info().rss for helper in process.children(recursive=True))
            weight = Weight(time.time(), process.pid, process.memory_info().rss, helpers, process.num_fds())
        except psutil.Error:
            return  # It is being ended.
        self.weights.append(weight)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Read the store past the product."""
        with closing(sqlite3.connect(f"file:{self.folder / 'data' / 'rill.db'}?mode=ro", uri=True)) as connection:
            return connection.execute(query).fetchall()

    def _read_log(self) -> None:
        lines = self.server.output.splitlines()
        for number, line in enumerate(lines):
            if _UNWANTED_IN_LOG.search(line) and not _OF_AN_END.search(line):
                self.problems.append("in the server's log: " + " / ".join(lines[number : number + 30])[:3000])
                return


def _helpers(server: RillServer) -> list[psutil.Process]:
    if server.process is None:
        return []
    try:
        return psutil.Process(server.process.pid).children(recursive=True)
    except psutil.Error:
        return []


@asynccontextmanager
async def ground(folder: Path, *, is_forked: bool, **settings: str) -> AsyncIterator[Ground]:
    """Start a model service and a server for it (see `RillServer`)."""
    model = Model()
    await model.upstream.start()
    server = RillServer(
        folder, {**SETTINGS, "OPENAI_BASE_URL": model.upstream.base_url, **settings}, is_forked=is_forked
    )
    try:
        await server.start()
        yield Ground(server, model, folder)
    finally:
        await server.end(signal.SIGKILL)
        await model.upstream.stop()
