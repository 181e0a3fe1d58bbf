"""A page as htmx keeps it: all targets of a batch are looked up before the first operation is applied."""

from __future__ import annotations

import re
from collections.abc import Sequence

from turbohtml import Element, parse_fragment

from webapp.markdown import MarkdownStream, Op

_OUR_ID = re.compile(r" id=\"?m[bt][0-9]+\"?")
_ANY_ID = re.compile(r" id=\"m[bt]?-?[0-9]+\"")
_MARKER = re.compile(r"<(i|template) id=\"m-[0-9]+\"></\1>")
_TAG = re.compile("<(/?)([a-z0-9]+)")
_TAIL = re.compile(r"<span id=\"?mt[0-9]+\"?>")


class Page:
    """The element with the id `m`, and what it holds; its parser is that of a browser, in a `<template>`."""

    def __init__(self, html: str) -> None:
        self.root = _parsed(f'<div id="m">{html}</div>')

    def apply(self, ops: Sequence[Op]) -> None:
        """Apply a batch that comes in its turn, or raise AssertionError if a browser could not."""
        targets = [self._find(op.target_id) for op in ops]
        assert len({op.target_id for op in ops}) == len(targets), "an element is the target of two operations"
        for target, op in zip(targets, ops, strict=True):
            assert _is_balanced(op.html), op.html
            target.replace_with(*_parsed(op.html).children)

    def receive(self, ops: Sequence[Op]) -> None:
        """Apply a batch that may come late or again, as htmx does: what it aims at may be gone."""
        targets = [self.root.select(f'[id="{op.target_id}"]') for op in ops]
        for found, op in zip(targets, ops, strict=True):
            assert len(found) < 2
            if found:
                found[0].replace_with(*_parsed(op.html).children)

    def clear_markers(self) -> None:
        """Take away the markers that are left, once everything has come."""
        for marker in self._find("m").select(MarkdownStream.MARKERS):
            marker.decompose()

    def visible(self) -> str:
        """Give what a reader sees now, without our ids and markers."""
        return _parsed(_ANY_ID.sub("", _MARKER.sub("", self._find("m").inner_html))).inner_html

    def html(self) -> str:
        """Give the page without our ids and tails, in a form in which equal pages are equal."""
        return normal(self._find("m").inner_html)

    def _find(self, target_id: str) -> Element:
        found = self.root.select(f'[id="{target_id}"]')
        assert len(found) == 1, f"{len(found)} elements have the id {target_id}"
        return found[0]


def _is_balanced(html: str) -> bool:
    """Say whether each tag in a fragment ends in it."""
    open_tags: list[str] = []
    for slash, name in _TAG.findall(html):
        if slash and (not open_tags or open_tags.pop() != name):
            return False
        if not slash and name not in ("br", "hr", "img", "input"):
            open_tags.append(name)
    return not open_tags


def normal(html: str) -> str:
    """Give HTML as a browser holds it, without ids of ours."""
    bare = _OUR_ID.sub("", html)
    assert not _TAIL.search(html), "a tail is left"
    return _parsed(bare).inner_html


def has_tail(html: str) -> bool:
    """Say whether something in the HTML may still change."""
    return _TAIL.search(html) is not None


def _parsed(html: str) -> Element:
    return parse_fragment(html, "template")
