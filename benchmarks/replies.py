"""What replies cost and how fast they begin and end, at a model's pace and as fast as a server takes them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks import report
from benchmarks.contenders import Contender
from benchmarks.processes import Process
from benchmarks.readers import ReaderSocket, Reply, ask_all
from benchmarks.report import Target, p99
from benchmarks.upstream import FLAT_OUT, Script, text_chars

PROMPTS_PER_SECOND = 50.0
"""How fast readers come: all of them write while the last one's reply begins, and none meets a stampede."""
SHORT = Script(chunks=2, per_second=50)
"""Nearly nothing but the cost of a prompt, and one more sample of the time to the first fragment."""
FLAT_REPLIES = 10
STEP_SECONDS = 90.0
"""No step takes a quarter of this, so a server that takes longer has lost a reply."""


@dataclass(frozen=True, slots=True)
class Paced:
    """How much to measure at a model's pace."""

    script: Script
    levels: Sequence[int]
    rounds: int
    short_replies: int


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


async def at_a_models_pace(plan: Paced, contenders: Sequence[Contender]) -> None:
    """Measure and print the comparison at several numbers of replies at once."""
    script = plan.script
    report.heading(f"Replies of {script.chunks} chunks, {script.per_second:g} a second; {plan.rounds} rounds")
    report.names(contenders[0].name, [one.name for one in contenders[1:]])
    for level in plan.levels:
        _print_level(level, await _measure_level(plan, contenders, level))


async def _measure_level(plan: Paced, contenders: Sequence[Contender], level: int) -> list[Figures]:
    figures = [Figures() for _ in contenders]
    sockets = [await one.sockets(level) for one in contenders]
    for _ in range(plan.rounds):
        for one, seen, opened in zip(contenders, figures, sockets, strict=True):
            await _measure_replies(plan.script, one.server, opened, seen)
            if level == 1:
                await _measure_prompts(plan.short_replies, one.server, opened[0], seen)
    for one in contenders:
        one.close()
    return figures


async def _measure_replies(script: Script, server: Process, sockets: Sequence[ReaderSocket], seen: Figures) -> None:
    before = server.cpu_seconds()
    async with asyncio.timeout(STEP_SECONDS):
        replies = await ask_all(sockets, script, PROMPTS_PER_SECOND)
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


def _print_level(level: int, figures: Sequence[Figures]) -> None:
    report.heading(f"{level} {'reply' if level == 1 else 'replies'} at once")
    report.rounds("CPU per 1,000 chunks, ms", [seen.cpu_ms_per_1000 for seen in figures])
    report.rounds("CPU per prompt (a reply of 2 chunks), ms", [seen.cpu_ms_per_prompt for seen in figures])
    report.row("added time to first fragment, p50, ms", [median(seen.first_ms) for seen in figures])
    report.row("added time to first fragment, p99, ms", [p99(seen.first_ms) for seen in figures])
    report.row("prompt sent until it reaches the model, p50, ms", [median(seen.request_ms) for seen in figures])
    report.row("prompt sent until it reaches the model, p99, ms", [p99(seen.request_ms) for seen in figures])
    report.row("end of the reply behind the model's, p50, ms", [median(seen.late_ms) for seen in figures])
    report.rounds("pieces sent per chunk of the model's", [seen.pieces_per_chunk for seen in figures])
    report.rounds("bytes on the wire per byte of text", [seen.wire_per_text for seen in figures])


async def flat_out(chunks: int, rounds: int, contenders: Sequence[Contender]) -> list[Target]:
    """Measure and print the CPU per chunk when the model sends as fast as it can."""
    script = Script(chunks, FLAT_OUT)
    report.heading(f"{FLAT_REPLIES} replies of {chunks} chunks, flat out; {rounds} rounds")
    report.names(contenders[0].name, [one.name for one in contenders[1:]])
    figures = [Figures() for _ in contenders]
    for _ in range(rounds):
        for one, seen in zip(contenders, figures, strict=True):
            await _measure_flat_out(script, one, seen)
    for one in contenders:
        one.close()
    ratios = report.rounds("CPU per 1,000 chunks, ms", [seen.cpu_ms_per_1000 for seen in figures])
    report.rounds("pieces sent per chunk of the model's", [seen.pieces_per_chunk for seen in figures])
    return [
        Target(f"CPU per chunk flat out, {FLAT_REPLIES} replies, of the tutorial's: {one.name}", 0.5, ratio, "x")
        for one, ratio in zip(contenders[1:], ratios[1:], strict=True)
    ]


async def _measure_flat_out(script: Script, contender: Contender, seen: Figures) -> None:
    sockets = await contender.sockets(FLAT_REPLIES)
    before = contender.server.cpu_seconds()
    async with asyncio.timeout(STEP_SECONDS):
        replies = await ask_all(sockets, script, PROMPTS_PER_SECOND)
    chunks = script.chunks * len(replies)
    seen.cpu_ms_per_1000.append((contender.server.cpu_seconds() - before) * 1000 / chunks * 1000)
    seen.pieces_per_chunk.append(sum(reply.pieces for reply in replies) / chunks)
