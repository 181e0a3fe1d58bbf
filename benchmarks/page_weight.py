"""What the page weighs when a browser opens it for the first time: bytes, requests, caching."""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import httpx

from benchmarks import processes

MAX_BYTES = 40 * 1024
MAX_REQUESTS = 8
YEAR_SECONDS = 31_536_000
_FETCHED_LINKS = {"stylesheet", "icon", "preload", "modulepreload", "manifest"}
_CSS_URL = re.compile(r"url\(\s*['\"]?(?!data:)([^'\")]+)|@import\s+['\"]([^'\"]+)")


@dataclass(frozen=True, slots=True)
class Load:
    """One request of the first load. `is_static` says that it is to be kept for ever."""

    path: str
    head_bytes: int
    body_bytes: int
    cache_control: str
    is_static: bool

    @property
    def is_far_future(self) -> bool:
        age = re.search(r"max-age=(\d+)", self.cache_control)
        return age is not None and int(age[1]) >= YEAR_SECONDS and "immutable" in self.cache_control


class _References(HTMLParser):
    """The addresses that a browser fetches by itself for a document."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        is_fetched_link = tag == "link" and bool(_FETCHED_LINKS & set(values.get("rel", "").split()))
        address = values.get("href", "") if is_fetched_link else values.get("src", "")
        if address and not address.startswith("data:") and address not in self.found:
            self.found.append(address)


async def first_load(server: str) -> list[Load]:
    """Load the start page and all that it needs, as a new browser does."""
    async with httpx.AsyncClient(base_url=server, headers={"Accept-Encoding": "gzip"}) as browser:
        page = await _get(browser, "/")
        references = _References()
        references.feed(page.text)
        loads, waiting = [_load(page, is_static=False)], references.found
        while waiting:
            answer = await _get(browser, waiting.pop(0))
            # The manifest has no name of its own for each content, and is asked for when a page is installed.
            loads.append(_load(answer, is_static="manifest" not in answer.headers["content-type"]))
            if "text/css" in answer.headers["content-type"]:
                addresses = (first or second for first, second in _CSS_URL.findall(answer.text))
                waiting += [str(answer.url.join(address)) for address in addresses]
    return loads


async def _get(browser: httpx.AsyncClient, address: str) -> httpx.Response:
    answer = await browser.get(address)
    answer.raise_for_status()
    return answer


def _load(answer: httpx.Response, *, is_static: bool) -> Load:
    head = sum(len(name) + len(value) + 4 for name, value in answer.headers.raw)
    cache_control = answer.headers.get("cache-control", "")
    return Load(answer.url.path, head, answer.num_bytes_downloaded, cache_control, is_static)


def report(loads: list[Load]) -> bool:
    """Print a first load; tell whether it stays within its bounds."""
    print("The page's first load, compressed (bytes of bodies + of headers):")
    for load in loads:
        print(f"  {load.body_bytes:7,} + {load.head_bytes:5,}  {load.path:<32} {load.cache_control}")
    bodies, total = sum(load.body_bytes for load in loads), sum(load.body_bytes + load.head_bytes for load in loads)
    print(f"  {bodies:7,} + {total - bodies:5,}  = {total / 1024:.1f} KB of {MAX_BYTES // 1024} ", end="")
    print(f"in {len(loads)} requests of {MAX_REQUESTS}")
    short_lived = [load.path for load in loads if load.is_static and not load.is_far_future]
    if short_lived:
        print(f"  Not kept for ever: {', '.join(short_lived)}")
    return total <= MAX_BYTES and len(loads) <= MAX_REQUESTS and not short_lived


async def main() -> bool:
    """Measure a fresh installation."""
    with tempfile.TemporaryDirectory(prefix="rill-bench-") as name:
        async with processes.upstream(Path(name)) as model, processes.rill(Path(name), model.url) as rill:
            return report(await first_load(rill.url))


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main()) else 1)
