"""What the product never does: pass raw HTML on, and give links and images as the specification's examples show them.

Only the comparison with the specifications uses this. It extends the engine from outside: nothing in
`webapp.markdown` can be set to do it.
"""

from __future__ import annotations

import re
from typing import ClassVar
from urllib.parse import quote

from webapp.markdown.blocks import CODE_INDENT, NO, YES, Block, Paragraph
from webapp.markdown.builder import Builder
from webapp.markdown.dialect import Dialect
from webapp.markdown.escape import escape, without_tags
from webapp.markdown.inlines import Handler, Inline
from webapp.markdown.lines import Line
from webapp.markdown.links import Target
from webapp.markdown.parser import Parser
from webapp.markdown.starts import INSIDE, NONE, STARTS
from webapp.markdown.tokens import WAIT, autolink

_NAMES = (
    "address article aside base basefont blockquote body caption center col colgroup dd details dialog dir div dl dt "
    "fieldset figcaption figure footer form frame frameset h1 h2 h3 h4 h5 h6 head header hr html iframe legend li link "
    "main menu menuitem nav noframes ol optgroup option p param search section summary table tbody td tfoot th thead "
    "title tr track ul"
)
_ATTRIBUTE = r"""\s+[a-zA-Z_:][a-zA-Z0-9:._-]*(?:\s*=\s*(?:[^\s"'=<>`]+|'[^']*'|"[^"]*"))?"""
_OPEN_TAG = rf"<[A-Za-z][A-Za-z0-9-]*(?:{_ATTRIBUTE})*\s*/?>"
_CLOSE_TAG = r"</[A-Za-z][A-Za-z0-9-]*\s*>"
_INLINE_HTML = re.compile(
    rf"(?:{_OPEN_TAG}|{_CLOSE_TAG}|<!-->|<!--->|<!--[\s\S]*?-->|<\?[\s\S]*?\?>|<![A-Za-z][^>]*>|<!\[CDATA\[[\s\S]*?\]\]>)"
)
_KINDS = (
    (
        re.compile(r"<(?:script|pre|textarea|style)(?:\s|>|$)", re.I),
        re.compile(r"</(?:script|pre|textarea|style)>", re.I),
    ),
    (re.compile(r"<!--"), re.compile(r"-->")),
    (re.compile(r"<\?"), re.compile(r"\?>")),
    (re.compile(r"<![A-Za-z]"), re.compile(r">")),
    (re.compile(r"<!\[CDATA\["), re.compile(r"\]\]>")),
    (re.compile(rf"</?(?:{'|'.join(_NAMES.split())})(?:\s|/?>|$)", re.I), None),
    (re.compile(rf"(?:{_OPEN_TAG}|{_CLOSE_TAG})\s*$", re.I), None),
)
_LAST_KIND = len(_KINDS) - 1


class SpecificationLinks:
    """Links and images as in the examples."""

    def link(self, target: Target, inner: str) -> str:
        return f'<a href="{_url(target.url)}"{_title(target)}>{inner}</a>'

    def image(self, target: Target, inner: str) -> str:
        words = without_tags(re.sub(r'<img [^>]*alt="([^"]*)"[^>]*>', r"\1", inner))
        return f'<img src="{_url(target.url)}" alt="{words}"{_title(target)} />'

    def image_in_link(self, target: Target, inner: str) -> str:
        return self.image(target, inner)

    def autolink(self, url: str, text: str) -> str | None:
        return f'<a href="{_url(url)}">{escape(text)}</a>'


def _url(url: str) -> str:
    return escape(quote(url, safe=";/?:@&=+$,-_.!~*'()#%"))


def _title(target: Target) -> str:
    return f' title="{escape(target.title)}"' if target.title else ""


class HtmlBlock(Block):
    """A block of raw HTML (4.6)."""

    takes_lines = True
    end: re.Pattern[str] | None = None

    def continues(self, line: Line) -> int:
        return NO if self.end is None and line.is_blank else YES


def html_block(parser: Builder, line: Line) -> int:
    """Start a block of raw HTML."""
    if line.indent >= CODE_INDENT:
        return NONE
    kind = next((at for at, (start, _) in enumerate(_KINDS) if start.match(line.text, line.start)), None)
    if kind is None:
        return NONE
    is_in_paragraph = isinstance(parser.container, Paragraph) or isinstance(parser.stack[-1], Paragraph)
    if kind == _LAST_KIND and is_in_paragraph:
        return NONE
    parser.close_unmatched()
    block = HtmlBlock(parser.add_element(""), parser.line_number)
    block.element.attributes = ""
    block.end = _KINDS[kind][1]
    parser.push(block)
    return INSIDE


def raw_html(inline: Inline, at: int) -> int:
    """Read an address in angle brackets or raw HTML (6.6)."""
    if not inline.is_final:
        return WAIT
    before = len(inline.pieces)
    end = autolink(inline, at)
    if inline.pieces[before] != "&lt;":
        return end
    match = _INLINE_HTML.match(inline.buffer, at)
    if match is None:
        return end
    del inline.pieces[before:]
    inline.add(match[0])
    return match.end()


def as_text(inline: Inline, at: int) -> int:
    """Take what would begin an extended autolink as text."""
    inline.add_text(inline.buffer[inline.at : at + 1])
    return at + 1


class RawInline(Inline):
    """Text with raw HTML."""

    handlers: ClassVar[dict[str, Handler]] = {**Inline.handlers, "<": raw_html}


class StrictInline(Inline):
    """Text with raw HTML and without the extensions of which CommonMark's examples say that they are none."""

    handlers: ClassVar[dict[str, Handler]] = {**RawInline.handlers, **dict.fromkeys("hfw@", as_text)}


class RawParser(Parser):
    """A parser that takes raw HTML as the specification says."""

    starts = (STARTS[0], STARTS[1], STARTS[2], html_block, *STARTS[3:])
    language_name = re.compile(r"\S+")

    def __init__(self, *, has_autolinks: bool) -> None:
        super().__init__(Dialect(links=SpecificationLinks()), "m")
        self.has_autolinks = has_autolinks

    def inline(self) -> Inline:
        return (RawInline if self.has_autolinks else StrictInline)(self.dialect, self.labels)

    def may_start(self, character: str) -> bool:
        return character == "<" or super().may_start(character)

    def _can_be_read(self, text: str) -> bool:
        return "<" not in text and not isinstance(self.stack[-1], HtmlBlock) and super()._can_be_read(text)

    def _add_rest(self, line: Line) -> None:
        tip = self.container
        if not isinstance(tip, HtmlBlock):
            super()._add_rest(line)
            return
        self.close_unmatched()
        text = line.text[line.at :]
        tip.element.parts.append(text + "\n")
        if tip.end is not None and tip.end.search(text):
            self.line_number += 1
            self._close_to(len(self.stack) - 1)
            self.line_number -= 1
