"""The text of one paragraph, heading or cell to HTML, in pieces as it comes.

Pieces before the earliest open bracket, possible opener of emphasis or unfinished token can no longer change and are
given out by `take`. The source is read once: a token that is not complete waits, and is looked at again only when the
character that could end it has come. A token that cannot be completed is text, and what follows it is read as usual.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from typing import ClassVar

from webapp.markdown.bounds import MAX_OPEN_CHARS
from webapp.markdown.brackets import Bracket, close_bracket, open_bracket
from webapp.markdown.definitions import Labels
from webapp.markdown.dialect import Dialect
from webapp.markdown.emphasis import Delimiter, EndTags, Matcher, Piece, delimiter
from webapp.markdown.escape import escape
from webapp.markdown.tokens import (
    WAIT,
    autolink,
    backslash,
    bare_link,
    code_span,
    dollar,
    entity_reference,
    mailbox,
    run_end,
)

Handler = Callable[["Inline", int], int]
"""Read the token at a position of the buffer; give where it ends, or WAIT."""

Wake = Callable[[str], object]
"""Say if new text is worth another look at what waits."""

_ALWAYS_SPECIAL = (
    r"[\\`*~\[\]<&$\n@]|!(?=\[)|_(?<![A-Za-z0-9]_)"
    r"|(?<![A-Za-z0-9])(?:https?|ftp)://|(?<![^\s*_~(])www\."
)
_SPECIAL = re.compile(rf"{_ALWAYS_SPECIAL}|_(?![A-Za-z0-9]|\Z)")
_SPECIAL_AT_END = re.compile(rf"{_ALWAYS_SPECIAL}|_(?![A-Za-z0-9])")
"""An underscore within a word is text, and the word may be the name of a mailbox; so what follows must be known."""

_RUN = {character: re.compile(f"{re.escape(character)}+") for character in "*_~"}

_WORD = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-:/"
_HELD_CHARS = 80
"""The end of a word that is held because it may become an address; longer than any mailbox name (64, RFC 5321)."""


class Inline:
    """A resumable parser for the text of one leaf block."""

    handlers: ClassVar[dict[str, Handler]]

    def __init__(self, dialect: Dialect, labels: Labels) -> None:
        self.dialect = dialect
        self.labels = labels
        self.buffer = ""
        self.offset = 0  # of the buffer in the source
        self.at = 0  # what stands before this in the buffer has been read
        self.is_final = False
        self.pieces: list[Piece] = []
        self.base = 0  # how many pieces were given out
        self.brackets: deque[Bracket] = deque()
        self.dead = 0  # so many of them cannot become anything, because what stands in them is nested too deep
        self.inactive = 0  # so many of the brackets cannot become links, because one stands in them
        self.matcher = Matcher()
        self.pending: list[Delimiter] = []  # not matched yet, because a bracket is open
        self.pending_base = 0  # how many delimiters had to wait before these
        self.anchors: list[tuple[int, str, int]] = []  # pieces that are links: index, their words alone, depth
        self.unresolved: set[str] = set()  # labels that had no meaning when they were read
        self.wake: Wake | None = None
        self.wait_limit = 0
        self.waiting: list[str] = []
        self.waiting_chars = 0
        self.revision = 0  # counts changes of pieces that exist
        self.no_close: dict[str, int] = {}  # where there is no end of code or formulas before this offset

    def feed(self, text: str) -> None:
        """Read more of the source; lines are joined by `\\n`."""
        if self.wake is not None:
            self.waiting.append(text)
            self.waiting_chars += len(text)
            if not self.wake(text) and self.waiting_chars <= self.wait_limit:
                return
            text = self._stop_waiting()
        self._read(text)

    def end_line(self) -> None:
        """Give out the word that was held at the end of a line: what it may become cannot go on in the next one."""
        text = self.buffer[self.at :].rstrip(" \t")
        if self.wake is None and text[-1:] != "_" and not text.strip(_WORD):
            self.add_text(text)
            self.at += len(text)

    def end(self) -> None:
        """Read what was held, knowing that nothing follows."""
        text = self._stop_waiting()
        self.buffer = (self.buffer + text).rstrip(" \t\n")
        self.at = min(self.at, len(self.buffer))
        self.is_final = True
        self._read("")
        self.brackets.clear()
        self._match_pending(len(self.pending))

    def take(self) -> str:
        """Give the HTML that is final and was not given out before."""
        count = self._final_count()
        if not count:
            return ""
        html = "".join([piece if isinstance(piece, str) else piece.html() for piece in self.pieces[:count]])
        del self.pieces[:count]
        self.base += count
        if not self.brackets:
            self.anchors.clear()
        return html

    def html_from(self, start: int) -> str:
        """Give the HTML of pieces that may still change, from one on, as if nothing more came."""
        return "".join([piece if isinstance(piece, str) else piece.html() for piece in self.pieces[start:]])

    def waiting_text(self) -> str:
        """Give the source of the token that waits for its end."""
        if self.wake is None:
            return ""
        return self.buffer[self.at :] + "".join(self.waiting)

    @property
    def has_tail(self) -> bool:
        """Whether there is something to show that may still change."""
        return bool(self.pieces) or self.wake is not None

    @property
    def open_offset(self) -> int:
        """Where in the source the part begins that may still change."""
        offsets = [self.offset + self.at]
        if self.matcher.openers:
            offsets.append(self.matcher.openers[0].offset)
        if self.pending:
            offsets.append(self.pending[0].offset)
        if self.brackets:
            offsets.append(self.brackets[0].offset)
        return min(offsets)

    @property
    def source_chars(self) -> int:
        """How much of the source has come."""
        return self.offset + len(self.buffer) + self.waiting_chars

    def add(self, html: str) -> None:
        """Add a piece."""
        self.pieces.append(html)

    def add_text(self, text: str) -> None:
        """Add a piece of text."""
        if text:
            self.pieces.append(escape(text))

    def wait(self, wake: Wake, limit: int) -> int:
        """Let text wait until `wake` says it may end the token at hand, or there are more characters than `limit`."""
        self.wake, self.wait_limit = wake, limit
        return WAIT

    def before(self, at: int) -> str:
        """Give the character before a position of the buffer, or nothing at the start."""
        return self.buffer[at - 1] if at else ""

    def drop_bracket(self) -> None:
        """Forget the innermost bracket; what stands in it is text unless a link took it."""
        self.brackets.pop()
        self.inactive = min(self.inactive, len(self.brackets))
        self.dead = min(self.dead, len(self.brackets))
        if not self.brackets:
            self._match_pending(len(self.pending))

    def _stop_waiting(self) -> str:
        text = "".join(self.waiting)
        self.waiting.clear()
        self.waiting_chars = 0
        if self.wake is not None:
            self.revision += 1
        self.wake = None
        return text

    def _leave_old(self, offset: int) -> None:
        """Take brackets, and what could open emphasis, for text if they stand too far before an offset."""
        brackets = self.brackets
        while brackets and offset - brackets[0].offset > MAX_OPEN_CHARS:
            brackets.popleft()
            self.inactive = max(self.inactive - 1, 0)
            self.dead = max(self.dead - 1, 0)
            self._match_pending(brackets[0].pending - self.pending_base if brackets else len(self.pending))
        self.matcher.forget_before(self.pending[0].offset if self.pending else offset)

    def _match_pending(self, count: int) -> None:
        """Match the first of the delimiters that had to wait for brackets to close."""
        if not count:
            return
        for waiting in self.pending[:count]:
            self.matcher.add(waiting)
        del self.pending[:count]
        self.pending_base += count
        self._note_changes()

    def _note_changes(self) -> None:
        if self.matcher.changed_from >= 0:
            self.revision += 1
            self.matcher.changed_from = -1

    def _read(self, text: str) -> None:
        self._forget_read()
        self.buffer += text
        self._read_tokens()
        self._leave_old(self.offset + self.at)

    def _read_tokens(self) -> None:
        buffer, at = self.buffer, self.at
        search = _SPECIAL_AT_END.search if self.is_final else _SPECIAL.search
        while True:
            match = search(buffer, at)
            if match is None:
                break
            start = match.start()
            if self.brackets and self.offset + start - self.brackets[0].offset > MAX_OPEN_CHARS:
                self._leave_old(self.offset + start)
            character = buffer[start]
            if start > at and character != "\n" and character != "@":
                self.pieces.append(escape(buffer[at:start]))
                at = start
            self.at = at
            at = self.handlers[character](self, start)
            if at < 0:
                return
        self.at = self._text_to_end(at)

    def _forget_read(self) -> None:
        """Keep of what was read one character, which decides about delimiters, or the label of a bracket."""
        keep = self.at - 1
        if self.brackets:
            start = self.brackets[-1].offset - self.offset
            keep = min(keep, max(start, self.at - 1_002))
        if keep > 0:
            self.buffer = self.buffer[keep:]
            self.offset += keep
            self.at -= keep

    def _text_to_end(self, at: int) -> int:
        """Read text without markup up to what may yet become some, and give where that begins."""
        buffer = self.buffer
        if self.is_final:
            self.add_text(buffer[at:])
            return len(buffer)
        text = buffer[at:]
        kept = text.rstrip(" \t") if text[-1:] in " \t" else text[:-1] if text[-1:] == "!" else text.rstrip(_WORD)
        if len(text) - len(kept) > _HELD_CHARS and text[-1:] not in " \t":
            kept = text[:-_HELD_CHARS]
        self.add_text(kept)
        return at + len(kept)

    def _final_count(self) -> int:
        first = self.base + len(self.pieces)
        if self.matcher.openers:
            first = min(first, self.matcher.openers[0].index)
        if self.pending:
            first = min(first, self.pending[0].index)
        if self.brackets:
            first = min(first, self.brackets[0].index)
        return (first if not self.is_final else self.base + len(self.pieces)) - self.base


def _line_end(inline: Inline, at: int) -> int:
    """Read a line end: two spaces before it make a hard break (section 6.7)."""
    text = inline.buffer[inline.at : at]
    kept = text.rstrip(" ")
    inline.add_text(kept)
    inline.add("<br>\n" if len(text) - len(kept) >= 2 else "\n")
    return at + 1


def _delimiter_run(inline: Inline, at: int) -> int:
    """Read a run of `*`, `_` or `~`; the character after it must be known."""
    buffer = inline.buffer
    end = run_end(inline, at, _RUN[buffer[at]])
    if end < 0:
        return WAIT
    if end - at == MAX_OPEN_CHARS:
        inline.add(buffer[at:end])
        return end
    index = inline.base + len(inline.pieces)
    run = delimiter(buffer[at:end], inline.before(at), buffer[end : end + 1], index, inline.offset + at)
    if run.is_split:
        inline.pieces.append(EndTags(run))
        run.index += 1
    inline.pieces.append(run)
    if inline.brackets:
        inline.pending.append(run)
    else:
        inline.matcher.add(run)
        inline._note_changes()
    return end


Inline.handlers = {
    "\n": _line_end,
    "\\": backslash,
    "`": code_span,
    "*": _delimiter_run,
    "_": _delimiter_run,
    "~": _delimiter_run,
    "[": open_bracket,
    "!": open_bracket,
    "]": close_bracket,
    "<": autolink,
    "&": entity_reference,
    "$": dollar,
    "@": mailbox,
    "h": bare_link,
    "f": bare_link,
    "w": bare_link,
}
