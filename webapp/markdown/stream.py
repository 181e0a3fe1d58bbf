"""A growing document as operations on the elements of a page.

Where an open element goes on, the page has a marker: an empty element of its own. To append is to put HTML, and the
next marker, in the place of a marker. So there is one kind of operation, each uses up the id that it aims at, and no
id comes twice: a batch that arrives twice, late, or over two connections at once finds its targets gone, and changes
nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from webapp.markdown.builder import CodeBlock
from webapp.markdown.dialect import DEFAULT, Dialect
from webapp.markdown.parser import Parser
from webapp.markdown.source import Source
from webapp.markdown.tails import Tail
from webapp.markdown.tree import NEVER, NOT_SENT, Element, Ids

_LEAVES = frozenset({"p", "code"})
"""Elements that hold text and no blocks."""


@dataclass(frozen=True, slots=True)
class Op:
    """Put HTML, which may be nothing, in the place of the element with an id."""

    target_id: str
    html: str


class MarkdownStream:
    """A document as operations for a page that shows `html` in an element of its own, and applies every batch to it.

    The operations of a batch aim at different elements, all of which are there before the first one is applied. Ids
    are the prefix with `b` (block), `t` (tail) or `-` (marker) and a number; footnotes have `n`. None comes from
    content. With `defers_code`, code blocks in a named language can be replaced by `highlighted` after they ended.
    """

    MARKERS: ClassVar = ":is(i[id], template)"
    """The markers among the descendants of the page's element. Those that are left after the last batch may go."""

    def __init__(self, prefix: str, *, dialect: Dialect = DEFAULT, defers_code: bool = False) -> None:
        self._ids = Ids(prefix)
        self._source = Source()
        self._parser = Parser(dialect, prefix)
        self._parser.defers_code = defers_code
        self._root = self._parser.root
        self._root.sent = 0
        self._root.marker = self._ids.marker()
        self._tail = Tail(self._ids)
        self._awaited: dict[int, CodeBlock] = {}  # by the numbers of their elements
        self._seen = 0  # so many elements were there at the last flush
        self._is_closed = False

    def feed(self, text: str) -> None:
        """Read more of the source."""
        self._parser.feed(self._source.clean(text))

    def flush(self) -> tuple[Op, ...]:
        """Give what has to be done since the last batch."""
        parser = self._parser
        innermost = parser.stack[-1].element
        ops: list[Op] = []
        if not parser.changed and parser.count == self._seen and innermost.name in _LEAVES and innermost.marker:
            # Text of a block that a reader has: nothing else can be new.
            self._update(innermost, ops)
            return tuple(ops)
        self._seen = parser.count
        changed, parser.changed = parser.changed, []
        for element in changed:
            if element.sent != NOT_SENT:
                self._update(element, ops)
        for element in parser.open_elements():
            if element.sent != NOT_SENT and (element.sent < len(element.parts) or element is innermost):
                self._update(element, ops)
            if changed and element.frozen < element.sent:
                self._freeze(element)
        return tuple(ops)

    def close(self) -> tuple[Op, ...]:
        """Give the last of what has to be done; nothing may be fed after this."""
        self._parser.finish()
        ops = self.flush()
        self._is_closed = True
        return ops

    def html(self) -> str:
        """Give the content of the page's element as all batches so far have made it; the next ones apply to it."""
        return "".join(self._shown_parts(self._root))

    def result(self) -> str:
        """Give the whole document as `render` would, once it is closed, with the code that was highlighted."""
        return self._root.html()

    def take_code(self) -> list[CodeBlock]:
        """Give the code blocks in a named language that ended since the last time; each has to be `highlighted`."""
        found, self._parser.code = self._parser.code, []
        self._awaited.update((code.element.number, code) for code in found)
        return found

    def highlighted(self, code: CodeBlock, html: str | None) -> None:
        """Show code as it was highlighted, if it was, with the next batch, which may come after the one of `close`."""
        del self._awaited[code.element.number]
        if html is not None:
            self._parser.replace_code(code.element, html)

    def _update(self, element: Element, ops: list[Op]) -> None:
        """Bring an element that a reader has up to date."""
        if element.replacement is not None:
            if not element.shows_replacement:
                self._replace(element, element.replacement, ops)
        elif self._tail.owner is element:
            self._update_tail(element, ops)
        elif html := self._next_parts(element) + self._new_tail(element):
            target_id = element.marker
            ops.append(Op(target_id, html + self._new_marker(element)))

    def _replace(self, element: Element, parts: Sequence[str | Element], ops: list[Op]) -> None:
        element.shows_replacement = True
        if self._tail.owner is element:
            self._tail.forget()
        ops.append(Op(self._ids.block(element), self._new(parts)))

    def _update_tail(self, element: Element, ops: list[Op]) -> None:
        tail = self._tail
        inline = self._parser.tail if element.is_open else None
        if element.sent == len(element.parts) and inline is not None and tail.is_extended(inline):
            target_id, html = tail.marker, tail.extension(inline)
            if html:
                ops.append(Op(target_id, html + tail.new_marker()))
        elif tail.may_restart(inline):
            target_id, html = tail.id, self._next_parts(element)
            ops.append(Op(target_id, html + tail.restart(element, inline)))

    def _new_tail(self, element: Element) -> str:
        parser = self._parser
        return self._tail.start(element, parser.tail) if parser.stack[-1].element is element else ""

    def _next_parts(self, element: Element) -> str:
        """Give the parts that came since the last time, but for a paragraph that has no text yet."""
        start, end = max(element.sent, 0), len(element.parts)
        if start == end:
            element.sent = end
            return ""
        last = element.parts[-1]
        if not isinstance(last, str) and last.is_open and self._is_empty(last):
            end -= 1
        element.sent = end
        return self._new(element.parts[start:end])

    def _is_empty(self, element: Element) -> bool:
        inline = self._parser.tail
        return element.name == "p" and not element.parts and not (inline is not None and self._tail.is_due(inline))

    def _new(self, parts: Sequence[str | Element]) -> str:
        """Give the HTML of parts that a reader does not have, and note that it has them now."""
        return "".join([part if isinstance(part, str) else self._new_element(part) for part in parts])

    def _new_element(self, element: Element) -> str:
        if element.replacement is not None:
            element.sent = len(element.parts)
            element.shows_replacement = True
            return self._new(element.replacement)
        inner = self._next_parts(element)
        element.has_id = (element.is_open and element.is_provisional) or element.is_patchable
        if element.is_open and not element.is_shell:
            inner += self._new_tail(element) + self._new_marker(element)
        return f"{self._opening(element)}{inner}{element.closing()}"

    def _opening(self, element: Element) -> str:
        return element.opening(f" id={self._ids.block(element)}" if element.has_id else "")

    def _new_marker(self, element: Element) -> str:
        """Give the place where an element goes on, if it does."""
        element.marker = self._ids.marker() if element.is_open else ""
        return element.marker_html()

    def _freeze(self, element: Element) -> None:
        """Make text of the parts that nothing will change, so that all of them can be given out at no cost.

        Ids and markers that are left in them are no target any more.
        """
        parts = element.parts
        first_code = self._first_awaited_code()
        for at in range(element.frozen, element.sent):
            part = parts[at]
            if isinstance(part, str):
                continue
            # Numbers grow, so what stands in an element has numbers from its own to the one of the next.
            after = next((later.number for later in parts[at + 1 : at + 2] if not isinstance(later, str)), NEVER)
            if part.goes_on or first_code < after:
                element.frozen = at
                return
            if not self._parser.labels.late.is_between(part.number, after):
                parts[at] = part.html()
        element.frozen = element.sent

    def _first_awaited_code(self) -> int:
        """Give the lowest number of code that may yet be highlighted."""
        code = (block.element.number for block in self._parser.code)
        return min([*self._awaited, *code], default=NEVER)

    def _shown_parts(self, element: Element) -> Iterator[str]:
        for part in element.parts[: element.sent]:
            if isinstance(part, str):
                yield part
            else:
                yield from self._shown(part)
        if self._tail.owner is element:
            yield self._tail.html()
        if not self._is_closed:
            yield element.marker_html()

    def _shown(self, element: Element) -> Iterator[str]:
        if element.shows_replacement:
            for part in element.replacement or ():
                yield from (part,) if isinstance(part, str) else self._shown(part)
            return
        yield self._opening(element)
        yield from self._shown_parts(element)
        yield element.closing()
