"""The processes of a benchmark: started on free loopback ports, measured from outside, ended by their ids."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

ROOT = Path(__file__).parent.parent
START_SECONDS = 60
KEPT_LINES = 40


class Process:
    """A server in a process of its own, at `url` once it has started."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.pid = process.pid
        self.url = url

    def cpu_seconds(self) -> float:
        """Give the processor time of all its threads, user and system."""
        if sys.platform == "linux":
            # The kernel's own clock of a process, in nanoseconds (clock_getcpuclockid(3)). What psutil reads counts
            # in steps of 10 ms, which is more than a single reply costs.
            return time.clock_gettime((~self.pid << 3) | 2)
        used = psutil.Process(self.pid).cpu_times()
        return float(used.user + used.system)

    def memory_kb(self) -> float:
        """Give its resident memory, without that of the processes it has started."""
        return float(psutil.Process(self.pid).memory_info().rss) / 1024


_CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def are_cores_shared() -> bool:
    """Tell whether servers and load have to share their cores, as there is one or the system cannot divide them."""
    return len(_CORES) < 2


def pin_load() -> None:
    """Keep this process, and the model that it starts, off the one core that the servers get."""
    if not are_cores_shared():
        os.sched_setaffinity(0, _CORES[1:])


def _pin_server() -> None:
    if not are_cores_shared():
        os.sched_setaffinity(0, _CORES[:1])


@asynccontextmanager
async def started(
    arguments: Sequence[str], environ: Mapping[str, str], folder: Path, *, is_server: bool = False
) -> AsyncIterator[Process]:
    """Run Python with `arguments` in `folder` until the context ends; its output has to tell its address.

    `is_server` gives it the servers' core. When the benchmark fails, the last lines of the output are printed.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments),
        cwd=folder,
        env=_environment(environ),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        preexec_fn=_pin_server if is_server else None,
    )
    lines: deque[str] = deque(maxlen=KEPT_LINES)
    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    reading = asyncio.create_task(_read(process, lines, address))
    try:
        async with asyncio.timeout(START_SECONDS):
            url = await address
        yield Process(process, url)
    except BaseException:
        print("".join(lines), file=sys.stderr)
        raise
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()
        await reading


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RILL_", "OPENAI_"))}
    return {**inherited, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **environ}


async def _read(process: asyncio.subprocess.Process, lines: deque[str], address: asyncio.Future[str]) -> None:
    """Read to the end of the output, since a full pipe would block the server."""
    while line := (await _output(process).readline()).decode():
        lines.append(line)
        found = re.search(r" (?:is at|running on) (http://[\d.]+:\d+)", line)
        if found and not address.done():
            address.set_result(found[1])
    if not address.done():
        address.set_exception(RuntimeError("a server ended before it had started"))


def _output(process: asyncio.subprocess.Process) -> asyncio.StreamReader:
    if process.stdout is None:
        raise RuntimeError("the process was started without a pipe")
    return process.stdout


@asynccontextmanager
async def upstream(folder: Path) -> AsyncIterator[Process]:
    """The scripted model."""
    async with started(["-m", "benchmarks.upstream"], {}, folder) as process:
        yield process


@asynccontextmanager
async def baseline(folder: Path, model_url: str) -> AsyncIterator[Process]:
    """The tutorial's server, under the uvicorn settings that Rill chooses for itself."""
    options = "--host 127.0.0.1 --port 0 --loop uvloop --http h11 --ws websockets-sansio --no-access-log"
    arguments = ["-m", "uvicorn", "benchmarks.tutorial_server:app", *options.split()]
    async with started(arguments, _model(model_url), folder, is_server=True) as process:
        yield process


@asynccontextmanager
async def rill(folder: Path, model_url: str) -> AsyncIterator[Process]:
    """`rill serve` as an operator runs it, on fresh data in a folder that need not be there yet."""
    await asyncio.to_thread(folder.mkdir, exist_ok=True)
    settings = {
        "RILL_DATA_DIR": str(folder / "data"),
        "RILL_PORT": "0",
        "RILL_DISCOVER_MODELS": "false",
        "RILL_EMBEDDED_MODEL": "false",
    }
    async with started(["-m", "webapp", "serve"], {**settings, **_model(model_url)}, folder, is_server=True) as process:
        yield process


def _model(url: str) -> dict[str, str]:
    return {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": "none"}
