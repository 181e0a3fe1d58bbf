"""A line as blocks read it: from left to right, in columns (CommonMark 0.31.2, section 2.2)."""

from __future__ import annotations

import re

_SPACES = re.compile(" *+")
_BLANKS = re.compile("[ \t]*+")
TAB_STOP = 4


class Line:
    """A line without its end, and how far it has been read. A tab of which a part was read is spaces from then on.

    Of a line that is not whole, only the beginning is here; what that beginning is, no rest can change.
    """

    __slots__ = ("at", "column", "indent", "is_whole", "start", "text")

    def __init__(self, text: str, *, is_whole: bool = True) -> None:
        self.text = text
        self.is_whole = is_whole
        self.at = 0
        self.column = 0
        self.start = 0  # the next character that is no space
        self.indent = 0  # columns up to there
        self.find_start()

    @property
    def is_blank(self) -> bool:
        """Whether nothing is left but spaces."""
        return self.start >= len(self.text)

    @property
    def rest(self) -> str:
        """What is left, without the spaces before it."""
        return self.text[self.start :]

    def find_start(self) -> None:
        """Find the next character that is no space."""
        match = _SPACES.match(self.text, self.at)
        start = match.end() if match else self.at
        if self.text[start : start + 1] != "\t":
            self.start, self.indent = start, start - self.at
            return
        end = _BLANKS.match(self.text, start).end()  # type: ignore[union-attr]
        before = self.column % TAB_STOP
        self.start = end
        self.indent = len((" " * before + self.text[self.at : end]).expandtabs(TAB_STOP)) - before

    def advance(self, characters: int) -> None:
        """Read characters that are no tabs."""
        self.at += characters
        self.column += characters
        self.find_start()

    def skip_indent(self) -> None:
        """Read all spaces."""
        self.column += self.indent
        self.at = self.start
        self.indent = 0

    def skip_columns(self, columns: int) -> None:
        """Read some columns of spaces; of a tab, perhaps only a part."""
        while columns > 0 and self.at < self.start:
            width = 1 if self.text[self.at] == " " else TAB_STOP - self.column % TAB_STOP
            if width > columns:
                self.text = f"{self.text[: self.at]}{' ' * width}{self.text[self.at + 1 :]}"
                self.start += width - 1
                width = 1
            self.at += 1
            self.column += width
            columns -= width
        self.find_start()
