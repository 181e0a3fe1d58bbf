"""The lines that a page of another site needs to have a chat in it: HTML alone, without a script or a class of ours."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

_FRAME = Markup('<iframe src="{url}" title="{title}" width="380" height="600"></iframe>')
_BUTTON = Markup(
    """\
<details style="position: fixed; inset: auto 1rem 1rem auto; z-index: 1000">
  <summary style="display: block; padding: .75rem 1.25rem; border-radius: 2rem; background: {accent}; \
color: {on_accent}; font: 600 1rem system-ui; cursor: pointer; list-style: none; \
box-shadow: 0 2px 12px rgb(0 0 0 / .3)">{title}</summary>
  <iframe src="{url}" title="{title}" loading="lazy" style="position: absolute; \
inset: auto 0 calc(100% + .75rem) auto; inline-size: min(24rem, 100vw - 2rem); max-inline-size: none; \
block-size: min(38rem, 100dvh - 7rem); border: 1px solid rgb(128 128 128 / .4); \
border-radius: 1rem; box-shadow: 0 8px 32px rgb(0 0 0 / .3)"></iframe>
</details>"""
)
_FRAGMENT = Markup('<div hx-get="{url}" hx-trigger="load"></div>')
HTMX_CONFIG = Markup("""<meta name="htmx-config" content='{"mode": "cors", "selfRequestsOnly": false}'>""")
"""Without it htmx asks no other site: the first is for htmx 4, the second for those before."""


@dataclass(frozen=True, slots=True)
class Snippets:
    """What an operator copies: a frame, a button that opens it, and the lines for pages that have htmx."""

    frame: Markup
    button: Markup
    fragment: Markup


def snippets(url: str, title: str, accent: str, on_accent: str) -> Snippets:
    """Write them for the embed at `url`, with a button of these colours."""
    return Snippets(
        _FRAME.format(url=url, title=title),
        _BUTTON.format(url=url, title=title, accent=accent, on_accent=on_accent),
        Markup("\n").join([HTMX_CONFIG, _FRAGMENT.format(url=url)]),
    )
