"""Text that refers to what was not defined when it was read, and is read again at the end of the document if it was."""

from __future__ import annotations

from dataclasses import dataclass

from webapp.markdown.bounds import LATE_TEXT_CHARS, MAX_LATE_CHARS
from webapp.markdown.tree import NEVER, Element


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

    __slots__ = ("_chars_left", "_count", "_due", "_first", "_waiting")

    def __init__(self) -> None:
        self._first: Element | None = None
        self._count = 0
        self._waiting: dict[str, list[Patch]] = {}  # by label, with `^` if a footnote's
        self._due: list[Patch] = []
        self._chars_left = MAX_LATE_CHARS

    @property
    def first_number(self) -> int:
        """The number of the first element that may be read again."""
        return self._first.number if self._first is not None else NEVER

    def add(self, element: Element, source: str, lead: str, labels: set[str]) -> None:
        """Keep the source of an element until one of its labels is defined."""
        self._count += 1
        self._first = self._first or element
        patch = Patch(self._count, element, source, lead)
        for label in labels:
            self._waiting.setdefault(label, []).append(patch)

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
