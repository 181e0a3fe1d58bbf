"""Text that refers to what was not defined when it was read, and is read again at the end of the document if it was."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

from webapp.markdown.bounds import LATE_TEXT_CHARS, MAX_KEPT_CHARS, MAX_LATE_CHARS
from webapp.markdown.tree import Element


@dataclass(slots=True)
class Patch:
    """Text with labels that meant nothing when it was read."""

    serial: int
    element: Element
    source: str
    lead: str
    is_due: bool = False


class Late:
    """The patches of a document. What is defined decides which are due, as long as they are not too much together."""

    __slots__ = ("_chars_left", "_due", "_elements", "_kept_chars", "_waiting")

    def __init__(self) -> None:
        self._elements: list[Element] = []  # that may be read again; their numbers ascend
        self._kept_chars = 0
        self._waiting: dict[str, list[Patch]] = {}  # by label, with `^` if a footnote's
        self._due: list[Patch] = []
        self._chars_left = MAX_LATE_CHARS

    def add(self, element: Element, source: str, lead: str, labels: set[str]) -> bool:
        """Keep the source of an element until one of its labels is defined, unless too much is kept; say if it is."""
        chars = len(source) + LATE_TEXT_CHARS
        if self._kept_chars + chars > MAX_KEPT_CHARS:
            return False
        self._kept_chars += chars
        self._elements.append(element)
        patch = Patch(len(self._elements), element, source, lead)
        for label in labels:
            self._waiting.setdefault(label, []).append(patch)
        return True

    def is_between(self, first: int, after: int) -> bool:
        """Say whether an element that may be read again has a number from `first` on and before `after`."""
        at = bisect_left(self._elements, first, key=lambda element: element.number)
        return at < len(self._elements) and self._elements[at].number < after

    def define(self, label: str) -> None:
        """Note that a label means something by now."""
        for patch in self._waiting.pop(label, ()):
            if patch.is_due:
                continue
            chars = len(patch.source) + LATE_TEXT_CHARS
            if chars > self._chars_left:
                break
            self._chars_left -= chars
            patch.is_due = True
            self._due.append(patch)

    def take(self) -> list[Patch]:
        """Give what is due, in the order of the document."""
        due, self._due = self._due, []
        return sorted(due, key=lambda patch: patch.serial)
