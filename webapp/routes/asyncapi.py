"""What streams to programs, as AsyncAPI 3.0: a reply, a conversation's fragments, and the protocol of the tutorials.

It is made of the route table, the routes' docstrings and the types of `webapp.wire`. Source: AsyncAPI 3.0.0,
https://www.asyncapi.com/docs/reference/specification/v3.0.0.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.routing import BaseRoute, Route, WebSocketRoute

from webapp.routes import conversations, messages, operations
from webapp.routes.reference import described, method_of, name_of, with_endpoints
from webapp.routes.schemas import Document, about, key_scheme, reference, schemas


@dataclass(frozen=True, slots=True)
class Stream:
    """What goes over a route: the names of messages that programs are told, and of those that they send."""

    tells: tuple[str, ...]
    takes: tuple[str, ...] = ()


_REPLY = ("Chunk", "Done", "Failure", "Fragment", "Ended")
STREAMS: Mapping[Callable[..., Any], Stream] = {
    messages.create_first: Stream(_REPLY, ("FirstPrompt",)),
    messages.create: Stream(_REPLY, ("Prompt",)),
    conversations.stream: Stream(("Fragment",)),
    conversations.socket: Stream(("Fragment",), ("Prompt",)),
    operations.tutorial: Stream(("Chunk", "TutorialDone", "TutorialFailure"), ("TutorialPrompt",)),
}
_EVENTS: Document = {
    "Fragment": {
        "summary": "HTML: one or more <hx-partial>, each with the element whose place its content takes.",
        "contentType": "text/html",
        "payload": {"type": "string", "pattern": "^<hx-partial "},
    },
    "Ended": {
        "summary": "The Server-Sent Event `done`, after the last fragment of a reply: where the reply is.",
        "name": "done",
        "contentType": "text/plain",
        "payload": {"type": "string", "pattern": "^/.*/c/[^/]+#|^/c/[^/]+#"},
    },
}


def asyncapi(routes: Iterable[BaseRoute], origin: str, start: str) -> Document:
    """Describe what streams from an app at an origin, such as `http://127.0.0.1:8000`, mounted at the path `start`."""
    streaming = [route for route in with_endpoints(routes) if route.endpoint in STREAMS]
    return {
        "asyncapi": "3.0.0",
        "info": about(),
        "servers": _servers(origin, start),
        "channels": {name_of(route): _channel(route) for route in streaming},
        "operations": {name: each for route in streaming for name, each in _operations(route).items()},
        "components": {
            "schemas": schemas(),
            "messages": _messages(),
            "securitySchemes": {"key": key_scheme()},
        },
    }


def _servers(origin: str, start: str) -> Document:
    protocol, _, host = origin.partition("://")
    shared = {"host": host, "pathname": start or "/", "security": [{"$ref": "#/components/securitySchemes/key"}]}
    sockets = {"http": "ws", "https": "wss"}[protocol]
    return {"requests": {"protocol": protocol, **shared}, "sockets": {"protocol": sockets, **shared}}


def _channel(route: Route | WebSocketRoute) -> Document:
    server = "sockets" if isinstance(route, WebSocketRoute) else "requests"
    shown = (*STREAMS[route.endpoint].tells, *_taken(route))
    parameters: Document = {name: {} for name in re.findall(r"{(\w+)}", route.path)}
    return {
        "address": route.path,
        "description": described(route.endpoint)[1],
        "servers": [{"$ref": f"#/servers/{server}"}],
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in shown},
        **({"parameters": parameters} if parameters else {}),
    }


def _operations(route: Route | WebSocketRoute) -> Document:
    names = {"send": STREAMS[route.endpoint].tells, "receive": _taken(route)}
    return {f"{name_of(route)}_{action}": _operation(route, action, told) for action, told in names.items() if told}


def _operation(route: Route | WebSocketRoute, action: str, names: Iterable[str]) -> Document:
    channel = f"#/channels/{name_of(route)}"
    http = {"bindings": {"http": {"method": method_of(route), "bindingVersion": "0.3.0"}}}
    return {
        "action": action,
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{name}"} for name in names],
        **(http if isinstance(route, Route) else {}),
    }


def _taken(route: Route | WebSocketRoute) -> list[str]:
    """Give what programs send there: no further prompt without a conversation."""
    is_first = "conversation_id" not in route.path
    return [name for name in STREAMS[route.endpoint].takes if not (is_first and name == "Prompt")]


def _messages() -> Document:
    names = {name for stream in STREAMS.values() for name in (*stream.tells, *stream.takes)} - set(_EVENTS)
    told = {name: {"contentType": "application/json", "payload": reference(name)} for name in sorted(names)}
    return {**_EVENTS, **told}
