"""A growing document as operations on the elements of a page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from webapp.markdown.builder import CodeBlock
from webapp.markdown.dialect import DEFAULT, Dialect
from webapp.markdown.parser import Parser
from webapp.markdown.source import Source
from webapp.markdown.tails import Tail
from webapp.markdown.tree import NOT_SENT, Element


class Action(Enum):
    """What is done with the HTML of an operation."""

    APPEND = "append"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class Op:
    """Append HTML to the content of the element with an id, or put it in the place of that element."""

    target_id: str
    action: Action
    html: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Operations to apply in order. Each has another target, and all targets are there before the first is applied.

    `open_id` names the innermost element, after the batch, to which text will probably be appended next and that may
    hold a marker: an empty element that always is its last child.
    """

    ops: tuple[Op, ...]
    open_id: str


class MarkdownStream:
    """A document as operations for a page that shows it in an element whose id is the prefix.

    Ids are the prefix with `b`, `t`, `n` and a number; none comes from content. With `defers_code`, code blocks keep
    their id when they end, so that `highlighted` can replace them.
    """

    def __init__(self, prefix: str, *, dialect: Dialect = DEFAULT, defers_code: bool = False) -> None:
        self._prefix = prefix
        self._source = Source()
        self._parser = Parser(dialect, prefix)
        self._parser.defers_code = defers_code
        self._parser.root.sent = 0
        self._tail = Tail(prefix)

    def feed(self, text: str) -> None:
        """Read more of the source."""
        self._parser.feed(self._source.clean(text))

    def flush(self) -> Batch:
        """Give what has to be done since the last batch."""
        parser = self._parser
        changed, parser.changed = parser.changed, []
        open_elements = parser.open_elements()
        ops: list[Op] = []
        for element in changed:
            if element.sent != NOT_SENT:
                self._update(element, ops)
        for element in open_elements:
            if element.sent != NOT_SENT:
                self._update(element, ops)
        return Batch(tuple(ops), self._open_id(open_elements))

    def close(self) -> Batch:
        """Give the last of what has to be done; nothing may be fed after this."""
        self._parser.finish()
        return self.flush()

    def html(self) -> str:
        """Give the content of the page's element as all batches so far have made it; the next ones apply to it."""
        return "".join(self._shown_parts(self._parser.root))

    def take_code(self) -> list[CodeBlock]:
        """Give the code blocks in a named language that ended since the last time, to be highlighted elsewhere."""
        found, self._parser.code = self._parser.code, []
        return found

    def highlighted(self, code: CodeBlock, html: str) -> None:
        """Show code as it was highlighted, with the next batch."""
        self._parser.replace_code(code.element, html)

    def _open_id(self, open_elements: list[Element]) -> str:
        for element in reversed(open_elements):
            if element.can_hold_marker and element.has_id and element.sent != NOT_SENT:
                return self._id(element)
        return self._prefix

    def _id(self, element: Element) -> str:
        return f"{self._prefix}b{element.number}" if element.number else self._prefix

    def _update(self, element: Element, ops: list[Op]) -> None:
        """Bring an element that a reader has up to date."""
        if element.replacement is not None:
            if not element.shows_replacement:
                self._replace(element, element.replacement, ops)
        elif self._tail.owner is element:
            self._update_tail(element, ops)
        elif element.sent < len(element.parts) or self._parser.tail is not None:
            html = self._next_parts(element) + self._new_tail(element)
            if html:
                ops.append(Op(self._id(element), Action.APPEND, html))

    def _replace(self, element: Element, parts: list[str | Element], ops: list[Op]) -> None:
        element.shows_replacement = True
        if self._tail.owner is element:
            self._tail.forget()
        ops.append(Op(self._id(element), Action.REPLACE, self._new(parts)))

    def _update_tail(self, element: Element, ops: list[Op]) -> None:
        tail = self._tail
        inline = self._parser.tail if element.is_open else None
        is_same = element.sent == len(element.parts) and inline is not None and tail.is_extended(inline)
        if is_same and inline is not None:
            target, action, html = tail.id, Action.APPEND, tail.extension(inline)
            if html:
                ops.append(Op(target, action, html))
        elif tail.may_restart(inline):
            target, html = tail.id, self._next_parts(element)
            ops.append(Op(target, Action.REPLACE, html + tail.restart(element, inline)))

    def _new_tail(self, element: Element) -> str:
        parser = self._parser
        inline = parser.tail
        return self._tail.start(element, inline) if parser.stack[-1].element is element else ""

    def _next_parts(self, element: Element) -> str:
        """Give the parts that came since the last time, but for a paragraph that has no text yet."""
        start, end = element.sent, len(element.parts)
        last = element.parts[-1] if end else ""
        if not isinstance(last, str) and last.is_open and self._is_empty(last):
            end -= 1
        element.sent = max(end, 0)
        return self._new(element.parts[max(start, 0) : end])

    def _is_empty(self, element: Element) -> bool:
        inline = self._parser.tail
        return element.name == "p" and not element.parts and not (inline is not None and self._tail.is_due(inline))

    def _new(self, parts: list[str | Element]) -> str:
        """Give the HTML of parts that a reader does not have, and note that it has them now."""
        return "".join([part if isinstance(part, str) else self._new_element(part) for part in parts])

    def _new_element(self, element: Element) -> str:
        if element.replacement is not None:
            element.sent = len(element.parts)
            element.shows_replacement = True
            return self._new(element.replacement)
        inner = self._next_parts(element)
        element.has_id = (element.is_open and not element.is_shell) or element.is_patchable
        if element.is_open:
            inner += self._new_tail(element)
        return f"{self._opening(element)}{inner}{element.closing()}"

    def _opening(self, element: Element) -> str:
        return element.opening(f' id="{self._id(element)}"' if element.has_id else "")

    def _shown_parts(self, element: Element) -> Iterator[str]:
        for part in element.parts[: element.sent]:
            if isinstance(part, str):
                yield part
            else:
                yield from self._shown(part)
        if self._tail.owner is element:
            yield self._tail.html()

    def _shown(self, element: Element) -> Iterator[str]:
        if element.shows_replacement:
            for part in element.replacement or ():
                yield from (part,) if isinstance(part, str) else self._shown(part)
            return
        yield self._opening(element)
        yield from self._shown_parts(element)
        yield element.closing()
