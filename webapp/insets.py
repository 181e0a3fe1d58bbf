"""What becomes of HTML that goes to a chat in a page of other people's, an inset.

The fragments of a feed are made once, for all pages that follow it. Those of our own have htmx set up as they need it,
and addresses that begin where the conversation's does; a page of other people's has neither.
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


def fitted(page: Page, html: str) -> str:
    """Give fragments as the page needs them: for an inset, with all that an own page says once.

    What its links show does so in a tab of its own: the page around it is not for us to leave.
    """
    if not page.is_inset:
        return html
    starts = {"?": f"{page.conversation_url}?", "../": f"{page.base}/"}

    def whole(found: re.Match[str]) -> str:
        return found[1].replace("<a ", '<a target="_blank" ', 1) + starts[found[2]]

    html = _SWAP.sub(r'\1 settle:0 transition:false"', _PLAIN.sub(r'<hx-partial id="\2" hx-swap="outerHTML">', html))
    return _RELATIVE.sub(whole, html)


def replaced(html: str) -> str:
    """Give the fragment that puts an inset in the place of the one that is there."""
    return f'<hx-partial id="{ids.INSET}">{html}</hx-partial>'
