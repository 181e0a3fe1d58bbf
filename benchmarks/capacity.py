"""How late chunks are while many replies run at once, and how many can before they are too late.

All replies of a step are begun and held at the model, then go on together, so that a step measures nothing but replies
that run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import httpx

from benchmarks import report
from benchmarks.contenders import Contender
from benchmarks.readers import ReaderSocket, Reply
from benchmarks.report import Target, p99
from benchmarks.upstream import Script

CHUNKS_PER_SECOND = 20.0
FLUSH_MS = 40.0
"""Rill gathers for this long by design; the tutorial is allowed the same."""
MAX_DELAY_MS = 100.0 + FLUSH_MS
PROMPTS_PER_SECOND = 40.0
STEP_SECONDS = 90.0
"""No step takes a third of this, so a server that takes longer has lost a reply."""
TRIES = 2
"""A level has to fail this often: one stall of the machine is longer than what is allowed."""
PRECISION = 1.1


@dataclass(frozen=True, slots=True)
class Step:
    """What was seen of some replies that ran at once."""

    level: int
    replies: Sequence[Reply]
    busy: float

    @property
    def delays_ms(self) -> list[float]:
        return [delay for reply in self.replies for delay in reply.delays_ms]

    @property
    def lost(self) -> int:
        return sum(reply.lost for reply in self.replies)

    @property
    def pieces_per_chunk(self) -> float:
        return sum(reply.pieces for reply in self.replies) / sum(reply.script.chunks for reply in self.replies)

    @property
    def is_good(self) -> bool:
        return self.lost == 0 and p99(self.delays_ms) <= MAX_DELAY_MS

    def __str__(self) -> str:
        return (
            f"{self.level:5} replies: delay p50 {median(self.delays_ms):7.1f} ms, p99 {p99(self.delays_ms):7.1f} ms, "
            f"lost {self.lost}, {self.busy:4.0%} of a core, {self.pieces_per_chunk:.2f} pieces per chunk"
        )


async def run_together(contender: Contender, model_url: str, level: int, seconds: float) -> Step:
    """Begin this many replies, let them go on together, and see them all to their ends."""
    script = Script(int(seconds * CHUNKS_PER_SECOND), CHUNKS_PER_SECOND, is_numbered=True, is_held=True)
    sockets = await contender.sockets(level)
    await begin_all(sockets, script)
    before = contender.server.cpu_seconds()
    await release(model_url)
    await asyncio.sleep(seconds)
    busy = (contender.server.cpu_seconds() - before) / seconds
    async with asyncio.timeout(STEP_SECONDS):
        replies = await asyncio.gather(*(socket.ended() for socket in sockets))
    return Step(level, replies, busy)


async def begin_all(sockets: Sequence[ReaderSocket], script: Script) -> None:
    """Ask one after the other until all replies have begun."""

    async def begin(index: int, socket: ReaderSocket) -> None:
        await asyncio.sleep(index / PROMPTS_PER_SECOND)
        await socket.begin(script)

    async with asyncio.timeout(STEP_SECONDS):
        await asyncio.gather(*(begin(index, socket) for index, socket in enumerate(sockets)))


async def release(model_url: str) -> None:
    """Let the replies go on that the model holds."""
    async with httpx.AsyncClient() as client:
        await client.get(f"{model_url}/release")


async def latency(level: int, seconds: float, contenders: Sequence[Contender], model_url: str) -> list[Target]:
    """Measure and print how late chunks are at one number of replies."""
    report.heading(f"Added latency of every tenth chunk, {level} replies at {CHUNKS_PER_SECOND:g} chunks a second each")
    targets = []
    for one in contenders:
        step = await run_together(one, model_url, level, seconds)
        one.close()
        print(f"  {one.name:<12}{step}", flush=True)
        if one is not contenders[0]:
            targets += [
                Target(f"added latency, p99, {level} replies: {one.name}", MAX_DELAY_MS, p99(step.delays_ms), "ms"),
                Target(f"chunks lost, {level} replies: {one.name}", 0, step.lost),
            ]
    return targets


async def capacity(
    first: int, seconds: float, most_steps: int, contenders: Sequence[Contender], model_url: str
) -> list[Target]:
    """Search for the number of replies that each server can have running at once."""
    report.heading(
        f"Most replies at once at {CHUNKS_PER_SECOND:g} chunks a second each: p99 of the added latency within "
        f"{MAX_DELAY_MS:g} ms, nothing lost"
    )
    found = []
    for one in contenders:
        print(f"  {one.name}", flush=True)
        found.append(await _most(one, first, seconds, most_steps, model_url))
        one.close()
        print(f"  {one.name}: {found[-1]}", flush=True)
    base, *others = found
    return [
        Target(f"replies at once, of the tutorial's {base}: {one.name} {most}", 2.0, most / max(base, 1), "x", True)
        for one, most in zip(contenders[1:], others, strict=True)
    ]


async def _most(contender: Contender, first: int, seconds: float, most_steps: int, model_url: str) -> int:
    """Search between a level that is good and one that is not until they are close."""
    good, bad, level = 0, 0, first
    for _ in range(most_steps):
        step = await _tried(contender, level, seconds, model_url)
        if step.is_good:
            good = level
        else:
            bad = level
        if bad:
            level = int((good * bad) ** 0.5) if good else bad // 2
        else:
            # What a core would bear if every reply cost the same, or half as many more if that is nearly reached.
            level = max(int(level * min(2.0, 0.95 / step.busy)), int(level * 1.25))
        if (good and bad and bad <= good * PRECISION) or level in {0, good, bad}:
            break
    return good


async def _tried(contender: Contender, level: int, seconds: float, model_url: str) -> Step:
    for _ in range(TRIES):
        step = await run_together(contender, model_url, level, seconds)
        print(f"    {step}", flush=True)
        if step.is_good:
            break
    return step
