"""What Rill's memory grows by: readers that wait, replies that run, replies that have been."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TypeVar
from urllib.parse import urlsplit

import httpx

from benchmarks import processes, report
from benchmarks.capacity import CHUNKS_PER_SECOND, STEP_SECONDS, begin_all, release
from benchmarks.contenders import OPENING_AT_ONCE
from benchmarks.processes import Process
from benchmarks.readers import (
    FIRST_SCRIPT,
    Conversation,
    ReaderSocket,
    ask_all,
    begin_conversation,
    open_conversation,
    open_tutorial,
)
from benchmarks.report import Target, p99
from benchmarks.upstream import FLAT_OUT, Script

T = TypeVar("T")

SETTLE_SECONDS = 1.0
LOOK_SECONDS = 0.02
REPLIES_AN_HOUR = 57_600
"""200 replies at once, each 250 chunks long, at 20 chunks a second."""
CURVE_READERS = 25
CURVE_SCRIPT = Script(40, FLAT_OUT)
REPLIES_A_SOCKET = 10


@dataclass(frozen=True, slots=True)
class Crowd:
    """How many readers wait and how many replies run, together and each by itself."""

    idle: int = 2000
    running: int = 200
    idle_beside: int = 1000
    seconds: float = 10.0


async def measure(crowd: Crowd, folder: Path, model: Process) -> list[Target]:
    """Measure and print the memory of readers and replies, and how the server answers amid all of them."""
    report.heading("Memory")
    async with processes.baseline(folder, model.url) as tutorial:
        idle_tutorial = await _idle_tutorial_kb(tutorial, crowd.idle)
    report.line(f"tutorial: one of {crowd.idle} idle readers, KB", f"{idle_tutorial:.1f}")
    async with _rill(folder / "running", model) as rill:
        running = await _running_kb(rill, model, crowd)
    async with _rill(folder / "idle", model) as rill:
        idle, beside = await _idle_kb_and_beside(rill, model, crowd)
    return [
        Target(f"one of {crowd.idle} idle readers", 40, idle, "KB"),
        Target(f"one of {crowd.running} running replies, without its reader", 120, running, "KB"),
        *beside,
    ]


@asynccontextmanager
async def _rill(folder: Path, model: Process) -> AsyncIterator[Process]:
    async with processes.rill(folder, model.url) as rill:
        async with httpx.AsyncClient(base_url=rill.url, headers={"Origin": rill.url}) as browser:
            first = await open_conversation(await begin_conversation(browser, FIRST_SCRIPT), FIRST_SCRIPT)
        for _ in range(5):
            await first.ask(Script(50, FLAT_OUT))
        first.close()
        yield rill


async def _idle_tutorial_kb(server: Process, count: int) -> float:
    (await open_tutorial(server.url)).close()
    before = await _settled_kb(server)
    sockets = await _gathered([open_tutorial(server.url) for _ in range(count)])
    used = await _settled_kb(server) - before
    _close(sockets)
    return used / count


async def _running_kb(server: Process, model: Process, crowd: Crowd) -> float:
    conversations = await _conversations(server, crowd.running)
    before = await _settled_kb(server)
    sockets = await _gathered([open_conversation(one) for one in conversations])
    opened = await _settled_kb(server)
    script = _running_script(crowd)
    await begin_all(sockets, script)
    await release(model.url)
    most = await _most_kb(server, crowd.seconds)
    await _ended(sockets)
    report.line(f"one of {crowd.running} readers, before its reply, KB", f"{(opened - before) / crowd.running:.1f}")
    report.line(f"one of {crowd.running} running replies, KB", f"{(most - opened) / crowd.running:.1f}")
    report.line("both, KB", f"{(most - before) / crowd.running:.1f}")
    _close(sockets)
    return (most - opened) / crowd.running


async def _idle_kb_and_beside(server: Process, model: Process, crowd: Crowd) -> tuple[float, list[Target]]:
    conversations = await _conversations(server, crowd.idle)
    before = await _settled_kb(server)
    sockets = await _gathered([open_conversation(one) for one in conversations])
    idle = (await _settled_kb(server) - before) / crowd.idle
    report.line(f"one of {crowd.idle} idle readers, KB", f"{idle:.1f}")
    waits = await _answer_times(server, 2 * SETTLE_SECONDS)
    report.line(f"GET /healthz beside {crowd.idle} idle readers, p99, ms", f"{p99(waits):.1f}")
    kept = sockets[: crowd.idle_beside + crowd.running]
    _close(sockets[len(kept) :])
    return idle, await _beside(server, model, crowd, kept[: crowd.running])


async def _beside(server: Process, model: Process, crowd: Crowd, sockets: Sequence[ReaderSocket]) -> list[Target]:
    await begin_all(sockets, _running_script(crowd))
    await release(model.url)
    waits = await _answer_times(server, crowd.seconds)
    lost = await _ended(sockets)
    name = f"{crowd.idle_beside} idle + {crowd.running} running"
    report.line(f"GET /healthz beside {name}, p50, ms", f"{median(waits):.1f}")
    report.line(f"GET /healthz beside {name}, p99, ms", f"{p99(waits):.1f}")
    return [
        Target(f"chunks lost, {name}", 0, lost),
        Target(f"event loop's lag (GET /healthz), p99, {name}", 50, p99(waits), "ms"),
    ]


def _running_script(crowd: Crowd) -> Script:
    return Script(int(crowd.seconds * CHUNKS_PER_SECOND), CHUNKS_PER_SECOND, is_numbered=True, is_held=True)


async def _conversations(server: Process, count: int) -> list[Conversation]:
    """Begin conversations, one for each reader, and see their first replies end."""
    async with httpx.AsyncClient(base_url=server.url, headers={"Origin": server.url}, timeout=60) as browser:
        first = await begin_conversation(browser, FIRST_SCRIPT)  # Its cookie makes all of them one reader's.
        others = await _gathered([begin_conversation(browser, FIRST_SCRIPT) for _ in range(count - 1)])
    _close([await open_conversation(others[-1] if others else first, FIRST_SCRIPT)])
    return [first, *others]


async def curve(replies: int, looks: int, folder: Path, model: Process) -> list[Target]:
    """Measure and print the memory after some replies, and after as many more, and so on."""
    report.heading(f"Memory over {replies} replies of {CURVE_SCRIPT.chunks} chunks, {CURVE_READERS} at once")
    points: list[tuple[int, float]] = []
    async with processes.rill(folder, model.url) as rill:
        began = time.monotonic()
        for look in range(1, looks + 1):
            await _reply(rill, replies // looks)
            points.append((replies // looks * look, await _settled_kb(rill) / 1024))
            print(
                f"  {points[-1][0]:6} replies: {points[-1][1]:7.1f} MB, {time.monotonic() - began:4.0f} s", flush=True
            )
    slope = _slope(points[len(points) // 2 :])
    report.line("grows by, KB per 1,000 replies (second half)", f"{slope * 1024 * 1000:.0f}")
    report.line(f"an hour of {REPLIES_AN_HOUR:,} replies at that rate, MB", f"{slope * REPLIES_AN_HOUR:.1f}")
    return [Target("memory's growth per 1,000 replies (second half of the curve)", 100, slope * 1024 * 1000, "KB")]


async def _reply(server: Process, count: int) -> None:
    for _ in range(max(1, count // (CURVE_READERS * REPLIES_A_SOCKET))):
        conversations = await _conversations(server, CURVE_READERS)
        sockets = await _gathered([open_conversation(one, FIRST_SCRIPT) for one in conversations])
        for _ in range(REPLIES_A_SOCKET - 1):
            async with asyncio.timeout(STEP_SECONDS):
                await ask_all(sockets, CURVE_SCRIPT, per_second=500)
        _close(sockets)


def _slope(points: Sequence[tuple[int, float]]) -> float:
    """Fit a line by least squares."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


async def _gathered(waiting: Sequence[Coroutine[None, None, T]]) -> list[T]:
    """Run all of them, a few at a time."""
    turnstile = asyncio.Semaphore(OPENING_AT_ONCE)

    async def run(one: Coroutine[None, None, T]) -> T:
        async with turnstile:
            return await one

    return await asyncio.gather(*(run(one) for one in waiting))


def _close(sockets: Sequence[ReaderSocket]) -> None:
    for socket in sockets:
        socket.close()


async def _ended(sockets: Sequence[ReaderSocket]) -> int:
    """See the replies to their ends; give how many of their chunks were lost."""
    async with asyncio.timeout(STEP_SECONDS):
        return sum([(await socket.ended()).lost for socket in sockets])


async def _settled_kb(server: Process) -> float:
    """Give the server's memory once what was asked of it is over."""
    await asyncio.sleep(SETTLE_SECONDS)
    return server.memory_kb()


async def _most_kb(server: Process, seconds: float) -> float:
    """Give the most memory that was seen in some seconds."""
    most, end = 0.0, time.monotonic() + seconds
    while time.monotonic() < end:
        most = max(most, server.memory_kb())
        await asyncio.sleep(10 * LOOK_SECONDS)
    return most


async def _answer_times(server: Process, seconds: float) -> list[float]:
    """Ask for something that needs no work, all the time; give how long each answer took, in milliseconds.

    A request waits for its turn in the server's event loop, so that its time is what the loop lags and a little more.
    """
    address = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    question = f"GET /healthz HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode()
    waits, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        asked = time.monotonic()
        writer.write(question)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]))
        waits.append((time.monotonic() - asked) * 1000)
        await asyncio.sleep(LOOK_SECONDS)
    writer.close()
    return waits
