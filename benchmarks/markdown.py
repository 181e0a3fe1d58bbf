"""What it costs to show Markdown while it is written: the engine against a new rendering of everything per chunk.

Run with `python -m benchmarks.markdown`. The other side is markdown-it-py, if it is installed, as most chats use such a
parser: at each chunk, it renders all that has come. Times are of this machine, counts are of any.
"""

from __future__ import annotations

import re
import statistics
import time
import zlib
from collections.abc import Callable, Iterator

from webapp.markdown import MarkdownStream, Op, render

CHUNK_CHARS = 4
FLUSH_CHARS = 16
SMALL, LARGE = 4_000, 200_000

PROSE = (
    "The **economic** explanation says that the guilds declined because transport became *cheap*: once a cart of wool "
    "could cross three counties for the price of a day's wages, a local monopoly was worth nothing. See [the "
    "archive](https://example.com/archive) or `grep -r guild` for more, and compare the numbers with your own.\n\n"
)
CODE = (
    "    if bucket.tokens < 1 and not is_exempt(client):\n        raise TooManyRequests(retry_after=1 / bucket.rate)\n"
)
ITEM = "- an item with **bold**, `code` and a [link](https://example.com/a), long enough to be wrapped on a phone\n"
ROW = "| name of a thing | `code` | 1,234.56 | a sentence about it |\n"
HEAD = "| a | b | c | d |\n|---|:-:|--:|---|\n"
MIXED = f"## A heading\n\n{PROSE}{ITEM * 3}\n```python\n{CODE * 3}```\n\n{HEAD}{ROW * 3}\n> A quote.\n\n"

KINDS: dict[str, Callable[[int], str]] = {
    "prose": lambda size: _repeated(PROSE, size),
    "code": lambda size: "```python\n" + _repeated(CODE, size),
    "list": lambda size: _repeated(ITEM, size),
    "table": lambda size: HEAD + _repeated(ROW, size),
    "mixed": lambda size: _repeated(MIXED, size),
}


def _repeated(text: str, size: int) -> str:
    return (text * (size // len(text) + 1))[:size]


def _chunks(source: str, size: int) -> Iterator[str]:
    return (source[at : at + size] for at in range(0, len(source), size))


def seconds_per_chunk(source: str) -> list[float]:
    """Feed and flush four characters at a time."""
    stream = MarkdownStream("m")
    clock = time.perf_counter
    found = []
    for chunk in _chunks(source, CHUNK_CHARS):
        start = clock()
        stream.feed(chunk)
        stream.flush()
        found.append(clock() - start)
    return found


def best_seconds_per_chunk(source: str, rounds: int) -> list[float]:
    """Take for each chunk the shortest of several times, so that what other programs do is left out."""
    return [min(times) for times in zip(*(seconds_per_chunk(source) for _ in range(rounds)), strict=True)]


def sent_chars(source: str, flush_chars: int) -> tuple[int, int]:
    """Give the characters of HTML, and the bytes on the wire with envelopes, of which the markers are a part."""
    stream = MarkdownStream("m")
    html = wire = 0
    for chunk in [*_chunks(source, flush_chars), ""]:
        stream.feed(chunk)
        batch = stream.flush() if chunk else stream.close()
        html += sum(len(_MARKER.sub("", op.html)) for op in batch)
        wire += sum(len(_envelope(op).encode()) for op in batch)
    return html, wire


def deflated_bytes(source: str, flush_chars: int) -> int:
    """Give the bytes on the wire when one compressor sees the whole connection."""
    stream, compressor = MarkdownStream("m"), zlib.compressobj(6, wbits=-15)
    total = 0
    for chunk in [*_chunks(source, flush_chars), ""]:
        stream.feed(chunk)
        batch = stream.flush() if chunk else stream.close()
        message = "".join(_envelope(op) for op in batch)
        if message:
            total += len(compressor.compress(message.encode()) + compressor.flush(zlib.Z_SYNC_FLUSH)) - 4
    return total


_MARKER = re.compile(r"<(i|template) id=[^<>]*></\1>")


def _envelope(op: Op) -> str:
    return f"<hx-partial id={op.target_id}>{op.html}</hx-partial>"


def rerendered_seconds(source: str, samples: int = 20) -> float | None:
    """Give the mean time of rendering everything again at a chunk, by markdown-it-py."""
    try:
        from markdown_it import MarkdownIt
    except ImportError:
        return None
    parser = MarkdownIt("gfm-like", {"linkify": False})
    times = []
    for number in range(1, samples + 1):
        start = time.perf_counter()
        parser.render(source[: len(source) * number // samples])
        times.append(time.perf_counter() - start)
    return statistics.fmean(times)


def main() -> None:
    """Print the tables of docs/markdown.md."""
    columns = "us/chunk at 4 KB | p99 | at 200 KB | p99 | ratio | re-rendering at 4 KB | HTML | wire | deflated"
    print(f"| | {columns} |")
    print("| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |")
    for kind, make in KINDS.items():
        small, large = make(SMALL), make(LARGE)
        best_seconds_per_chunk(small, 2)
        quick = best_seconds_per_chunk(small, 9)
        slow = best_seconds_per_chunk(large, 3)
        again = rerendered_seconds(small)
        html, wire = sent_chars(large, FLUSH_CHARS)
        figures = [
            statistics.fmean(quick) * 1e6,
            statistics.quantiles(quick, n=100)[98] * 1e6,
            statistics.fmean(slow) * 1e6,
            statistics.quantiles(slow, n=100)[98] * 1e6,
            statistics.fmean(slow) / statistics.fmean(quick),
            again * 1e6 if again is not None else float("nan"),
            html / len(render(large)),
            wire / len(large.encode()),
            deflated_bytes(large, FLUSH_CHARS) / len(large.encode()),
        ]
        print(f"| {kind} |", " | ".join(f"{figure:.2f}" for figure in figures), "|", flush=True)


if __name__ == "__main__":
    main()
