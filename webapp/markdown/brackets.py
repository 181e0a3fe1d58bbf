"""Brackets in text: links, images, references and footnotes (CommonMark 0.31.2, sections 6.3 and 6.4)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from webapp.markdown.emphasis import Matcher
from webapp.markdown.escape import show_hidden
from webapp.markdown.links import LABEL, MAX_LABEL_CHARS, MAX_TAIL_CHARS, MORE, Target, link_tail, normal_label
from webapp.markdown.tokens import WAIT

if TYPE_CHECKING:
    from webapp.markdown.inlines import Inline

MAX_NESTING = 8
"""Images within images; each level writes the words of those within it again."""

_TAGS_CHARS = 80
"""What the tags of a link add, about."""

_MAY_END_TAIL = re.compile(r"[)\n]")
_MAY_END_LABEL = re.compile(r"[\[\]]")
_LABEL_SO_FAR = re.compile(r"\[(?:[^\[\]\\]|\\[\s\S])*+\\?\Z")


class Bracket:
    """An open `[` or `![`."""

    __slots__ = ("has_bracket", "index", "is_image", "offset", "pending")

    def __init__(self, index: int, offset: int, is_image: bool, pending: int) -> None:
        self.index = index  # among the pieces
        self.offset = offset  # of its `[` in the source
        self.is_image = is_image
        self.pending = pending  # how many delimiters had to wait before it came
        self.has_bracket = False  # another one stands in it: no label, then


def open_bracket(inline: Inline, at: int) -> int:
    """Read `[` or `![`."""
    is_image = inline.buffer[at] == "!"
    end = at + 2 if is_image else at + 1
    if inline.brackets:
        inline.brackets[-1].has_bracket = True
    index = inline.base + len(inline.pieces)
    pending = inline.pending_base + len(inline.pending)
    inline.brackets.append(Bracket(index, inline.offset + end - 1, is_image, pending))
    inline.add(inline.buffer[at:end])
    return end


def close_bracket(inline: Inline, at: int) -> int:
    """Read `]`: with the bracket it closes, and what follows it, it may be a link."""
    buffer = inline.buffer
    if not inline.brackets:
        inline.add("]")
        return at + 1
    bracket = inline.brackets[-1]
    open_count = len(inline.brackets)
    if open_count <= inline.dead or (not bracket.is_image and open_count <= inline.inactive):
        return _is_text(inline, at)
    if at + 1 == len(buffer) and not inline.is_final:
        inline.at = at
        return WAIT
    if buffer.startswith("(", at + 1):
        end, target = link_tail(buffer, at + 2, inline.is_final)
        if end == MORE:
            inline.at = at
            return inline.wait(_MAY_END_TAIL.search, MAX_TAIL_CHARS)
        if target is not None and _make_link(inline, bracket, target):
            return end
    return _reference(inline, bracket, at)


def _reference(inline: Inline, bracket: Bracket, at: int) -> int:
    buffer = inline.buffer
    end = at + 1
    label: str | None = None
    if buffer.startswith("[", end):
        match = LABEL.match(buffer, end)
        if match is None and not inline.is_final and _may_be_label(buffer, end):
            inline.at = at
            return inline.wait(_MAY_END_LABEL.search, MAX_LABEL_CHARS + 2)
        if match is not None and len(match[1]) <= MAX_LABEL_CHARS:
            label, end = match[1], match.end()
    start = bracket.offset + 1 - inline.offset
    if not label and not bracket.has_bracket and at - start <= MAX_LABEL_CHARS and start >= 0:
        label = buffer[start:at]
    if label and label.strip() and _refer(inline, bracket, label, is_short=end == at + 1):
        return end
    return _is_text(inline, at)


def _refer(inline: Inline, bracket: Bracket, label: str, *, is_short: bool) -> bool:
    labels = inline.labels
    if label[0] == "^" and is_short and not bracket.is_image and (note := labels.note_reference(label)):
        _collapse(inline, bracket, note, label, 1)
        return True
    normal = normal_label(label)
    target = labels.targets.get(normal)
    if target is None:
        inline.unresolved.add(normal)
        return False
    if labels.expansion_left < 0 or not _make_link(inline, bracket, target):
        return False
    labels.expansion_left -= len(target.url) + _TAGS_CHARS
    return True


def _may_be_label(buffer: str, at: int) -> bool:
    return len(buffer) - at <= MAX_LABEL_CHARS + 2 and _LABEL_SO_FAR.match(buffer, at) is not None


def _is_text(inline: Inline, at: int) -> int:
    inline.drop_bracket()
    inline.add("]")
    return at + 1


def _make_link(inline: Inline, bracket: Bracket, target: Target) -> bool:
    """Put a link in the place of the pieces since a bracket, unless it would nest too deep."""
    depth = 1 + max((depth for index, _, depth in _anchors_in(inline, bracket)), default=0)
    if depth > MAX_NESTING:
        inline.dead = len(inline.brackets)
        return False
    inner = _inner_html(inline, bracket)
    if bracket.is_image:
        html = inline.dialect.links.image(target, inner)
        inner = inline.dialect.links.image_in_link(target, inner)
    else:
        html = inline.dialect.links.link(target, inner)
    was_image = bracket.is_image
    _collapse(inline, bracket, html, inner, depth)
    if not was_image:
        inline.inactive = len(inline.brackets)
    return True


def _anchors_in(inline: Inline, bracket: Bracket) -> list[tuple[int, str, int]]:
    found = []
    for anchor in reversed(inline.anchors):
        if anchor[0] < bracket.index:
            break
        found.append(anchor)
    return found


def _inner_html(inline: Inline, bracket: Bracket) -> str:
    """Give the HTML since a bracket: with its own emphasis, without links, which cannot nest."""
    matcher = Matcher()
    for waiting in inline.pending[bracket.pending - inline.pending_base :]:
        matcher.add(waiting)
    for index, words, _ in _anchors_in(inline, bracket):
        inline.pieces[index - inline.base] = words
    pieces = inline.pieces[bracket.index + 1 - inline.base :]
    return show_hidden("".join([piece if isinstance(piece, str) else piece.html() for piece in pieces]))


def _collapse(inline: Inline, bracket: Bracket, html: str, words: str, depth: int) -> None:
    """Put one piece in the place of all since the innermost bracket."""
    del inline.pieces[bracket.index - inline.base :]
    del inline.pending[bracket.pending - inline.pending_base :]
    while inline.anchors and inline.anchors[-1][0] >= bracket.index:
        inline.anchors.pop()
    inline.anchors.append((bracket.index, words, depth))
    inline.add(html)
    inline.revision += 1
    inline.drop_bracket()
