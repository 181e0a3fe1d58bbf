"""The tree as it is built: blocks open and close, and their text becomes HTML."""

from __future__ import annotations

import re
from dataclasses import dataclass

from webapp.markdown.blocks import (
    Block,
    Document,
    Fence,
    Formula,
    IndentedCode,
    Item,
    List,
    Note,
    Paragraph,
    Table,
)
from webapp.markdown.bounds import MAX_CODE_CHARS, MAX_NOTES_CHARS, MAX_OPEN_CHARS
from webapp.markdown.definitions import Labels, defines, may_define, take_definitions, take_settled_definitions
from webapp.markdown.dialect import Dialect
from webapp.markdown.escape import escape, show_hidden
from webapp.markdown.inlines import Inline
from webapp.markdown.lines import Line
from webapp.markdown.tables import MAX_PADDING
from webapp.markdown.tokens import MAX_FORMULA_CHARS, formula_html, plain_formula
from webapp.markdown.tree import Element

MAX_DEPTH = 40
"""Open blocks; a list counts twice, with its item. What would nest deeper is text."""

_TASK = re.compile(r"\[([ xX])\][ \t]+(?=\S)")
_TASK_SO_FAR = re.compile(r"\[(?:[ xX](?:\][ \t]*)?)?\Z")


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """Code that is complete, to be highlighted."""

    element: Element
    source: str
    language: str


class Builder:
    """Builds a tree; `root` grows, and `changed` names the elements that ended or were replaced."""

    language_name = re.compile(r"[A-Za-z0-9_+#.\-]{1,32}")

    def __init__(self, dialect: Dialect, prefix: str) -> None:
        self.dialect = dialect
        self.labels = Labels(prefix)
        self.count = 0
        self.root = Element("", 0)
        self.stack: list[Block] = [Document(self.root, 0)]
        self.line_number = 0
        self.matched = 1  # so many of the stack does the line at hand continue
        self.changed: list[Element] = []
        self.code: list[CodeBlock] = []
        self.defers_code = False  # code in a named language may be replaced after its end
        self.notes: list[Note] = []
        self.note_at = 0  # where the outermost open footnote is in the stack; 0 without one
        self.note_chars_left = MAX_NOTES_CHARS
        self.padding_left = MAX_PADDING

    @property
    def container(self) -> Block:
        """The innermost block that the line at hand continues."""
        return self.stack[self.matched - 1]

    @property
    def is_deep(self) -> bool:
        """Whether no further container may open."""
        return self.matched >= MAX_DEPTH

    def inline(self) -> Inline:
        """Make a parser for the text of one block."""
        return Inline(self.dialect, self.labels)

    # Blocks; the functions of `starts` use these.

    def close_unmatched(self) -> None:
        """End the blocks that the line at hand does not continue."""
        if self.matched < len(self.stack):
            self._close_to(self.matched)

    def push(self, block: Block) -> None:
        """Open a block whose element is in its place."""
        if isinstance(block, Note) and not self.note_at:
            self.note_at = len(self.stack)
        self.stack.append(block)
        self.matched = len(self.stack)

    def element(self, name: str, attributes: str = "") -> Element:
        """Make an element."""
        self.count += 1
        return Element(name, self.count, attributes)

    def detached_element(self, name: str) -> Element:
        """Make an element for the end of the document, as a block of its own here."""
        self._make_room(in_list=False)
        return self.element(name)

    def add_element(self, name: str, attributes: str = "", *, in_list: bool = False) -> Element:
        """Add an element as the next block."""
        parent = self._make_room(in_list)
        loose = self._looseness(parent)
        if loose and ' class="' in attributes:
            loose, attributes = "", attributes.replace(' class="', ' class="loose ', 1)
        element = self.element(name, attributes + loose)
        parent.element.parts.append(element)
        return element

    def add_text_element(self, name: str, text: str) -> None:
        """Add a block of one line."""
        element = self.add_element(name)
        element.parts.append(self.text_html(element, text))
        self.end(element)
        self.stack[-1].last_end = self.line_number

    def add_rule(self) -> None:
        """Add a thematic break."""
        parent = self._make_room(in_list=False)
        parent.element.parts.append(f"<hr{self._looseness(parent)}>")
        parent.last_end = self.line_number

    def open_fence(self, fence: str, indent: int, language: str) -> None:
        """Open fenced code."""
        language = language if self.language_name.fullmatch(language) else ""
        figure, pre, code = self._code_elements(language)
        block = Fence(code, self.line_number, fence, indent, language)
        block.shell = (figure, pre)
        self.push(block)

    def open_indented_code(self) -> None:
        """Open indented code."""
        figure, pre, code = self._code_elements("")
        block = IndentedCode(code, self.line_number)
        block.shell = (figure, pre)
        self.push(block)

    def make_heading(self, name: str) -> bool:
        """Make the open paragraph a heading, unless it has only definitions."""
        block = self.stack[-1]
        if not isinstance(block, Paragraph) or block.is_long or not self._release(block, is_end=True):
            return False
        self._finish_text(block)
        heading = self.element(name, block.element.attributes)
        heading.parts = block.element.parts
        self._register(heading, block)
        self.replace(block.element, [heading])
        self.end(heading)
        self.stack.pop()
        self.stack[-1].last_end = self.line_number
        return True

    # Elements.

    def _make_room(self, in_list: bool) -> Block:
        """End blocks until the innermost can hold another one."""
        while not (self.stack[-1].can_hold_blocks or (in_list and isinstance(self.stack[-1], List))):
            self._close_to(len(self.stack) - 1)
        parent = self.stack[-1]
        if isinstance(parent, Item):
            parent.is_empty = False
        return parent

    def _looseness(self, parent: Block) -> str:
        """Mark what shows its list to be loose: a blank line stands before it (5.3)."""
        if not isinstance(parent, (Item, List)) or not parent.last_end or parent.last_end >= self.line_number - 1:
            return ""
        return ' class="loose"'

    def replace(self, element: Element, parts: list[str | Element]) -> None:
        """Put parts in the place of an element."""
        element.replacement = parts
        self.end(element)

    def end(self, element: Element) -> None:
        """Note that nothing will be added to an element."""
        element.is_open = False
        self.changed.append(element)

    def _close_to(self, size: int) -> None:
        """End blocks until so many are open."""
        while len(self.stack) > size:
            block = self.stack.pop()
            if self._close(block) and not isinstance(block, Note):
                self.stack[-1].last_end = block.end_line(self.line_number)
        self.matched = min(self.matched, len(self.stack))
        if size <= self.note_at:
            self.note_at = 0

    def _close_with_line(self) -> None:
        """End the innermost block with the line at hand, which belongs to it."""
        self.line_number += 1
        self._close_to(len(self.stack) - 1)
        self.line_number -= 1

    def _close(self, block: Block) -> bool:
        """Finish a block that was just popped; say if it is one after all."""
        if isinstance(block, Paragraph):
            self.stack.append(block)
            is_text = self._release(block, is_end=True)
            self.stack.pop()
            if not is_text:
                return False
            self._finish_text(block)
            self._register(block.element, block)
        elif isinstance(block, Fence):
            self._highlight(block)
        elif isinstance(block, Formula):
            source = "".join(block.source).strip()
            block.element.parts.append(plain_formula(source, True) if source else "")
        elif isinstance(block, Table) and block.body is not None:
            self.end(block.body)
        for element in (block.element, *reversed(block.shell)):
            self.end(element)
        return True

    # Text.

    def _open_paragraph(self, text: str) -> None:
        parent = self._make_room(in_list=False)
        element = self.element("p", self._looseness(parent))
        element.is_provisional = True
        block = Paragraph(element, self.line_number, self.inline())
        block.is_held = text[0] in "[|"
        if not block.is_held:
            parent.element.parts.append(element)
        self.push(block)
        self._add_text(block, text)

    def _add_line(self, block: Paragraph, text: str) -> None:
        if block.is_held and block.source[0][0] == "|":
            self._show(block)
        elif block.defines and block.chars >= 2 * block.tried_chars:
            self._settle(block, text)
        block.last_line = len(block.source)
        self._add_text(block, "\n" + text if block.source or block.is_long else text)

    def _settle(self, block: Paragraph, next_line: str) -> None:
        """Take the definitions from what was held, if they are complete; show what is none."""
        block.tried_chars = block.chars
        rest = take_settled_definitions("".join(block.source), next_line, self.labels)
        if rest is None:
            return
        block.source[:] = [rest] if rest else []
        block.chars, block.tried_chars = len(rest), 0
        block.defines = False
        if rest:
            self._show(block)

    def _add_text(self, block: Paragraph, text: str) -> None:
        block.source.append(text)
        block.chars += len(text)
        if block.is_held:
            self._release(block, is_end=False)
        else:
            block.inline.feed(text)
        if block.is_long:
            block.source.clear()
            block.element.is_provisional = False

    def _release(self, block: Paragraph, *, is_end: bool) -> bool:
        """Show a paragraph that was held, if it is one; say if it is."""
        if not block.is_held:
            return True
        if not is_end:
            if block.is_long or not self._is_undecided(block):
                self._show(block)
            return True
        if block.source[0][0] == "[":
            text = take_definitions("".join(block.source), self.labels).strip(" \t\n")
            if not text:
                return False
            block.source[:] = [text]
        self._show(block)
        return True

    def _is_undecided(self, block: Paragraph) -> bool:
        """Say whether a paragraph may yet begin with a definition, a table or a task."""
        if block.source[0][0] == "|" or block.defines:
            return True
        text = "".join(block.source)
        block.defines = defines(text)
        return block.defines or may_define(text) or _TASK_SO_FAR.match(text) is not None

    def _show(self, block: Paragraph) -> None:
        """Put a held paragraph in its place."""
        block.is_held = block.defines = False
        parent = self.stack[-2]
        text = "".join(block.source)
        is_first = isinstance(parent, Item) and not parent.element.parts
        parent.element.parts.append(block.element)
        task = _TASK.match(text, 0, MAX_OPEN_CHARS + 1) if is_first else None
        if task is not None:
            checked = " checked" if task[1] != " " else ""
            block.lead = f'<input type="checkbox" aria-label="Task" disabled{checked}> '
            block.element.parts.append(block.lead)
            block.source[:] = [text[task.end() :]]
            text = block.source[0]
        block.inline.feed(text)

    def _finish_text(self, block: Paragraph) -> None:
        block.inline.end()
        self._take_text(block)

    def _take_text(self, block: Paragraph) -> None:
        html = block.inline.take()
        if html:
            block.element.parts.append(html)

    def _register(self, element: Element, block: Paragraph) -> None:
        if block.inline.unresolved and not block.is_long:
            unresolved = block.inline.unresolved
            element.is_patchable = self.labels.late.add(element, "".join(block.source), block.lead, unresolved)

    def text_html(self, element: Element, text: str, lead: str = "") -> str:
        """Give the HTML of a whole text, which is to be the content of an element."""
        inline = self.inline()
        inline.feed(text)
        inline.end()
        if inline.unresolved:
            element.is_patchable = self.labels.late.add(element, text, lead, inline.unresolved)
        return inline.take()

    # Code and formulas.

    def _code_elements(self, language: str) -> tuple[Element, Element, Element]:
        figure = self.add_element("figure")
        figure.attributes = ' class="code loose"' if figure.attributes else ' class="code"'
        pre = self.element("pre", ' tabindex="0"')
        code = self.element("code", f' class="language-{escape(language)}"' if language else "")
        code.is_patchable = self.defers_code and bool(language)
        if language:
            figure.parts.append(f"<figcaption>{escape(self.dialect.language_label(language))}</figcaption>")
        figure.is_shell = pre.is_shell = True
        figure.parts.append(pre)
        pre.parts.append(code)
        figure.is_provisional = self.dialect.highlight is not None and bool(language)
        return figure, pre, code

    def _add_code(self, block: Fence | IndentedCode, text: str) -> None:
        block.element.parts.append(show_hidden(escape(text)))
        if isinstance(block, Fence) and block.language:
            block.source.append(text)
            block.chars += len(text)
            if block.chars > MAX_CODE_CHARS:
                block.source.clear()
                block.shell[0].is_provisional = False

    def _add_code_line(self, block: Fence | IndentedCode, line: Line) -> None:
        text = line.text[line.at :]
        if line.is_whole:
            text += "\n"
        if isinstance(block, IndentedCode):
            if line.is_blank and line.is_whole:
                block.blank.append(text)
                block.blank_chars += len(text)
                return
            text = "".join([*block.blank, text])
            block.blank.clear()
            block.blank_chars = 0
            block.last_line = self.line_number
        self._add_code(block, text)

    def _highlight(self, block: Fence) -> None:
        if not block.language or block.chars > MAX_CODE_CHARS:
            return
        source = "".join(block.source)
        highlight = self.dialect.highlight
        html = highlight(source, block.language) if highlight is not None else None
        if html is not None:
            self.replace_code(block.element, html)
        elif self.defers_code:
            self.code.append(CodeBlock(block.element, source, block.language))

    def replace_code(self, element: Element, html: str) -> None:
        """Put highlighted code in the place of plain code."""
        code = self.element(element.name, element.attributes)
        code.parts.append(show_hidden(html))
        self.end(code)
        self.replace(element, [code])

    def _add_formula_line(self, block: Formula, text: str) -> None:
        stripped = text.rstrip()
        if not stripped.endswith(block.closing):
            block.source.append("\n" + text)
            block.chars += len(text) + 1
            if block.chars > MAX_FORMULA_CHARS:
                self._close_with_line()
            return
        block.source.append("\n" + stripped[: -len(block.closing)])
        source = "".join(block.source).strip()
        if source and len(source) <= MAX_FORMULA_CHARS:
            block.source.clear()
            block.element.parts.append(formula_html(self.inline(), source, True))
        self._close_with_line()

    # The end.

    def _patch(self) -> None:
        """Read text again that refers to what was defined after it."""
        for patch in self.labels.late.take():
            element = self.element(patch.element.name, patch.element.attributes)
            element.parts += [patch.lead, self.text_html(element, patch.source)]
            element.is_patchable = False
            self.end(element)
            self.replace(patch.element, [element])

    def _show_notes(self) -> None:
        if not self.notes:
            return
        notes = sorted((self.labels.number(note.label), note) for note in self.notes)
        section = self.element("section", ' class="footnotes"')
        listing = self.element("ol")
        section.parts.append(listing)
        for number, note in notes:
            note.element.attributes = f' id="{self.labels.prefix}n{number}" value="{number}"'
            listing.parts.append(note.element)
        for element in (listing, section):
            self.end(element)
        self.root.parts.append(section)
