"""The elements of a growing document; the machine writes them, the emitters read them.

Parts of an element are only ever added at its end. What may still change is not among them.
"""

from __future__ import annotations

NOT_SENT = -1

NEVER = 1 << 60
"""The number of an element that will not come."""

_WITHOUT_TEXT = frozenset({"ul", "ol", "table", "tbody"})
"""In these, HTML's parser or a screen reader would take an `<i>` amiss."""


class Ids:
    """The ids of one document's elements on a page; each is given to one element only."""

    __slots__ = ("_markers", "_prefix", "_tails")

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._markers = 0
        self._tails = 0

    def block(self, element: Element) -> str:
        """Give the id of an element that may be replaced."""
        return f"{self._prefix}b{element.number}"

    def marker(self) -> str:
        """Make an id for the place where an element goes on."""
        self._markers += 1
        return f"{self._prefix}-{self._markers}"

    def tail(self) -> str:
        """Make an id for text that may still change."""
        self._tails += 1
        return f"{self._prefix}t{self._tails}"


class Element:
    """An element with constant tags; its text is HTML already."""

    __slots__ = (
        "attributes",
        "frozen",
        "has_id",
        "is_open",
        "is_patchable",
        "is_provisional",
        "is_shell",
        "marker",
        "name",
        "number",
        "parts",
        "replacement",
        "sent",
        "shows_replacement",
    )

    def __init__(self, name: str, number: int, attributes: str = "") -> None:
        self.name = name
        self.number = number
        self.attributes = attributes
        self.parts: list[str | Element] = []
        self.is_open = True
        self.is_provisional = False  # it may yet become another element, as a paragraph a heading
        self.is_shell = False  # nothing is added to it once it is there, so it needs no id
        self.is_patchable = False  # it may be replaced once after its end
        self.replacement: list[str | Element] | None = None
        self.has_id = False  # a reader can address it
        self.marker = ""  # the id of the place in it, as a reader has it, where it goes on
        self.sent = NOT_SENT  # how many parts a reader has, or that the element itself is not there yet
        self.frozen = 0  # so many of the parts that a reader has are text that nothing will change
        self.shows_replacement = False

    @property
    def goes_on(self) -> bool:
        """Whether something may be added to it, or to what stands in its place."""
        if self.replacement is None:
            return self.is_open
        return any(not isinstance(part, str) and part.goes_on for part in self.replacement)

    def opening(self, identity: str = "") -> str:
        """Give the start tag."""
        return f"<{self.name}{identity}{self.attributes}>" if self.name else ""

    def closing(self) -> str:
        """Give the end tag."""
        return f"</{self.name}>" if self.name else ""

    def marker_html(self) -> str:
        """Give the empty element that stands where this one goes on, or nothing without one."""
        if not self.marker:
            return ""
        name = "template" if self.name in _WITHOUT_TEXT else "i"
        return f"<{name} id={self.marker}></{name}>"

    def html(self) -> str:
        """Give the whole element without ids."""
        if self.replacement is not None:
            return _html(self.replacement)
        return f"{self.opening()}{_html(self.parts)}{self.closing()}"


def _html(parts: list[str | Element]) -> str:
    return "".join([part if isinstance(part, str) else part.html() for part in parts])
