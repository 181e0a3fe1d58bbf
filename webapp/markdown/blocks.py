"""The kinds of blocks, and which lines continue each (CommonMark 0.31.2, sections 4 and 5)."""

from __future__ import annotations

from typing import Final

from webapp.markdown.bounds import MAX_OPEN_CHARS
from webapp.markdown.inlines import Inline
from webapp.markdown.lines import Line
from webapp.markdown.tree import Element

CODE_INDENT: Final = 4

NO, YES, LAST = range(3)
"""Whether a line continues a block; LAST is the line that ends it and belongs to it."""


class Block:
    """An open block; `element` is where its content goes."""

    takes_lines = False  # its lines are text, whatever they look like
    can_hold_blocks = False

    def __init__(self, element: Element, start_line: int) -> None:
        self.element = element
        self.shell: tuple[Element, ...] = ()  # elements around it that end with it, outermost first
        self.start_line = start_line
        self.last_end = 0  # the line where its last child ended; 0 without children

    def continues(self, line: Line) -> int:
        """Read what belongs to this block from the start of a line, and say if the line continues it."""
        raise NotImplementedError

    def end_line(self, line_number: int) -> int:
        """The line where it ended, if what came before a line is all."""
        return self.last_end or self.start_line


class Document(Block):
    """Everything."""

    can_hold_blocks = True

    def continues(self, line: Line) -> int:
        return YES


class Quote(Block):
    """A block quote or an alert."""

    can_hold_blocks = True

    def continues(self, line: Line) -> int:
        if line.indent >= CODE_INDENT or not line.text.startswith(">", line.start):
            return NO
        read_quote_marker(line)
        return YES

    def end_line(self, line_number: int) -> int:
        return line_number - 1


class List(Block):
    """A list; only items are in it."""

    def __init__(self, element: Element, start_line: int, marker: str) -> None:
        super().__init__(element, start_line)
        self.marker = marker  # the bullet, or what follows the number

    def continues(self, line: Line) -> int:
        return YES


class Item(Block):
    """An item of a list."""

    can_hold_blocks = True

    def __init__(self, element: Element, start_line: int, width: int) -> None:
        super().__init__(element, start_line)
        self.width = width  # columns that continue it
        self.is_empty = True

    def continues(self, line: Line) -> int:
        if line.is_blank:
            if self.is_empty:
                return NO
            line.skip_indent()
            return YES
        if line.indent < self.width:
            return NO
        line.skip_columns(self.width)
        return YES


class Note(Block):
    """The text of a footnote."""

    can_hold_blocks = True

    def __init__(self, element: Element, start_line: int, label: str) -> None:
        super().__init__(element, start_line)
        self.label = label

    def continues(self, line: Line) -> int:
        if line.is_blank:
            line.skip_indent()
            return YES
        if line.indent < CODE_INDENT:
            return NO
        line.skip_columns(CODE_INDENT)
        return YES


class Paragraph(Block):
    """A paragraph, until it turns out to be a heading or the head of a table."""

    def __init__(self, element: Element, start_line: int, inline: Inline) -> None:
        super().__init__(element, start_line)
        self.inline = inline
        self.source: list[str] = []  # until it is long
        self.chars = 0
        self.last_line = 0  # where in the source its last line begins
        self.is_held = False  # nothing was shown yet, because it may begin with a definition or a table
        self.lead = ""  # HTML before its text
        self.tried_chars = 0  # how long it was when it was too early to take definitions from it
        self.defines = False  # it begins with a label and a colon, and is held until that is no definition

    @property
    def is_long(self) -> bool:
        """Whether it stays a paragraph, whatever follows."""
        return self.chars > MAX_OPEN_CHARS

    def continues(self, line: Line) -> int:
        return NO if line.is_blank else YES

    def end_line(self, line_number: int) -> int:
        return line_number - 1


class Fence(Block):
    """Fenced code."""

    takes_lines = True

    def __init__(self, element: Element, start_line: int, fence: str, indent: int, language: str) -> None:
        super().__init__(element, start_line)
        self.fence = fence
        self.indent = indent
        self.language = language
        self.source: list[str] = []  # if it is in a language, until it is long
        self.chars = 0

    def continues(self, line: Line) -> int:
        if line.text.startswith(self.fence, line.start) and self._closes(line):
            return LAST
        line.skip_columns(min(self.indent, line.indent))
        return YES

    def _closes(self, line: Line) -> bool:
        return line.is_whole and line.indent < CODE_INDENT and not line.rest.rstrip(" \t").strip(self.fence[0])

    def end_line(self, line_number: int) -> int:
        return line_number - 1


class IndentedCode(Block):
    """Code by its indentation; blank lines at its end are not shown."""

    takes_lines = True

    def __init__(self, element: Element, start_line: int) -> None:
        super().__init__(element, start_line)
        self.blank: list[str] = []  # lines that belong to it if more code comes
        self.blank_chars = 0
        self.last_line = start_line

    def continues(self, line: Line) -> int:
        if line.is_blank and self.blank_chars > MAX_OPEN_CHARS:
            return NO
        if line.indent >= CODE_INDENT:
            line.skip_columns(CODE_INDENT)
            return YES
        if line.is_blank:
            line.skip_indent()
            return YES
        return NO

    def end_line(self, line_number: int) -> int:
        return self.last_line


class Formula(Block):
    """A formula that stands in lines of its own."""

    takes_lines = True

    def __init__(self, element: Element, start_line: int, closing: str, *, ends_at_blank: bool) -> None:
        super().__init__(element, start_line)
        self.closing = closing
        self.ends_at_blank = ends_at_blank
        self.source: list[str] = []
        self.chars = 0

    def continues(self, line: Line) -> int:
        return NO if not line.is_whole or (self.ends_at_blank and line.is_blank) else YES

    def end_line(self, line_number: int) -> int:
        return line_number - 1


class Table(Block):
    """A table; its body comes with the first row."""

    def __init__(self, element: Element, start_line: int, wrapper: Element, alignments: list[str]) -> None:
        super().__init__(element, start_line)
        self.shell = (wrapper,)
        self.alignments = alignments
        self.body: Element | None = None

    def continues(self, line: Line) -> int:
        return NO if line.is_blank or not line.is_whole else YES

    def end_line(self, line_number: int) -> int:
        return line_number - 1


def read_quote_marker(line: Line) -> None:
    """Read `>` with the space that belongs to it."""
    line.skip_indent()
    line.advance(1)
    if line.indent:
        line.skip_columns(1)
