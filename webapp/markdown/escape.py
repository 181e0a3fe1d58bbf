"""Text to HTML: the only place where a character of the source becomes markup."""

from __future__ import annotations

import re

_UNSAFE = re.compile('[&<>"]')
_AS_ENTITY = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"})

_HIDDEN = re.compile(
    "[\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
"""Characters that turn the direction of text or cannot be seen; Trojan Source (CVE-2021-42574) and its kin."""

_TAG = re.compile("<[^>]*+>")


def escape(text: str) -> str:
    """Escape for text and for double-quoted attribute values alike.

    `<` and `>` are escaped in attributes too: htmx rewrites `<hx-...` by a regular expression before it parses.
    """
    return text.translate(_AS_ENTITY) if _UNSAFE.search(text) else text


def show_hidden(html: str) -> str:
    """Make characters that hide or turn text visible, in text or HTML, as `⟨U+202E⟩`."""
    return _HIDDEN.sub(_shown, html) if _HIDDEN.search(html) else html


def has_hidden(text: str) -> bool:
    """Say whether a text has characters that `show_hidden` would show."""
    return _HIDDEN.search(text) is not None


def without_tags(html: str) -> str:
    """Give the text of HTML that this package wrote; `>` is escaped in it wherever it is not the end of a tag."""
    return _TAG.sub("", html)


def _shown(match: re.Match[str]) -> str:
    return f"\u27e8U+{ord(match[0]):04X}\u27e9"
