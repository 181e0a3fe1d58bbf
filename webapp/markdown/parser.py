"""The block machine: lines, and the beginnings of lines, to a tree of elements.

A line is read when it is complete, or as soon as its first characters show that it is text or code; the rest of it then
goes straight to the block it belongs to (CommonMark 0.31.2, appendix "A parsing strategy", phase 1). So does what is
beyond the first MAX_OPEN_CHARS of a line, which cannot be anything that only a whole line is.
"""

from __future__ import annotations

import re

from webapp.markdown.blocks import (
    CODE_INDENT,
    LAST,
    NO,
    Fence,
    Formula,
    IndentedCode,
    Note,
    Paragraph,
    Table,
)
from webapp.markdown.bounds import MAX_OPEN_CHARS, NOTE_LINE_CHARS
from webapp.markdown.builder import Builder
from webapp.markdown.dialect import Dialect
from webapp.markdown.inlines import Inline
from webapp.markdown.lines import Line
from webapp.markdown.starts import CONTAINERS, INSIDE, MARKERS, NONE, STARTS
from webapp.markdown.tables import add_row
from webapp.markdown.tree import Element

_IS_TEXT = re.compile(
    r"""
    (?: > | [-+*][ \t]++ | [0-9]{1,9}[.)][ \t]++ | \[\^[^\s\[\]\\]{1,32}\]:[ \t]*+ | [ \t]++ )*+
    (?: [^\s>\#`~\-+*_=0-9\[|:$\\]
      | \#{1,6}[^\#\s] | \#{7}
      | `{1,2}[^`] | ~{1,2}[^~]
      | \*[^*\s] | \*{2,}+[ \t*]*+[^\s*]
      | _++[ \t_]*+[^\s_]
      | -[^\s\-|:] | -{2,}+[ \t\-]*+[^\s\-|:]
      | \+\S
      | =++[ \t]*+[^\s=]
      | [0-9]{1,9}(?:[^0-9.)\n]|[.)]\S) | [0-9]{10}
      | \[[^!^] | \[!(?:[^A-Za-z]|[A-Za-z]{1,9}[^A-Za-z\]])
      | \[\^(?:\]|[^\s\[\]\\]{1,32}(?:[\s\[\\]|\][^:])|[^\s\[\]\\]{33}|[\s\[\\])
      | \|[ \t|]*+[^\s\-:|]
      | :[^\-]
      | \$[^$]
      | \\[^\[]
    )""",
    re.VERBOSE,
)
"""The beginning of a line that is text, whatever follows, once its containers are read."""


class Parser(Builder):
    """Turns text into elements."""

    starts = STARTS

    def __init__(self, dialect: Dialect, prefix: str) -> None:
        super().__init__(dialect, prefix)
        self._partial: list[str] = []  # the beginning of a line that is not read yet
        self._partial_chars = 0
        self._looked_at = 0  # how long it was when it was looked at
        self._line_chars = 0  # of the line at hand, as far as they were read
        self._is_in_line = False  # the beginning of the line was read; the rest is text of the innermost block

    @property
    def tail(self) -> Inline | None:
        """The text of the open paragraph, of which the end may still change."""
        tip = self.stack[-1]
        return tip.inline if isinstance(tip, Paragraph) and not tip.is_held else None

    def open_elements(self) -> list[Element]:
        """Give the open elements, outermost first; footnotes are not among them, because they are shown at the end."""
        found: list[Element] = []
        for block in self.stack:
            if isinstance(block, Note):
                break
            if not (isinstance(block, Paragraph) and block.is_held):
                found += [*block.shell, block.element]
                if isinstance(block, Table) and block.body is not None:
                    found.append(block.body)
        return found

    def feed(self, text: str) -> None:
        """Read more; line ends are `\\n`."""
        start = 0
        end = text.find("\n")
        while end >= 0:
            self._end_line(text[start:end])
            start = end + 1
            end = text.find("\n", start)
        if start < len(text):
            self._part_of_line(text[start:] if start else text)
        tip = self.stack[-1]
        if isinstance(tip, Paragraph):
            self._take_text(tip)

    def finish(self, *, with_patches: bool = True) -> None:
        """Read what was held, end everything, and read text again that refers to what was defined after it."""
        if self._partial or self._is_in_line:
            self._end_line("")
        self.line_number += 1
        self._close_to(1)
        if with_patches:
            self._patch()
        self._show_notes()
        self.root.is_open = False

    def may_start(self, character: str) -> bool:
        """Say whether a block other than a paragraph can start with a character."""
        return character in MARKERS

    def _end_line(self, text: str) -> None:
        if self._partial:
            self._partial.append(text)
            text = "".join(self._partial)
            self._drop_partial()
        if not self._is_in_line and len(text) > MAX_OPEN_CHARS:
            text = self._begin_line(text)
        if self._is_in_line:
            self._text_in_line(text)
            self._is_in_line = False
            tip = self.stack[-1]
            if isinstance(tip, (Fence, IndentedCode)):
                self._add_code(tip, "\n")
        else:
            self._line_chars = len(text)
            self._read_line(text, is_whole=True)
        if (tail := self.tail) is not None:
            tail.end_line()
        if self.note_at:
            self.note_chars_left -= self._line_chars + NOTE_LINE_CHARS

    def _part_of_line(self, text: str) -> None:
        if self._is_in_line:
            self._text_in_line(text)
            return
        self._partial.append(text)
        self._partial_chars += len(text)
        if 256 < self._partial_chars < min(2 * self._looked_at, MAX_OPEN_CHARS):
            return
        self._looked_at = self._partial_chars
        text = "".join(self._partial)
        if len(text) > MAX_OPEN_CHARS or self._can_be_read(text):
            self._drop_partial()
            self._text_in_line(self._begin_line(text))

    def _begin_line(self, text: str) -> str:
        """Read the beginning of a line that is not whole; give what is left of it."""
        self._is_in_line = True
        self._line_chars = min(len(text), MAX_OPEN_CHARS)
        self._read_line(text[:MAX_OPEN_CHARS], is_whole=False)
        return text[MAX_OPEN_CHARS:]

    def _drop_partial(self) -> None:
        self._partial.clear()
        self._partial_chars = self._looked_at = 0

    def _text_in_line(self, text: str) -> None:
        if self.note_at and self._line_chars + len(text) > MAX_OPEN_CHARS:
            left = MAX_OPEN_CHARS - self._line_chars
            self._add_in_line(text[:left])
            self._close_to(self.note_at)
            text = text[left:]
        self._line_chars += len(text)
        self._add_in_line(text)

    def _add_in_line(self, text: str) -> None:
        tip = self.stack[-1]
        if isinstance(tip, Paragraph):
            self._add_text(tip, text)
        elif isinstance(tip, (Fence, IndentedCode)):
            self._add_code(tip, text)
        elif text := text.lstrip(" \t"):
            self._open_paragraph(text)  # after more spaces than a line may begin with

    def _can_be_read(self, text: str) -> bool:
        """Say whether the rest of a line cannot change what kind of line it is."""
        line = Line(text)
        matched = 1
        while matched < len(self.stack) and not line.is_blank:
            block = self.stack[matched]
            if isinstance(block, Fence):
                return self._is_code(block, line)
            if isinstance(block, (Table, Formula)) or block.continues(line) == NO:
                break
            matched += 1
        if line.is_blank or (matched < len(self.stack) and isinstance(self.stack[matched], (Table, Formula))):
            return False
        return _IS_TEXT.match(line.text, line.start) is not None

    def _is_code(self, block: Fence, line: Line) -> bool:
        rest = line.rest
        return line.indent >= CODE_INDENT or bool(rest.strip(block.fence[0] + " \t")) or rest[0] != block.fence[0]

    def _read_line(self, text: str, *, is_whole: bool) -> None:
        self.line_number += 1
        if self.note_at and self.note_chars_left < 0:
            self._close_to(self.note_at)
        line = Line(text, is_whole=is_whole)
        stack = self.stack
        matched = 1
        while matched < len(stack):
            verdict = stack[matched].continues(line)
            if verdict == NO:
                break
            matched += 1
            if verdict == LAST:
                self.line_number += 1  # its own line belongs to it
                self._close_to(matched - 1)
                self.line_number -= 1
                return
        self.matched = matched
        if not stack[matched - 1].takes_lines and not self._start_blocks(line):
            return
        self._add_rest(line)

    def _start_blocks(self, line: Line) -> bool:
        """Start what starts on a line; say if something of the line is left."""
        starts = self.starts if line.is_whole else CONTAINERS
        while not self.stack[self.matched - 1].takes_lines:
            if line.indent < CODE_INDENT and not self.may_start(line.text[line.start : line.start + 1]):
                return True
            for start in starts:
                outcome = start(self, line)
                if outcome != NONE:
                    break
            else:
                return True
            if outcome != INSIDE:
                return False
        return True

    def _add_rest(self, line: Line) -> None:
        tip = self.stack[-1]
        if self.matched < len(self.stack) and isinstance(tip, Paragraph) and not line.is_blank:
            self._add_line(tip, line.rest)  # a lazy continuation line (5.1)
            return
        self.close_unmatched()
        tip = self.stack[-1]
        if isinstance(tip, (Fence, IndentedCode)):
            self._add_code_line(tip, line)
        elif isinstance(tip, Formula):
            self._add_formula_line(tip, line.text[line.at :])
        elif line.is_blank:
            return
        elif isinstance(tip, Table):
            add_row(self, tip, line.rest)
        elif isinstance(tip, Paragraph):
            self._add_line(tip, line.rest)
        else:
            self._open_paragraph(line.rest)
