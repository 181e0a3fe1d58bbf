"""Rill beside the tutorial's server, under the same load, in one run: `python -m benchmarks.run`.

Every number is a comparison. The servers take turns, round by round, so that whatever else the machine does meets all
of them; a ratio is the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import uvloop

from benchmarks import page_weight, processes
from benchmarks.processes import Process
from benchmarks.readers import ReaderSocket, Reply, open_page, open_tutorial
from benchmarks.upstream import Script, text_chars

LEVELS = (1, 50, 200)
"""How many replies are written at once."""
PROMPTS_PER_SECOND = 50.0
"""How fast readers come: all of them write while the last one's reply begins, and none meets a stampede."""
OPENING_AT_ONCE = 20
SHORT = Script(chunks=2, per_second=50)
"""Nearly nothing but the cost of a prompt, and one more sample of the time to the first fragment."""
STEP_SECONDS = 60.0
"""No step takes a quarter of this, so a server that takes longer has lost a reply."""
OPEN_FILES = 4096


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure."""

    script: Script
    levels: Sequence[int]
    rounds: int
    short_replies: int


FULL = Plan(Script(chunks=250, per_second=50), LEVELS, rounds=3, short_replies=10)
QUICK = Plan(Script(chunks=50, per_second=50), (1, 20), rounds=1, short_replies=5)


@dataclass(frozen=True, slots=True)
class Contender:
    """One way of being answered: a server and what its readers speak."""

    name: str
    server: Process
    connect: Callable[[str], Awaitable[ReaderSocket]]


@dataclass(slots=True)
class Figures:
    """What one contender was seen to do at one level; the lists have one entry a round, or one a reply."""

    cpu_ms_per_1000: list[float] = field(default_factory=list)
    cpu_ms_per_prompt: list[float] = field(default_factory=list)
    first_ms: list[float] = field(default_factory=list)
    request_ms: list[float] = field(default_factory=list)
    wire_per_text: list[float] = field(default_factory=list)
    pieces_per_chunk: list[float] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)


async def main(plan: Plan) -> bool:
    """Measure and print; tell whether the page is light enough."""
    began = time.monotonic()
    _allow_open_files()
    if (task := asyncio.current_task()) is not None:
        # The servers have to end with the benchmark, however it ends.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rill-bench-")))
        model = await stack.enter_async_context(processes.upstream(folder))
        baseline = await stack.enter_async_context(processes.baseline(folder, model.url))
        rill = await stack.enter_async_context(processes.rill(folder, model.url))
        is_light = page_weight.report(await page_weight.first_load(rill.url))
        contenders = [
            Contender("tutorial", baseline, open_tutorial),
            Contender("Rill /chat", rill, open_tutorial),
            Contender("Rill page", rill, open_page),
        ]
        await _measure(plan, contenders)
    print(f"\nTook {time.monotonic() - began:.0f} s.")
    return is_light


async def _measure(plan: Plan, contenders: Sequence[Contender]) -> None:
    script = plan.script
    print(
        f"\nThis machine: {os.cpu_count()} cores, noisy; only the ratios (x) mean anything. Replies of {script.chunks} "
        f"chunks, {script.per_second:g} a second; {plan.rounds} rounds, the servers taking turns.\n"
    )
    print(f"{'':<50}{contenders[0].name:>10}" + "".join(f"{one.name:>18}" for one in contenders[1:]))
    for one in contenders:
        await _warm_up(one)
    for level in plan.levels:
        _print_level(level, await _measure_level(plan, contenders, level))


async def _warm_up(contender: Contender) -> None:
    sockets = await _open(contender, 5)
    await _ask_staggered(sockets, Script(50, 100))
    _close(sockets)


async def _measure_level(plan: Plan, contenders: Sequence[Contender], level: int) -> list[Figures]:
    figures = [Figures() for _ in contenders]
    sockets = [await _open(one, level) for one in contenders]
    for _ in range(plan.rounds):
        for one, seen, opened in zip(contenders, figures, sockets, strict=True):
            await _measure_replies(plan.script, one.server, opened, seen)
            if level == 1:
                await _measure_prompts(plan.short_replies, one.server, opened[0], seen)
    for opened in sockets:
        _close(opened)
    return figures


async def _measure_replies(script: Script, server: Process, sockets: Sequence[ReaderSocket], seen: Figures) -> None:
    before = server.cpu_seconds()
    replies = await _ask_staggered(sockets, script)
    used = server.cpu_seconds() - before
    chunks = script.chunks * len(replies)
    seen.cpu_ms_per_1000.append(used * 1000 / chunks * 1000)
    seen.pieces_per_chunk.append(sum(reply.pieces for reply in replies) / chunks)
    seen.wire_per_text.append(sum(reply.wire_bytes for reply in replies) / (text_chars(script) * len(replies)))
    seen.late_ms.append(median(reply.writing_ms for reply in replies) - script.chunks / script.per_second * 1000)
    _note_times(replies, seen)


async def _measure_prompts(count: int, server: Process, socket: ReaderSocket, seen: Figures) -> None:
    before = server.cpu_seconds()
    replies = [await socket.ask(SHORT) for _ in range(count)]
    seen.cpu_ms_per_prompt.append((server.cpu_seconds() - before) * 1000 / count)
    _note_times(replies, seen)


def _note_times(replies: Sequence[Reply], seen: Figures) -> None:
    seen.first_ms += [reply.added_ms for reply in replies]
    seen.request_ms += [reply.request_ms for reply in replies]


async def _ask_staggered(sockets: Sequence[ReaderSocket], script: Script) -> list[Reply]:
    """Ask one after the other, faster than replies end, then see all of them to their ends."""

    async def ask(index: int, socket: ReaderSocket) -> Reply:
        await asyncio.sleep(index / PROMPTS_PER_SECOND)
        return await socket.ask(script)

    async with asyncio.timeout(STEP_SECONDS):
        return await asyncio.gather(*(ask(index, socket) for index, socket in enumerate(sockets)))


async def _open(contender: Contender, count: int) -> list[ReaderSocket]:
    turnstile = asyncio.Semaphore(OPENING_AT_ONCE)

    async def open_one() -> ReaderSocket:
        async with turnstile:
            return await contender.connect(contender.server.url)

    async with asyncio.timeout(STEP_SECONDS):
        return await asyncio.gather(*(open_one() for _ in range(count)))


def _close(sockets: Sequence[ReaderSocket]) -> None:
    for socket in sockets:
        socket.close()


def _allow_open_files() -> None:
    """Raise the soft limit, which the servers inherit: 200 readers and their upstream connections come near it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def _print_level(level: int, figures: Sequence[Figures]) -> None:
    print(f"\n{level} {'reply' if level == 1 else 'replies'} at once")
    _print_rounds("CPU per 1,000 chunks, ms", [seen.cpu_ms_per_1000 for seen in figures])
    _print_rounds("CPU per prompt (a reply of 2 chunks), ms", [seen.cpu_ms_per_prompt for seen in figures])
    _print_row("added time to first fragment, p50, ms", [median(seen.first_ms) for seen in figures])
    _print_row("added time to first fragment, p99, ms", [_p99(seen.first_ms) for seen in figures])
    _print_row("prompt sent until it reaches the model, p50, ms", [median(seen.request_ms) for seen in figures])
    _print_row("prompt sent until it reaches the model, p99, ms", [_p99(seen.request_ms) for seen in figures])
    _print_row("end of the reply behind the model's, p50, ms", [median(seen.late_ms) for seen in figures])
    _print_rounds("pieces sent per chunk of the model's", [seen.pieces_per_chunk for seen in figures])
    _print_rounds("bytes on the wire per byte of text", [seen.wire_per_text for seen in figures])


def _p99(samples: Sequence[float]) -> float:
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]


def _print_rounds(name: str, rounds: Sequence[Sequence[float]]) -> None:
    """Print medians, and the medians of the ratios within each round."""
    if not rounds[0]:
        return
    ratios = [median(own / base for own, base in zip(one, rounds[0], strict=True)) for one in rounds]
    _print_row(name, [median(one) for one in rounds], ratios)


def _print_row(name: str, values: Sequence[float], ratios: Sequence[float] | None = None) -> None:
    base, *others = values
    shown = ratios[1:] if ratios is not None else [value / base if base > 0 else 0.0 for value in others]
    cells = [f"{value:11.2f}  x{ratio:.2f}" for value, ratio in zip(others, shown, strict=True)]
    print(f"  {name:<48}{base:>10.2f}" + "".join(f"{cell:>18}" for cell in cells), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure Rill beside the tutorial's server.")
    parser.add_argument("--quick", action="store_true", help="a smoke test of less than 30 seconds")
    sys.exit(0 if uvloop.run(main(QUICK if parser.parse_args().quick else FULL)) else 1)
