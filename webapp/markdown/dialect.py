"""What a document's special parts become, and the choices in how it is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from webapp.markdown.links import Links, SafeLinks

Highlight = Callable[[str, str], str | None]
"""Give the HTML for source code in a language as named by the fence, or nothing to leave it plain.

The text of the HTML must be the source; its tags must be safe, because they are passed on as they are.
"""

Formula = Callable[[str, bool], str | None]
"""Give the MathML of a formula in TeX, for display or not, or nothing to show the source; passed on as it is."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """Everything one may choose. One dialect must be used for all renderings of a document."""

    links: Links = field(default_factory=SafeLinks)
    highlight: Highlight | None = None
    language_label: Callable[[str], str] = str  # the name to show for a language as a fence names it
    formula: Formula | None = None
    has_math: bool = True


DEFAULT = Dialect()
