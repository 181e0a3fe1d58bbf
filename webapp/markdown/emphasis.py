"""Emphasis and strikethrough: delimiters, matched from left to right as they come.

CommonMark describes a stack that is worked off at the end of a paragraph, closers from left to right. A closer looks
only at what stands before it, so it can be matched as soon as it is complete; only within an open `[` must it wait,
because a link there would claim its delimiters first. Source: CommonMark 0.31.2, "An algorithm for parsing nested
emphasis and links".
"""

from __future__ import annotations

from webapp.markdown.bounds import MAX_OPEN_CHARS
from webapp.markdown.characters import OTHER, PUNCTUATION, SPACE, kind

MAX_OPEN = 100
"""Unmatched characters of openers at one time: the deepest that emphasis nests. Chromium flattens a page at 512."""


class Delimiter:
    """A run of `*`, `_` or `~`, with the tags it has got so far."""

    __slots__ = (
        "after",
        "before",
        "can_close",
        "can_open",
        "character",
        "count",
        "index",
        "length",
        "offset",
        "serial",
    )

    def __init__(self, character: str, count: int, can_open: bool, can_close: bool, index: int, offset: int) -> None:
        self.character = character
        self.count = count  # characters not yet used
        self.length = count
        self.can_open = can_open
        self.can_close = can_close
        self.index = index  # among the pieces of its paragraph
        self.offset = offset  # in the source of its paragraph
        self.serial = index + 1
        self.before = ""  # end tags, left of the characters that remain
        self.after = ""  # start tags, right of them

    @property
    def is_split(self) -> bool:
        """Whether its end tags are a piece of their own, because they are final when what it opens is not."""
        return self.can_open and self.can_close

    def html(self) -> str:
        """Give its tags, and the characters that remain as text."""
        before = "" if self.is_split else self.before
        return f"{before}{self.character * self.count}{self.after}"


class EndTags:
    """The end tags of a delimiter that may open something too; the piece before it."""

    __slots__ = ("_delimiter",)

    def __init__(self, delimiter: Delimiter) -> None:
        self._delimiter = delimiter

    def html(self) -> str:
        """Give the tags."""
        return self._delimiter.before


Piece = str | Delimiter | EndTags


def delimiter(run: str, before: str, after: str, index: int, offset: int) -> Delimiter:
    """Say what a run may do between the characters `before` and `after` it (rules 1 to 8 of section 6.2)."""
    left, right = kind(before), kind(after)
    opens = right == OTHER or (right == PUNCTUATION and left != OTHER)
    closes = left == OTHER or (left == PUNCTUATION and right != OTHER)
    if run[0] == "_":
        opens, closes = opens and (not closes or left == PUNCTUATION), closes and (not opens or right == PUNCTUATION)
    if run[0] == "~" and len(run) > 2:
        opens = closes = False
    if right == SPACE:
        opens = False
    return Delimiter(run[0], len(run), opens, closes, index, offset)


class Matcher:
    """Delimiters that may still open something, outermost first."""

    __slots__ = ("_bottoms", "_open_count", "changed_from", "openers")

    def __init__(self) -> None:
        self.openers: list[Delimiter] = []
        self.changed_from = -1  # the lowest piece that matching changed since this was last reset, or -1
        self._open_count = 0
        self._bottoms: dict[
            tuple[str, bool, int], int
        ] = {}  # below these serials no opener was found: never look again

    def add(self, closer: Delimiter) -> None:
        """Match the next delimiter of the source, in order, and keep it if it may open something."""
        self.forget_before(closer.offset)
        if closer.can_close:
            self._close(closer)
        if closer.can_open and closer.count and self._open_count + closer.count <= MAX_OPEN:
            self.openers.append(closer)
            self._open_count += closer.count

    def forget_before(self, offset: int) -> None:
        """Take what is too far before an offset for text; every delimiter before that offset has been added."""
        openers = self.openers
        count = 0
        while count < len(openers) and offset - openers[count].offset > MAX_OPEN_CHARS:
            self._open_count -= openers[count].count
            count += 1
        del openers[:count]

    def _close(self, closer: Delimiter) -> None:
        openers = self.openers
        while closer.count and openers:
            at = self._find(closer)
            if at < 0:
                return
            opener = openers[at]
            self._open_count -= sum(passed.count for passed in openers[at:])
            self._match(opener, closer)
            self._open_count += opener.count
            del openers[at + 1 if opener.count else at :]

    def _find(self, closer: Delimiter) -> int:
        openers = self.openers
        strikes = closer.character == "~"
        key = (closer.character, closer.can_open, closer.length if strikes else closer.length % 3)
        bottom = self._bottoms.get(key, 0)
        for at in range(len(openers) - 1, -1, -1):
            opener = openers[at]
            if opener.serial <= bottom:
                break
            if opener.character == closer.character and (
                opener.length == closer.length if strikes else _fit(opener, closer)
            ):
                return at
        self._bottoms[key] = openers[-1].serial
        return -1

    def _match(self, opener: Delimiter, closer: Delimiter) -> None:
        if closer.character == "~":
            used, name = closer.count, "del"
        elif opener.count >= 2 and closer.count >= 2:
            used, name = 2, "strong"
        else:
            used, name = 1, "em"
        opener.count -= used
        closer.count -= used
        opener.after = f"<{name}>{opener.after}"
        closer.before = f"{closer.before}</{name}>"
        if self.changed_from < 0 or opener.index < self.changed_from:
            self.changed_from = opener.index


def _fit(opener: Delimiter, closer: Delimiter) -> bool:
    """Apply rules 9 and 10: the multiple of three."""
    if not (opener.can_close or closer.can_open):
        return True
    return (opener.length + closer.length) % 3 != 0 or (opener.length % 3 == 0 and closer.length % 3 == 0)
