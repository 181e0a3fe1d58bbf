"""The end of a paragraph that may still change, as a reader has it: an element of its own.

While nothing in it changes, text is put in the place of its marker. When something does, the whole is replaced, but
only after at least half as much new source has come, so that the cost stays linear.
"""

from __future__ import annotations

from webapp.markdown.escape import escape
from webapp.markdown.inlines import Inline
from webapp.markdown.tree import Element, Ids

MIN_CHARS = 48
"""Text that may still change is kept back until it is this long: most emphasis, code and links are complete before.

What was shown as it may be has to be sent again as it is: at 32, prose cost 1.18 times its final HTML, at 48, 1.02.
"""


class Tail:
    """What a reader has of the tail of a document; there is at most one."""

    def __init__(self, ids: Ids) -> None:
        self._ids = ids
        self.owner: Element | None = None
        self.id = ""
        self.marker = ""
        self._shown: list[str] = []
        self._pieces = 0  # of the paragraph's, up to which they were sent
        self._was_waiting = False
        self._waiting = 0  # pieces of source sent of the token that waits
        self._revision = 0
        self._source_chars = 0

    def html(self) -> str:
        """Give its element."""
        return f"<span id={self.id}>{''.join(self._shown)}<i id={self.marker}></i></span>"

    def new_marker(self) -> str:
        """Give the place where it goes on."""
        self.marker = self._ids.marker()
        return f"<i id={self.marker}></i>"

    def forget(self) -> None:
        """Note that it is gone."""
        self.owner = None
        self._shown.clear()

    def start(self, owner: Element, inline: Inline | None) -> str:
        """Give its element at the end of its paragraph, if there is enough to show."""
        return self._restart(owner, inline) if inline is not None and self.is_due(inline) else ""

    def is_due(self, inline: Inline) -> bool:
        """Say whether there is enough to show."""
        return inline.has_tail and _length(inline) >= MIN_CHARS

    def restart(self, owner: Element, inline: Inline | None) -> str:
        """Give its element anew, if there is something to show."""
        self.forget()
        return self._restart(owner, inline) if inline is not None and inline.has_tail else ""

    def may_restart(self, inline: Inline | None) -> bool:
        """Say whether enough has come to send it again."""
        if inline is None:
            return True
        return 2 * (inline.source_chars - self._source_chars) >= _length(inline)

    def is_extended(self, inline: Inline) -> bool:
        """Say whether what a reader has of it still holds."""
        return inline.revision == self._revision

    def extension(self, inline: Inline) -> str:
        """Give what is to be put before the end of its element."""
        html = inline.html_from(self._pieces - inline.base)
        html += escape("".join(inline.waiting[self._waiting :]) if self._was_waiting else inline.waiting_text())
        self._note(inline, html)
        return html

    def _restart(self, owner: Element, inline: Inline) -> str:
        self.owner, self.id, self.marker = owner, self._ids.tail(), self._ids.marker()
        self._note(inline, inline.html_from(0) + escape(inline.waiting_text()))
        return self.html()

    def _note(self, inline: Inline, html: str) -> None:
        self._shown.append(html)
        self._pieces = inline.base + len(inline.pieces)
        self._was_waiting = inline.wake is not None
        self._waiting = len(inline.waiting)
        self._revision = inline.revision
        self._source_chars = inline.source_chars


def _length(inline: Inline) -> int:
    return inline.source_chars - inline.open_offset
