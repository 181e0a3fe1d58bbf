"""Tables (GFM 0.29, section 4.10): rows of cells, and the row that says what a table is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from webapp.markdown.blocks import Paragraph, Table
from webapp.markdown.definitions import take_definitions
from webapp.markdown.tree import Element

if TYPE_CHECKING:
    from webapp.markdown.builder import Builder

MAX_COLUMNS = 128
MAX_PADDING = 4_096
"""Empty cells in a document for rows that are too short; a row of one character could ask for a hundred."""

_DELIMITER_ROW = re.compile(r"\|?+[ \t]*+:?-++:?+[ \t]*+(?:\|[ \t]*+:?-++:?+[ \t]*+)*+\|?+[ \t]*+\Z")
_CELL = re.compile(r"(?:[^|\\]|\\[\s\S]?)*+")


def alignments(row: str) -> list[str] | None:
    """Give the classes of the columns that a delimiter row sets, or nothing if it is none."""
    if "|" not in row or not _DELIMITER_ROW.match(row):
        return None
    columns = cells(row)
    return [_alignment(column) for column in columns] if len(columns) <= MAX_COLUMNS else None


def make_table(builder: Builder, alignments: list[str]) -> bool:
    """Make the last line of the open paragraph the head of a table."""
    block = builder.stack[-1]
    if not isinstance(block, Paragraph) or block.is_long:
        return False
    source = "".join(block.source[block.last_line :]).lstrip("\n")
    head = cells(source)
    if len(head) != len(alignments):
        return False
    before = "".join(block.source[: block.last_line])
    builder.stack.pop()
    if block.is_held:
        before = take_definitions(before, builder.labels) if before else ""
        builder.stack[-1].element.parts.append(block.element)
    parts: list[str | Element] = []
    attributes = block.element.attributes
    if before:
        paragraph = builder.element("p", attributes)
        paragraph.parts += [block.lead, builder.text_html(paragraph, before, block.lead)]
        builder.end(paragraph)
        parts.append(paragraph)
    elif block.lead:
        parts.append(block.lead)
    parts.append(_open_table(builder, head, alignments, attributes if not before else ""))
    builder.replace(block.element, parts)
    return True


def _open_table(builder: Builder, head: list[str], alignments: list[str], attributes: str) -> Element:
    classes = "table loose" if attributes else "table"
    wrapper = builder.element("div", f' class="{classes}" tabindex="0"')
    wrapper.is_shell = True
    table = builder.element("table")
    wrapper.parts.append(table)
    table.parts += ["<thead>", *_row(builder, "th", head, alignments), "</thead>"]
    builder.push(Table(table, builder.line_number - 1, wrapper, alignments))
    return wrapper


def add_row(builder: Builder, block: Table, text: str) -> None:
    """Add a row to an open table."""
    if block.body is None:
        block.body = builder.element("tbody")
        block.element.parts.append(block.body)
    row = cells(text)[: len(block.alignments)]
    missing = min(len(block.alignments) - len(row), builder.padding_left)
    builder.padding_left -= missing
    block.body.parts += _row(builder, "td", row + [""] * missing, block.alignments)


def _row(builder: Builder, name: str, row: list[str], alignments: list[str]) -> list[str | Element]:
    parts: list[str | Element] = ["<tr>"]
    for text, alignment in zip(row, alignments, strict=False):
        cell = Element(name, 0, alignment)
        html = builder.text_html(cell, text) if text else ""
        if cell.is_patchable:
            builder.count += 1
            cell.number = builder.count
            cell.parts.append(html)
            builder.end(cell)
            parts.append(cell)
        else:
            parts.append(f"<{name}{alignment}>{html}</{name}>")
    parts.append("</tr>")
    if all(isinstance(part, str) for part in parts):
        return ["".join(part for part in parts if isinstance(part, str))]
    return parts


def cells(row: str) -> list[str]:
    """Split a row; a `\\|` is a `|` of the text, in code too."""
    row = row.strip(" \t")
    found: list[str] = []
    at = 1 if row.startswith("|") else 0
    while at < len(row) or not found:
        match = _CELL.match(row, at)
        end = match.end() if match else len(row)
        found.append(row[at:end].strip(" \t").replace("\\|", "|"))
        at = end + 1
    return found


def _alignment(column: str) -> str:
    left, right = column[0] == ":", column[-1] == ":"
    if left and right:
        return ' class="center"'
    return ' class="right"' if right else ' class="left"' if left else ""
