"""What a conversation's length costs its reader: `python -m benchmarks.long_conversations`.

A page with 500 messages beside one with 20, opened in turns; and the time between two frames in a real Chromium while a
reply is written below 1,000 messages, beside one below none. Only the ratios mean anything: the browser draws without a
GPU here, on cores that it shares with the server.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
from playwright.async_api import Page, async_playwright

from benchmarks import processes
from benchmarks.upstream import Script
from tests.browser.install import FLAGS, installed

SHORT, LONG, LONGEST = 20, 500, 1_000
ROUNDS = 15
STREAM = Script(chunks=200, per_second=40)
TEXT = (
    "A river is a natural stream of water that flows towards an ocean.\n\n- One\n- **Two**\n\n`code` " + "words " * 80
)
FRAMES = """seconds => new Promise(done => {
  const times = [];
  const frame = time => {
    times.push(time);
    time - times[0] < seconds * 1000 ? requestAnimationFrame(frame) : done(times);
  };
  requestAnimationFrame(frame);
})"""


def conversation(count: int) -> bytes:
    """Make an export of so many messages."""
    now = datetime.now(UTC).isoformat()
    messages: list[dict[str, Any]] = [
        {"number": n, "parent": n - 1 or None, "role": "user" if n % 2 else "assistant", "text": f"{n} {TEXT}"}
        for n in range(1, count + 1)
    ]
    whole = {"format": "rill.conversation", "title": f"{count} messages", "updated_at": now, "messages": messages}
    return json.dumps({**whole, "id": str(count), "head": count}).encode()


async def make(reader: httpx.AsyncClient, count: int) -> str:
    """Import a conversation; give its path once it has been shown whole, so that all of it is rendered."""
    files = {"file": ("c.json", conversation(count), "application/json")}
    (await reader.post("/import", files=files, headers={"Accept": "application/json"})).raise_for_status()
    page = (await reader.get("/")).text
    path = next(part.partition('"')[0] for part in page.split('href="')[1:] if f">{count} messages<" in part)
    (await reader.get(f"{path}?at=1")).raise_for_status()
    return path


async def opening(reader: httpx.AsyncClient, paths: dict[int, str]) -> dict[int, tuple[float, int]]:
    """Open pages in turns; give each one's median time in ms, and its compressed size."""
    times: dict[int, list[float]] = {count: [] for count in paths}
    sizes = {}
    for _ in range(ROUNDS):
        for count, path in paths.items():
            began = time.perf_counter()
            answer = await reader.get(path)
            times[count].append((time.perf_counter() - began) * 1000)
            sizes[count] = answer.num_bytes_downloaded
    return {count: (statistics.median(times[count]), sizes[count]) for count in paths}


async def frames(page: Page, url: str) -> list[float]:
    """Have a reply written in the page at a URL; give the ms between frames meanwhile, the longest last."""
    await page.goto(url)
    await page.locator('#rill-composer[data-transport="websocket"]').wait_for(state="attached")
    await page.fill("#rill-prompt", str(STREAM))
    await page.press("#rill-prompt", "Enter")
    await page.locator('.end[data-state="running"]').wait_for(state="attached")
    times: list[float] = await page.evaluate(FRAMES, 4)
    return sorted(later - earlier for earlier, later in pairwise(times))


def told(name: str, gaps: list[float]) -> float:
    p95 = gaps[int(len(gaps) * 0.95)]
    print(f"  {name:<28} {len(gaps) / sum(gaps) * 1000:5.1f} frames/s, p95 {p95:5.1f} ms, longest {gaps[-1]:6.1f} ms")
    return p95


async def main() -> None:
    """Measure a fresh installation."""
    with tempfile.TemporaryDirectory(prefix="rill-bench-") as name:
        folder = Path(name)
        async with processes.upstream(folder) as model, processes.rill(folder, model.url) as rill:
            async with httpx.AsyncClient(base_url=rill.url, timeout=120) as reader:
                paths = {count: await make(reader, count) for count in (SHORT, LONG, LONGEST)}
                found = await opening(reader, {count: paths[count] for count in (SHORT, LONG)})
                cookies = [{"name": k, "value": v, "url": rill.url} for k, v in reader.cookies.items()]
            print("A conversation's page, from the request to its last byte:")
            for count, (milliseconds, size) in found.items():
                print(f"  {count:>5} messages {milliseconds:7.1f} ms {size / 1024:7.1f} KB compressed")
            print(f"  {LONG} beside {SHORT}: {found[LONG][0] / found[SHORT][0]:.2f} x the time")
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(executable_path=installed(), args=FLAGS)
                context = await browser.new_context()
                await context.add_cookies(cookies)  # type: ignore[arg-type]
                page = await context.new_page()
                print("Frames while a reply is written, 40 chunks a second:")
                few = told(f"below {SHORT} messages", await frames(page, f"{rill.url}{paths[SHORT]}"))
                all_of_them = f"{rill.url}{paths[LONGEST]}?at=1"
                many = told(f"below {LONGEST} messages, all there", await frames(page, all_of_them))
                print(f"  p95 of the time between two frames: {many / few:.2f} x")
                await browser.close()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
