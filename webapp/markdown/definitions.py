"""Link reference definitions, and what labels stand for in one document.

A definition is only looked for at the start of a paragraph (CommonMark 0.31.2, section 4.7), so a paragraph that begins
with `[label]:` is held until it ends. A reference that comes before its definition is text until the document ends.
"""

from __future__ import annotations

import re

from webapp.markdown.late import Late
from webapp.markdown.links import (
    LABEL,
    MAX_LABEL_CHARS,
    MORE,
    NO,
    Target,
    destination,
    normal_label,
    skip_space,
    title,
    unescaped,
)

MAX_EXPANSION_CHARS = 100_000
"""HTML that references may add to a document: a short label can stand for a long address, many times (as in cmark)."""

_LABEL_SO_FAR = re.compile(r"\[(?:[^\[\]\\]|\\[\s\S]?)*+\Z")
_LINE_END = re.compile(r"[ \t]*+(?:\n|\Z)")
_FOOTNOTE_NUMBER = re.compile(r"[0-9]{1,3}")
_TITLE_MARKS = ('"', "'", "(")
_NOWHERE = Target("")
FOOTNOTE_LABEL = re.compile(r"\^[^\s\[\]\\]{1,32}")


class Labels:
    """The link targets and footnotes of a document, as far as they are known."""

    __slots__ = ("_numbers", "defined_notes", "expansion_left", "late", "prefix", "targets")

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.targets: dict[str, Target] = {}
        self.defined_notes: set[str] = set()
        self.late = Late()
        self.expansion_left = MAX_EXPANSION_CHARS
        self._numbers: dict[str, int] = {}

    def define(self, label: str, target: Target) -> None:
        """Keep a target; the first definition of a label counts."""
        normal = normal_label(label)
        if normal not in self.targets:
            self.targets[normal] = target
            self.late.define(normal)

    def define_note(self, note: str) -> bool:
        """Keep that there is a footnote with a normal label; say if it is the first one."""
        if note in self.defined_notes:
            return False
        self.defined_notes.add(note)
        self.late.define(f"^{note}")
        return True

    def number(self, note: str) -> int:
        """Give a footnote's number: they count by first use."""
        return self._numbers.setdefault(note, len(self._numbers) + 1)

    def note_reference(self, label: str) -> str | None:
        """Give the HTML for a label like `^1`, or nothing if it is no footnote's as far as is known.

        Footnotes are defined at the end of an answer, so a number is taken for one at once; a word, which may as well
        be a set of characters in a regular expression, only once it is defined.
        """
        if not FOOTNOTE_LABEL.fullmatch(label):
            return None
        note = normal_label(label[1:])
        if note not in self.defined_notes and not _FOOTNOTE_NUMBER.fullmatch(note):
            return None
        number = self.number(note)
        return f'<sup><a class="note" href="#{self.prefix}n{number}">{number}</a></sup>'


def defines(text: str) -> bool:
    """Say whether a paragraph begins as a definition does."""
    return _label_end(text, 0) >= 0


def may_define(text: str) -> bool:
    """Say whether it is too early to say that a paragraph does not begin as a definition does."""
    if len(text) > MAX_LABEL_CHARS + 2:
        return False
    match = LABEL.match(text)
    return match.end() == len(text) if match is not None else _LABEL_SO_FAR.match(text) is not None


def take_definitions(text: str, labels: Labels) -> str:
    """Take the definitions from the start of a whole paragraph; give the rest."""
    return take_settled_definitions(text, "", labels, is_final=True) or ""


def take_settled_definitions(text: str, next_line: str, labels: Labels, *, is_final: bool = False) -> str | None:
    """Take the definitions from whole lines before another one and give the rest, or nothing if it is too early.

    It is if that line may go on with a definition; one that has no title yet may get one.
    """
    found: list[tuple[str, Target]] = []
    at = 0
    while text.startswith("[", at):
        end, label, target = _definition(text, at, is_final=is_final)
        if end == MORE and not is_final:
            return None
        if end < 0:
            break
        found.append((label, target))
        at = end
    if at == len(text) and next_line[:1] in _TITLE_MARKS and not is_final:
        return None
    for label, target in found:
        labels.define(label, target)
    return text[at:]


def _label_end(text: str, at: int) -> int:
    """Give where the label of a definition ends, or NO; one that a footnote has is none."""
    match = LABEL.match(text, at)
    if match is None or not text.startswith(":", match.end()):
        return NO
    label = match[1]
    if not label.strip() or len(label) > MAX_LABEL_CHARS or FOOTNOTE_LABEL.fullmatch(label):
        return NO
    return match.end()


def _definition(text: str, at: int, *, is_final: bool) -> tuple[int, str, Target]:
    label_end = _label_end(text, at)
    if label_end < 0:
        return NO if LABEL.match(text, at) else MORE, "", _NOWHERE
    start = skip_space(text, label_end + 1)
    end, url = destination(text, start)
    if end == MORE and start < len(text) and text[start] != "<" and url:
        end = len(text)  # a bare destination may end with its line
    end, target = _finish(text, end, url, is_final=is_final) if end >= 0 else (end, _NOWHERE)
    return end, text[at + 1 : label_end - 1], target


def _finish(text: str, at: int, url: str, *, is_final: bool) -> tuple[int, Target]:
    """Find the title, if there is one, that ends with its line; without it, the destination must."""
    start = skip_space(text, at)
    if start > at and start < len(text) and text[start] in _TITLE_MARKS:
        end, words = title(text, start)
        if end == MORE and not is_final:
            return MORE, _NOWHERE
        if end >= 0 and (line_end := _LINE_END.match(text, end)):
            return line_end.end(), Target(unescaped(url), unescaped(words))
    if line_end := _LINE_END.match(text, at):
        return line_end.end(), Target(unescaped(url))
    return NO, _NOWHERE
