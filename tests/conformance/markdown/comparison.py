"""How our HTML is compared with that of the specifications' examples.

What is taken away or turned back, and why:

* `<figure class="code">` and its caption, around each code block: the caption names the language.
* The `<div class="table">` around each table; alignment by class instead of by the `align` attribute.
* `<p>` in the items of tight lists: whether a list is loose is a class on the child that shows it, because by then the
  items before it have been sent; a style sheet does the rest. Items without that class are stripped here by the rule
  that the style sheet has.
* What assistive technology and right-to-left text need: `dir`, `tabindex`, `aria-label`.
* White space between blocks, `<br />` for `<br>`, and the order of attributes: both sides are written again.
"""

from __future__ import annotations

import re

from webapp.markdown.tree import Element

_BLOCKS = "p|ul|ol|li|blockquote|pre|h[1-6]|hr|table|thead|tbody|tr|td|th|div|section|figure|figcaption"
_AROUND_BLOCK = re.compile(rf"\s*(</?(?:{_BLOCKS})(?:\s[^<>]*)?>)\s*")
_ADDED = re.compile(r' (?:class="loose"|dir="auto"|tabindex="0"|aria-label="Task")')
_LINES = re.compile(r"\n+")
_PRE = re.compile(r"(<pre>.*?</pre>)", re.S)
_VOID = re.compile(r"<(br|hr|img|input)([^<>]*?) ?/?>")
_CLASS = re.compile(r'<(t[dh]) class="(left|center|right)">')
_ATTRIBUTED = re.compile(r"<(input|img) ([^>]*)>")
_ATTRIBUTE = re.compile(r'[a-z]+(?:="[^"]*")?')


def as_specified(root: Element) -> str:
    """Write a tree as the specifications would."""
    return normal("".join(_specified(root, is_tight=False)))


def _specified(element: Element, *, is_tight: bool) -> list[str]:
    if element.replacement is not None:
        return _all_specified(element.replacement, is_tight=is_tight)
    inner = _all_specified(element.parts, is_tight=_is_tight(element) if element.name in ("ul", "ol") else is_tight)
    is_around = element.name == "figure" or (element.name == "div" and "table" in element.attributes)
    if is_around or (element.name == "p" and is_tight):
        return ["\n", *inner, "\n"]
    attributes = _ADDED.sub("", element.attributes)
    opening = f"<{element.name}{attributes}>" if element.name else ""
    return [opening, *inner, element.closing()]


def _all_specified(parts: list[str | Element], *, is_tight: bool) -> list[str]:
    found: list[str] = []
    for part in parts:
        if isinstance(part, str):
            if part.startswith("<figcaption>"):
                continue
            found.append(_CLASS.sub(r'<\1 align="\2">', _ADDED.sub("", part)))
        else:
            found += _specified(part, is_tight=is_tight and part.name != "blockquote")
    return found


def _is_tight(listing: Element) -> bool:
    return not any(_is_loose(item) or _has_loose_child(item) for item in listing.parts)


def _has_loose_child(item: str | Element) -> bool:
    return not isinstance(item, str) and any(_is_loose(child) for child in item.parts)


def _is_loose(part: str | Element) -> bool:
    if isinstance(part, str):
        return 'loose"' in part
    return "loose" in part.attributes or any(_is_loose(new) for new in part.replacement or [])


def normal(html: str) -> str:
    """Write HTML so that only differences that a reader could see are left."""
    html = _VOID.sub(r"<\1\2>", html)
    html = _ATTRIBUTED.sub(_with_sorted_attributes, html)
    parts = _PRE.split(html)
    parts[::2] = [_LINES.sub("\n", _AROUND_BLOCK.sub(r"\1", part)) for part in parts[::2]]
    return "".join(parts).strip()


def _with_sorted_attributes(match: re.Match[str]) -> str:
    attributes = sorted(attribute.removesuffix('=""') for attribute in _ATTRIBUTE.findall(match[2]))
    return f"<{match[1]} {' '.join(attributes)}>"
