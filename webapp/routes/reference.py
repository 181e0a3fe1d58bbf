"""The reference of the addresses that programs use, made of the route table and of the routes' own docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any

from starlette.routing import BaseRoute, Route, WebSocketRoute

from webapp.routes import attachments, conversations, embeds, exports, lists, messages, operations, turns

FOR_PROGRAMS: tuple[Callable[..., Any], ...] = (
    messages.create_first,
    messages.create,
    conversations.stream,
    conversations.socket,
    turns.stop,
    turns.retry,
    turns.go_on,
    turns.show_branch,
    conversations.show,
    attachments.attach,
    attachments.detach,
    messages.delete,
    messages.rate,
    lists.change,
    lists.search,
    exports.conversation,
    exports.everything,
    exports.bring,
    embeds.begin,
    operations.tutorial,
    operations.healthz,
    operations.readyz,
)
"""In the order in which one comes to need them. The others are pages, and what pages are made of."""

_ADDRESSES = re.compile(r"`([A-Z]+) (/[^`?]*)(\?[^`]*)?`(?:, |: | )?")


def markdown_table(routes: Iterable[BaseRoute]) -> str:
    """Give the table of docs/programs.md; a test holds the page to it."""
    served = with_endpoints(routes)
    rows = ["| Address | Scope | What it does |", "| --- | --- | --- |"]
    for endpoint in FOR_PROGRAMS:
        named, said = described(endpoint)
        scopes = {scope_of(route) for route in served if route.endpoint is endpoint}
        shown = ", ".join(f"`{address}{query}`" for address, query in named)
        rows.append(f"| {shown} | {', '.join(f'`{scope}`' for scope in sorted(scopes))} | {said} |")
    return "\n".join(rows)


def described(endpoint: Callable[..., Any]) -> tuple[list[tuple[str, str]], str]:
    """Read a route's docstring: its addresses, each with its query, and what it says of them."""
    rest, named = " ".join((inspect.getdoc(endpoint) or "").split()), []
    while found := _ADDRESSES.match(rest):
        named.append((f"{found[1]} {found[2]}", found[3] or ""))
        rest = rest[found.end() :]
    return named, rest[:1].upper() + rest[1:]


def addresses(endpoint: Callable[..., Any], routes: Iterable[BaseRoute]) -> list[str]:
    """Give the addresses that the route table has for a route, as its docstring should name them."""
    found = [route for route in with_endpoints(routes) if route.endpoint is endpoint]
    return [f"{method_of(route)} {route.path.replace('{conversation_id}', '{id}')}" for route in found]


def with_endpoints(routes: Iterable[BaseRoute]) -> list[Route | WebSocketRoute]:
    """Leave out what is mounted: programs have keys, and need no visits."""
    return [route for route in routes if isinstance(route, Route | WebSocketRoute)]


def method_of(route: Route | WebSocketRoute) -> str:
    """Give the one method of a route."""
    return "WS" if isinstance(route, WebSocketRoute) else min((route.methods or set()) - {"HEAD"})


def scope_of(route: Route | WebSocketRoute) -> str:
    """Give the scope that a key needs there; see `webapp.security`."""
    return "read" if method_of(route) == "GET" else "ask"


def name_of(route: Route | WebSocketRoute) -> str:
    """Give a name that no other route has."""
    module, place = route.endpoint.__module__.rpartition(".")[2], "conversation_id" in route.path
    return f"{module}_{route.endpoint.__name__}_{method_of(route).lower()}{'_in_conversation' if place else ''}"
