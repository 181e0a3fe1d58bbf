"""The command `rill` as somebody runs it in a shell."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.fakes import ROOT, RillServer

PIPE = asyncio.subprocess.PIPE


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it had written until then."""

    status: int
    output: str
    errors: str


async def begin(environ: Mapping[str, str], folder: Path, *arguments: str) -> asyncio.subprocess.Process:
    """Begin a command, with pipes in the place of a terminal."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "webapp", *arguments),
        cwd=folder,
        env={**environ, "PYTHONPATH": str(ROOT)},
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
    )


async def end(process: asyncio.subprocess.Process, stdin: str = "") -> Ended:
    """Wait until a command has ended; give what it wrote, but for what was read before."""
    output, errors = await process.communicate(stdin.encode())
    assert process.returncode is not None
    return Ended(process.returncode, output.decode(), errors.decode())


async def rill(environ: Mapping[str, str], folder: Path, *arguments: str, stdin: str = "") -> Ended:
    return await end(await begin(environ, folder, *arguments), stdin)


async def make_key(server: RillServer, folder: Path, name: str, *options: str) -> str:
    """Make a key while a server runs, as its operator does."""
    made = await rill(server.environ, folder, "key", "create", name, *options)
    assert made.status == 0, made
    return made.output.strip()
