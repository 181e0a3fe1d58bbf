"""Replies as HTML: one that is being written, operation by operation; one that is whole, at once.

Rendering runs on the event loop in steps of at most `STEP_CHARS`, each of which takes a millisecond, and up to some
20 for the most hostile text; highlighting runs in other processes.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Sequence

from webapp import ids
from webapp.domain import Rendering
from webapp.markdown import VERSION, AppendStream, CodeBlock, Dialect, MarkdownStream, Op, SafeLinks
from webapp.markdown.code import language_label
from webapp.markdown.formulas import to_mathml
from webapp.markdown.workers import Workers

STEP_CHARS = 500
"""How much is rendered before others get their turn."""

HIGHLIGHT_SECONDS = 3.0
"""How long the end of a reply waits for the last of its code to be highlighted; what is late stays plain."""

MAX_CODE_AHEAD = 8
"""Code blocks that may wait for a worker before a whole reply is rendered on."""

ImageSource = Callable[[str], str | None]
"""Gives the address on this site of a copy of an image, or nothing where only a link to it may stand."""


class ReplyRenderer:
    """Makes the HTML of replies; `close` ends the processes that highlight code.

    `image_source` decides about images, and `image_rule` says in short how, so that replies are rendered anew when an
    operator changes the rule.
    """

    def __init__(self, image_source: ImageSource | None = None, image_rule: str = "") -> None:
        self._dialect = Dialect(links=SafeLinks(image_source), language_label=language_label, formula=_formula)
        self._workers = Workers()
        rule = hashlib.sha256(image_rule.encode()).hexdigest()[:8] if image_rule else ""
        self.version = f"{VERSION}{'-' * bool(rule)}{rule}"

    async def close(self) -> None:
        await self._workers.aclose()

    def begin(self, number: int, on_change: Callable[[], None]) -> GrowingReply:
        """Begin to render reply `number`. `on_change` is called when code was highlighted and waits for a flush."""
        return GrowingReply(number, self._dialect, self._workers, self.version, on_change)

    def append_only(self, number: int) -> AppendStream:
        """Begin to render reply `number` for a page that can only be appended to; its code stays plain."""
        return AppendStream(ids.content(number), dialect=self._dialect)

    async def render(self, number: int, text: str) -> Rendering:
        """Render a whole reply, letting others have their turn all along."""
        growing = self.begin(number, lambda: None)
        for piece in steps(text):
            growing.feed(piece)
            growing.flush()
            await growing.keep_pace()
        growing.close()
        await growing.highlighted()
        growing.flush()
        return growing.rendering()


class GrowingReply:
    """A reply that is being written: text goes in, operations for the page come out."""

    def __init__(
        self, number: int, dialect: Dialect, workers: Workers, version: str, on_change: Callable[[], None]
    ) -> None:
        self._stream = MarkdownStream(ids.content(number), dialect=dialect, defers_code=True)
        self._workers, self._version, self._on_change = workers, version, on_change
        self._highlighting: set[asyncio.Task[None]] = set()
        self._is_settled = False

    def feed(self, text: str) -> None:
        """Take in more of the reply, at most `STEP_CHARS` at a time."""
        self._stream.feed(text)
        self._take_code()

    def flush(self) -> Sequence[Op]:
        """Give what has to be done to the page since the last time."""
        return self._stream.flush()

    def close(self) -> Sequence[Op]:
        """Give what the end of the text brings; nothing may be fed after it, but code may still be highlighted."""
        ops = self._stream.close()
        self._take_code()
        return ops

    async def keep_pace(self) -> None:
        """Let others have their turn, and wait while much code waits to be highlighted: workers refuse too much."""
        await asyncio.sleep(0)
        while len(self._highlighting) > MAX_CODE_AHEAD:
            await asyncio.wait(self._highlighting, return_when=asyncio.FIRST_COMPLETED)

    async def highlighted(self) -> None:
        """Wait until all code is highlighted or has taken too long; the next flush shows it."""
        if self._highlighting:
            _, late = await asyncio.wait(self._highlighting, timeout=HIGHLIGHT_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        self._is_settled = True
        # Nothing changes any more, and whom to tell leads in a circle back here, which only a garbage collection frees.
        self._on_change = _tell_nobody

    def rendering(self) -> Rendering:
        """Give the HTML as the page has it after the last flush; once all is highlighted, without the ids for more."""
        return Rendering(self._stream.result() if self._is_settled else self._stream.html(), self._version)

    def _take_code(self) -> None:
        for code in self._stream.take_code():
            task = asyncio.create_task(self._highlight(code), name="highlight")
            self._highlighting.add(task)
            task.add_done_callback(self._highlighting.discard)

    async def _highlight(self, code: CodeBlock) -> None:
        html = await self._workers.highlight(code.source, code.language)
        self._stream.highlighted(code, html)
        if html is not None:
            self._on_change()


def steps(text: str) -> Iterator[str]:
    """Cut a text into pieces of at most `STEP_CHARS`."""
    return (text[at : at + STEP_CHARS] for at in range(0, len(text), STEP_CHARS))


def _tell_nobody() -> None:
    pass


def _formula(source: str, is_display: bool) -> str | None:
    return to_mathml(source, display=is_display)
