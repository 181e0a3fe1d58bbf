"""Sites of other people, on other origins, that have a chat in their pages."""

from __future__ import annotations

import asyncio
import hashlib
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.fakes import ROOT, RillServer, until

VENDOR = ROOT / "static" / "vendor"
HTMX = (VENDOR / "htmx.min.js").read_text()
EXTENSIONS = "\n".join([HTMX, *((VENDOR / f"hx-{name}.min.js").read_text() for name in ("ws", "sse"))])
"""htmx as a site has it that uses its sockets and streams."""
HTMX_2_SHA256 = "b6768eed4f3af85b73a75054701bd60e17cac718aef2b7f6b254e5e0e2045616"


@asynccontextmanager
async def static_host(folder: Path) -> AsyncIterator[str]:
    """Serve a folder with Python's own file server; give its origin, which is another site than 127.0.0.1."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(folder)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        if process.stdout is None:
            raise RuntimeError("the file server has no output")
        async with asyncio.timeout(20):
            said = (await process.stdout.readline()).decode()
        found = re.search(r"port (\d+)", said)
        if found is None:
            raise AssertionError(f"the file server did not start: {said}")
        yield f"http://localhost:{found[1]}"
    finally:
        process.terminate()
        await process.wait()


def page(body: str, *, head: str = "") -> str:
    """Write a page of a host's, with styles that would spoil a chat that they reached."""
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8><title>Shop</title><link rel=icon href='data:,'>"
        "<style>* { color: red !important; font-size: 40px !important } #rill-prompt, main { display: none }</style>"
        f"{head}</head><body><h1>Shop</h1>{body}</body></html>"
    )


def older_htmx() -> str:
    """Give htmx as most sites have it."""
    script = (ROOT / "tests" / "payloads" / "htmx-2.0.6.min.js").read_bytes()
    if hashlib.sha256(script).hexdigest() != HTMX_2_SHA256:
        raise ValueError("this is not htmx 2.0.6")
    return script.decode()


@dataclass
class App:
    """An app that runs, and what it has printed."""

    url: str
    process: asyncio.subprocess.Process
    output: str


@asynccontextmanager
async def running(name: str, folder: Path, *options: str, **environ: str) -> AsyncIterator[App]:
    """Run an app with uvicorn, and end it as a terminal does."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "uvicorn", f"{name}:app", "--port", "0", *options),
        cwd=folder,
        env={**RillServer(folder, {}).environ, **environ, "PYTHONPATH": f"{ROOT}:{folder}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    app = App("", process, "")

    async def read() -> None:
        if process.stdout is not None:
            async for line in process.stdout:
                app.output += line.decode()

    reading = asyncio.create_task(read())
    try:
        await until(lambda: "running on" in app.output or process.returncode is not None, "the app to start", 60)
        found = re.search(r"running on (http://\S+)", app.output)
        assert found is not None, app.output
        app.url = found[1]
        yield app
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.wait(), 30)
        await reading
