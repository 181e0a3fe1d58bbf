"""Sites of other people, on other origins, that have a chat in their pages."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.fakes import ROOT

HTMX = (ROOT / "static" / "vendor" / "htmx.min.js").read_text()


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
