"""Rill beside the tutorial's server, under the same load, in one run: `python -m benchmarks.run`.

Every number of speed is a comparison. The servers take turns, round by round, on a core that they have for themselves,
so that whatever else the machine does meets all of them. Memory and the page's weight are absolute.
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
from collections.abc import Collection
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import uvloop

from benchmarks import capacity, memory, page_weight, processes, replies, report
from benchmarks.contenders import all_contenders
from benchmarks.memory import Crowd
from benchmarks.replies import Paced
from benchmarks.report import Target
from benchmarks.upstream import Script

PARTS = ("weight", "paced", "flat", "latency", "capacity", "memory", "curve")
OPEN_FILES = 16_384
"""2,000 readers, on both sides of their sockets."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure. Tuples are a number of replies or chunks, then seconds or rounds; a search has
    a most number of steps, too.
    """

    paced: Paced
    flat: tuple[int, int]
    latency: tuple[int, float]
    capacity: tuple[int, float, int]
    crowd: Crowd
    curve: tuple[int, int]


FULL = Plan(
    paced=Paced(Script(chunks=250, per_second=50), levels=(1, 50), rounds=3, short_replies=10),
    flat=(2000, 3),
    latency=(200, 8.0),
    capacity=(100, 6.0, 8),
    crowd=Crowd(),
    curve=(5000, 10),
)
QUICK = Plan(
    paced=Paced(Script(chunks=25, per_second=50), levels=(1,), rounds=1, short_replies=3),
    flat=(200, 1),
    latency=(10, 1.0),
    capacity=(10, 1.0, 1),
    crowd=Crowd(idle=40, running=10, idle_beside=20, seconds=1.0),
    curve=(500, 2),
)


async def main(plan: Plan, parts: Collection[str]) -> bool:
    """Measure and print; tell whether the page is light enough, or was not weighed."""
    began = time.monotonic()
    _allow_open_files()
    processes.pin_load()
    if (task := asyncio.current_task()) is not None:
        # The servers have to end with the benchmark, however it ends.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    shared = "shared by all" if processes.are_cores_shared() else "the first for the servers, the rest for the load"
    report.heading(
        f"This machine: {os.cpu_count()} cores, {shared}. Of times and CPU only the ratios (x) mean anything."
    )
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rill-bench-")))
        is_light, targets = await _measure(plan, parts, folder, stack)
    report.targets(targets)
    print(f"\nTook {time.monotonic() - began:.0f} s.")
    return is_light


async def _measure(
    plan: Plan, parts: Collection[str], folder: Path, stack: AsyncExitStack
) -> tuple[bool, list[Target]]:
    model = await stack.enter_async_context(processes.upstream(folder))
    is_light, targets = True, []
    async with processes.baseline(folder, model.url) as baseline, processes.rill(folder, model.url) as rill:
        contenders = all_contenders(baseline, rill)
        for one in contenders:
            await one.warm_up()
        if "weight" in parts:
            is_light = page_weight.report(await page_weight.first_load(rill.url))
        if "paced" in parts:
            await replies.at_a_models_pace(plan.paced, contenders)
        if "flat" in parts:
            targets += await replies.flat_out(*plan.flat, contenders)
        if "latency" in parts:
            targets += await capacity.latency(*plan.latency, contenders, model.url)
        if "capacity" in parts:
            targets += await capacity.capacity(*plan.capacity, [contenders[0], contenders[-1]], model.url)
    if "memory" in parts:
        targets += await memory.measure(plan.crowd, folder, model)
    if "curve" in parts:
        targets += await memory.curve(*plan.curve, folder / "curve", model)
    return is_light, targets


def _allow_open_files() -> None:
    """Raise the soft limit, which the servers inherit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure Rill beside the tutorial's server.")
    parser.add_argument(
        "--quick", action="store_true", help="a smoke test of some 30 seconds; its numbers mean nothing"
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="measure these parts only")
    return parser.parse_args()


if __name__ == "__main__":
    asked = _arguments()
    sys.exit(0 if uvloop.run(main(QUICK if asked.quick else FULL, asked.only)) else 1)
