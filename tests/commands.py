"""The command `rill` as somebody runs it in a shell."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.fakes import ROOT, RillServer

PIPE = asyncio.subprocess.PIPE

# A shell that runs tests in the background has them ignore Ctrl+C, and what they start inherits that.
_RUN = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("webapp", run_name="__main__")
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it had written until then."""

    status: int
    output: str
    errors: str


async def begin(
    environ: Mapping[str, str], folder: Path, *arguments: str, stdin: int = PIPE, stderr: int = PIPE
) -> asyncio.subprocess.Process:
    """Begin a command, with pipes in the place of a terminal."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-c", _RUN, *arguments),
        cwd=folder,
        env={**environ, "PYTHONPATH": str(ROOT)},
        stdin=stdin,
        stdout=PIPE,
        stderr=stderr,
    )


async def end(process: asyncio.subprocess.Process, stdin: bytes | None = None) -> Ended:
    """Wait until a command has ended; give what it wrote, but for what was read before."""
    output, errors = await process.communicate(stdin)
    assert process.returncode is not None
    return Ended(process.returncode, output.decode(), (errors or b"").decode())


async def rill(environ: Mapping[str, str], folder: Path, *arguments: str, stdin: bytes = b"") -> Ended:
    """Run a command to its end."""
    return await end(await begin(environ, folder, *arguments), stdin)


async def make_key(server: RillServer, folder: Path, name: str, *options: str) -> str:
    """Make a key while a server runs, as its operator does."""
    made = await rill(server.environ, folder, "key", "create", name, *options)
    assert made.status == 0, made
    return made.output.strip()
