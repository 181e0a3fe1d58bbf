"""How blocks start: one function for each kind, tried in order on what is left of a line.

Each gives NONE, or what it made of the line: INSIDE, when the rest of the line stands in a new container; TAKEN, when
nothing of it is left.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from webapp.markdown.blocks import (
    CODE_INDENT,
    Formula,
    Item,
    List,
    Note,
    Paragraph,
    Quote,
    read_quote_marker,
)
from webapp.markdown.definitions import FOOTNOTE_LABEL
from webapp.markdown.lines import Line
from webapp.markdown.links import normal_label, unescaped
from webapp.markdown.tables import alignments, make_table

if TYPE_CHECKING:
    from webapp.markdown.builder import Builder

NONE, INSIDE, TAKEN = range(3)

Start = Callable[["Builder", Line], int]

MARKERS: Final = frozenset(">#`~-+*_=0123456789[|:$\\")
"""No block but a paragraph starts with another character."""

_HEADING = re.compile(r"(#{1,6})(?:[ \t]+|\Z)")
_FENCE = re.compile(r"(`{3,})([^`]*)\Z|(~{3,})(.*)\Z")
_UNDERLINE = re.compile(r"(=+|-+)[ \t]*+\Z")
_RULE = re.compile(r"(?:(?:\*[ \t]*+){3,}|(?:_[ \t]*+){3,}|(?:-[ \t]*+){3,})\Z")
_MARKER = re.compile(r"(?:([-+*])|([0-9]{1,9})([.)]))(?=[ \t]|\Z)")
_NOTE = re.compile(rf"\[({FOOTNOTE_LABEL.pattern})\]:[ \t]*")
_ALERT = re.compile(r"\[!(NOTE|TIP|IMPORTANT|WARNING|CAUTION)\][ \t]*\Z", re.IGNORECASE)


def quote(builder: Builder, line: Line) -> int:
    """Block quotes (5.1), and alerts, whose first line names their kind."""
    if line.indent >= CODE_INDENT or not line.rest.startswith(">") or builder.is_deep:
        return NONE
    builder.close_unmatched()
    read_quote_marker(line)
    alert = _ALERT.match(line.rest) if line.indent < CODE_INDENT else None
    if alert is None:
        element = builder.add_element("blockquote", ' dir="auto"')
        builder.push(Quote(element, builder.line_number))
        return INSIDE
    kind = alert[1].lower()
    element = builder.add_element("blockquote", f' class="alert {kind}" dir="auto"')
    element.parts.append(f'<p class="title">{kind.capitalize()}</p>')
    builder.push(Quote(element, builder.line_number))
    return TAKEN


def heading(builder: Builder, line: Line) -> int:
    """ATX headings (4.2)."""
    if line.indent >= CODE_INDENT:
        return NONE
    match = _HEADING.match(line.text, line.start)
    if match is None:
        return NONE
    builder.close_unmatched()
    content = _without_closing_hashes(line.text[match.end() :])
    builder.add_text_element(f"h{len(match[1])}", content)
    return TAKEN


def _without_closing_hashes(content: str) -> str:
    content = content.strip(" \t")
    bare = content.rstrip("#")
    if bare == content:
        return content
    return bare.rstrip(" \t") if not bare or bare[-1] in " \t" else content


def fence(builder: Builder, line: Line) -> int:
    """Fenced code (4.5)."""
    if line.indent >= CODE_INDENT:
        return NONE
    match = _FENCE.match(line.text, line.start)
    if match is None:
        return NONE
    builder.close_unmatched()
    words = unescaped(match[2] if match[1] else match[4]).split()
    builder.open_fence(match[1] or match[3], line.indent, words[0] if words else "")
    return TAKEN


def underline(builder: Builder, line: Line) -> int:
    """Setext headings (4.3): the paragraph above becomes one."""
    if line.indent >= CODE_INDENT or not isinstance(builder.container, Paragraph):
        return NONE
    match = _UNDERLINE.match(line.text, line.start)
    if match is None:
        return NONE
    return TAKEN if builder.make_heading("h1" if match[1][0] == "=" else "h2") else NONE


def rule(builder: Builder, line: Line) -> int:
    """Thematic breaks (4.1)."""
    if line.indent >= CODE_INDENT or not _RULE.match(line.text, line.start):
        return NONE
    builder.close_unmatched()
    builder.add_rule()
    return TAKEN


def table(builder: Builder, line: Line) -> int:
    """Tables (GFM 4.10): the last line of the paragraph above becomes the head of one."""
    if line.indent >= CODE_INDENT or not isinstance(builder.container, Paragraph):
        return NONE
    columns = alignments(line.rest)
    return TAKEN if columns is not None and make_table(builder, columns) else NONE


def item(builder: Builder, line: Line) -> int:
    """List items (5.2), and the list around them (5.3) if its kind is new."""
    if line.indent >= CODE_INDENT and not isinstance(builder.container, List):
        return NONE
    match = _MARKER.match(line.text, line.start) if line.indent < CODE_INDENT else None
    if match is None or builder.is_deep:
        return NONE
    is_blank = not line.text[match.end() :].strip(" \t")
    if isinstance(builder.container, Paragraph) and (is_blank or (match[2] and int(match[2]) != 1)):
        return NONE
    builder.close_unmatched()
    indent = line.indent
    line.skip_indent()
    line.advance(match.end() - match.start())
    spaces = line.indent
    width = 1 if is_blank or spaces > CODE_INDENT else spaces
    line.skip_columns(width)
    _open_item(builder, match, indent + match.end() - match.start() + width)
    return INSIDE


def _open_item(builder: Builder, match: re.Match[str], width: int) -> None:
    marker = match[1] or match[3]
    tip = builder.stack[-1]
    if not isinstance(tip, List) or tip.marker != marker:
        number = int(match[2]) if match[2] else 1
        name = "ul" if match[1] else "ol"
        element = builder.add_element(name, f' start="{number}"' if number != 1 else "")
        builder.push(List(element, builder.line_number, marker))
    element = builder.add_element("li", ' dir="auto"', in_list=True)
    builder.push(Item(element, builder.line_number, width))


def formula(builder: Builder, line: Line) -> int:
    """A formula that starts a line and does not end on it."""
    if line.indent >= CODE_INDENT or not builder.dialect.has_math:
        return NONE
    opening, closing = line.text[line.start : line.start + 2], {"$$": "$$", "\\[": "\\]"}
    if opening not in closing:
        return NONE
    rest = line.text[line.start + 2 :]
    if closing[opening] in rest or (rest.strip() and opening == "\\["):
        return NONE
    builder.close_unmatched()
    element = builder.add_element("div", ' class="formula"')
    block = Formula(element, builder.line_number, closing[opening], ends_at_blank=bool(rest.strip()))
    block.source.append(rest)
    builder.push(block)
    return TAKEN


def note(builder: Builder, line: Line) -> int:
    """Footnotes, as in cmark-gfm; their text is shown at the end."""
    if line.indent >= CODE_INDENT or builder.is_deep or builder.note_chars_left < 0:
        return NONE
    match = _NOTE.match(line.text, line.start)
    if match is None:
        return NONE
    builder.close_unmatched()
    line.skip_indent()
    line.advance(match.end() - match.start())
    label = normal_label(match[1][1:])
    element = builder.detached_element("li")
    block = Note(element, builder.line_number, label)
    if builder.labels.define_note(label):
        builder.notes.append(block)
    builder.push(block)
    return INSIDE


def indented_code(builder: Builder, line: Line) -> int:
    """Indented code (4.4); it cannot interrupt a paragraph, not even lazily."""
    if line.indent < CODE_INDENT or line.is_blank or isinstance(builder.stack[-1], Paragraph):
        return NONE
    builder.close_unmatched()
    builder.open_indented_code()
    line.skip_columns(CODE_INDENT)
    return INSIDE


STARTS: Final[tuple[Start, ...]] = (
    quote,
    heading,
    fence,
    underline,
    rule,
    table,
    item,
    formula,
    note,
    indented_code,
)

CONTAINERS: Final[tuple[Start, ...]] = (quote, item, note, indented_code)
"""What may start on a line of which only the beginning is known: all others need the whole line."""
