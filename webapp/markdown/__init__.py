"""Markdown to safe HTML while it is being written, at a cost that does not grow with what was written before.

Three ways to the same result: `render` a whole document; an `AppendStream`, whose text is only ever appended to; a
`MarkdownStream`, whose operations keep a page up to date. See docs/markdown.md.
"""

from __future__ import annotations

from webapp.markdown.append import AppendStream
from webapp.markdown.builder import CodeBlock
from webapp.markdown.dialect import DEFAULT, Dialect
from webapp.markdown.links import SafeLinks
from webapp.markdown.parser import Parser
from webapp.markdown.source import Source
from webapp.markdown.stream import MarkdownStream, Op

VERSION = 1
"""Counts the versions of the HTML: another one may give other HTML for the same source."""

__all__ = [
    "DEFAULT",
    "VERSION",
    "AppendStream",
    "CodeBlock",
    "Dialect",
    "MarkdownStream",
    "Op",
    "SafeLinks",
    "render",
]


def render(source: str, *, prefix: str = "m", dialect: Dialect = DEFAULT, late_references: bool = True) -> str:
    """Give the HTML of a whole document.

    Nothing in it has an id but footnotes, whose ids have the prefix. Without `late_references`, a reference to what is
    defined after it stays text.
    """
    parser = Parser(dialect, prefix)
    parser.feed(Source().clean(source))
    parser.finish(with_patches=late_references)
    return parser.root.html()
