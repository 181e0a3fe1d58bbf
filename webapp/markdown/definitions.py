"""Link reference definitions, and what labels stand for in one document.

A definition is only looked for at the start of a paragraph (CommonMark 0.31.2, section 4.7), so a paragraph that begins
with `[label]:` is held until it ends. A reference that comes before its definition is text until the document ends.
"""

from __future__ import annotations

import re

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
FOOTNOTE_LABEL = re.compile(r"\^[^\s\[\]\\]{1,32}")


class Labels:
    """The link targets and footnotes of a document, as far as they are known."""

    __slots__ = ("_numbers", "defined_notes", "expansion_left", "prefix", "targets")

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.targets: dict[str, Target] = {}
        self.defined_notes: set[str] = set()
        self.expansion_left = MAX_EXPANSION_CHARS
        self._numbers: dict[str, int] = {}

    def define(self, label: str, target: Target) -> None:
        """Keep a target; the first definition of a label counts."""
        self.targets.setdefault(normal_label(label), target)

    def is_known(self, label: str) -> bool:
        """Say whether a normal label, with `^` if a footnote's, means something by now."""
        return label in self.targets or (label[:1] == "^" and label[1:] in self.defined_notes)

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
    match = LABEL.match(text)
    return match is not None and text.startswith(":", match.end()) and len(match[1]) <= MAX_LABEL_CHARS


def may_define(text: str) -> bool:
    """Say whether it is too early to say that a paragraph does not begin as a definition does."""
    if len(text) > MAX_LABEL_CHARS + 2:
        return False
    match = LABEL.match(text)
    return match.end() == len(text) if match is not None else _LABEL_SO_FAR.match(text) is not None


def take_definitions(text: str, labels: Labels) -> str:
    """Take the definitions from the start of a whole paragraph; give the rest."""
    at = 0
    while text.startswith("[", at):
        end = _take_definition(text, at, labels)
        if end < 0:
            break
        at = end
    return text[at:]


def _take_definition(text: str, at: int, labels: Labels) -> int:
    match = LABEL.match(text, at)
    if match is None or not text.startswith(":", match.end()):
        return NO
    label = match[1]
    if not label.strip() or len(label) > MAX_LABEL_CHARS:
        return NO
    start = skip_space(text, match.end() + 1)
    end, url = destination(text, start)
    if end == MORE and start < len(text) and text[start] != "<" and url:
        end = len(text)  # a bare destination may end with the paragraph
    if end < 0:
        return NO
    return _finish(text, end, label, url, labels)


def _finish(text: str, at: int, label: str, url: str, labels: Labels) -> int:
    """Find the title, if there is one, that ends with its line; without it, the destination must."""
    start = skip_space(text, at)
    if start > at and start < len(text) and text[start] in "\"'(":
        end, words = title(text, start)
        if end >= 0 and (line_end := _LINE_END.match(text, end)):
            labels.define(label, Target(unescaped(url), unescaped(words)))
            return line_end.end()
    if line_end := _LINE_END.match(text, at):
        labels.define(label, Target(unescaped(url)))
        return line_end.end()
    return NO
