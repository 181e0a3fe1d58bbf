"""What becomes of HTML that goes to a chat of an embed's, or to one in a page of other people's, an inset.

The fragments of a feed are made once, for all pages that follow it. Those of our own have htmx set up as they need it,
and addresses that begin where the conversation's does; a page of other people's has neither. Which model answers is
not for an embed's visitors.
"""

from __future__ import annotations

import re

from webapp import ids
from webapp.pages import Page

_PLAIN = re.compile(r'<hx-partial id=("?)([^" >]+)\1>')
"""One that leaves to the page's own configuration how it is applied."""
_SWAP = re.compile(r'(<hx-partial [^<>]*hx-swap="\w+)"')
_RELATIVE = re.compile(r'(<(?:a|img)\s[^<>]*?\b(?:href|src)=")(\?|\.\./)')
"""Begins inside a tag: what people or models write has no `<` left."""
_KEY = re.compile(r'(<(?:button|textarea)\s[^<>]*?) accesskey="\w"')
"""Keys are those of the page around an inset."""
_WITHHELD = re.compile(
    r'<small class="took">[^<>]*</small>\n?|<button [^<>]*\bname="reply-by"[^<>]*>[^<>]*</button>\n?'
)
"""What says which models there are."""


def fitted(page: Page, html: str) -> str:
    """Give a page, or fragments, as those who get them need and may have them."""
    html = html if page.embed is None else _WITHHELD.sub("", html)
    return _set_in(page, html) if page.is_inset else html


def _set_in(page: Page, html: str) -> str:
    """Say in each fragment what an own page says once.

    What links show does so in a tab of its own: the page around an inset is not for us to leave.
    """
    starts = {"?": f"{page.conversation_url}?", "../": f"{page.base}/"}

    def whole(found: re.Match[str]) -> str:
        return found[1].replace("<a ", '<a target="_blank" ', 1) + starts[found[2]]

    html = _SWAP.sub(r'\1 settle:0 transition:false"', _PLAIN.sub(r'<hx-partial id="\2" hx-swap="outerHTML">', html))
    return _KEY.sub(r"\1", _RELATIVE.sub(whole, html))


def replaced(html: str) -> str:
    """Give the fragment that puts an inset in the place of the one that is there."""
    return f'<hx-partial id="{ids.INSET}">{html}</hx-partial>'
