"""What a model thinks before it answers, as operations for the page while it comes.

As in Markdown, each operation replaces an element by an id that comes only once, so that one that arrives twice or late
changes nothing. The thoughts are plain text, open while they come and closed once the answer begins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from webapp import ids
from webapp.markdown import Op
from webapp.markdown.escape import escape
from webapp.text import TextCleaner

MAX_CHARS = 200_000
"""How much is kept; a model that thinks longer than a book is not read."""


class GrowingThoughts:
    """Thoughts that come; `text` is what was shown of them. `render` makes the whole element, open or closed."""

    def __init__(self, number: int, render: Callable[[str, bool], str]) -> None:
        self._number, self._render = number, render
        self._cleaner = TextCleaner()
        self._unshown: list[str] = []
        self._chars = 0
        self.text = ""
        self._is_open = False
        self._is_shown = False

    def feed(self, text: str) -> None:
        """Take in more; what is beyond `MAX_CHARS` is dropped."""
        text = self._cleaner.feed(text)[: MAX_CHARS - self._chars]
        self._chars += len(text)
        if text:
            self._unshown.append(text)

    def flush(self, *, is_answering: bool, is_over: bool = False) -> Sequence[Op]:
        """Give what has to be done to the page since the last time."""
        if is_over:
            self._unshown.append(self._cleaner.end())
        fresh = "".join(self._unshown)
        if is_answering or is_over:
            return self._close(fresh, is_over)
        self._unshown = []
        return self._go_on(fresh) if fresh else ()

    def _go_on(self, fresh: str) -> Sequence[Op]:
        place = ids.thoughts_place(self._number, len(self.text))
        self.text += fresh
        if self._is_open:
            following = ids.thoughts_place(self._number, len(self.text))
            return (Op(place, f"{escape(fresh)}<i id={following}></i>"),)
        self._is_open = self._is_shown = True
        return (Op(place, self._render(self.text, True)),)

    def _close(self, fresh: str, is_over: bool) -> Sequence[Op]:
        # Some models think again while they answer: that is shown once they have ended.
        if not self._is_open and not (fresh and (is_over or not self._is_shown)):
            return ()
        target = ids.thoughts(self._number) if self._is_shown else ids.thoughts_place(self._number, 0)
        self._unshown, self.text = [], self.text + fresh
        self._is_open, self._is_shown = False, True
        return (Op(target, self._render(self.text, False)),)
