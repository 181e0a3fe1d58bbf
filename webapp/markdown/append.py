"""A growing document as text that is only ever appended to, for pages without JavaScript.

A paragraph is given when it is complete, because its next line could still make it a heading or the head of a table.
References to what is defined after them stay text.
"""

from __future__ import annotations

from webapp.markdown.dialect import DEFAULT, Dialect
from webapp.markdown.parser import Parser
from webapp.markdown.source import Source
from webapp.markdown.tree import Element


class AppendStream:
    """Everything before the first element that may still change.

    What was taken is always a beginning of `render(source, late_references=False)`.
    """

    def __init__(self, prefix: str = "m", *, dialect: Dialect = DEFAULT) -> None:
        self._source = Source()
        self._parser = Parser(dialect, prefix)
        self._path = [_Place(self._parser.root.parts, self._parser.root)]

    def feed(self, text: str) -> None:
        """Read more of the source."""
        self._parser.feed(self._source.clean(text))

    def take(self) -> str:
        """Give the HTML that is final and was not taken before."""
        self._parser.changed.clear()
        self._parser.code.clear()
        found: list[str] = []
        while self._path and self._step(found):
            pass
        return "".join(found)

    def close(self) -> str:
        """Give the rest; nothing may be fed after this."""
        self._parser.finish(with_patches=False)
        return self.take()

    def _step(self, found: list[str]) -> bool:
        """Take the next part, or the end tag of an element that ended; say if there was something to take."""
        place = self._path[-1]
        if place.at == len(place.parts):
            if place.element is not None and place.element.is_open:
                return False
            found.append(place.element.closing() if place.element is not None else "")
            self._path.pop()
            return True
        part = place.parts[place.at]
        if isinstance(part, str):
            found.append(part)
        elif part.is_open and part.is_provisional:
            return False
        elif part.replacement is not None:
            self._path.append(_Place(part.replacement, None))
        else:
            found.append(part.opening())
            self._path.append(_Place(part.parts, part))
        place.at += 1
        return True


class _Place:
    """How far the parts of an element, or the parts in the place of one, were taken."""

    __slots__ = ("at", "element", "parts")

    def __init__(self, parts: list[str | Element], element: Element | None) -> None:
        self.parts = parts
        self.element = element
        self.at = 0
