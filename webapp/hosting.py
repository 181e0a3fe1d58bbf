"""Templates for the pages of the app that this one is mounted in, by which they have the chat in them."""

from __future__ import annotations

from functools import cache

from jinja2 import BaseLoader, DictLoader, PrefixLoader

from webapp.assets import Assets
from webapp.folders import STATIC, TEMPLATES
from webapp.rendering import Renderer


def host_templates(path: str) -> BaseLoader:
    """Give a loader of `rill/chat.html`, the chat, and `rill/head.html`, the htmx that it needs.

    `path` is the whole path that the app is mounted at, such as `/assistant`. The first goes where the chat is to be,
    the second into the head of a page that has no htmx 4 with its extensions for sockets and SSE.
    """
    return PrefixLoader({"rill": DictLoader({f"{name}.html": _rendered(name, path) for name in ("chat", "head")})})


@cache
def _rendered(name: str, path: str) -> str:
    return Renderer(TEMPLATES).render(f"host/{name}.html", base=path.rstrip("/"), assets=_assets())


@cache
def _assets() -> Assets:
    return Assets(STATIC)
