"""The interfaces for programs as other programs read them: OpenAPI for requests, AsyncAPI for what streams.

Both are made of the route table, the routes' docstrings and the types of `webapp.wire`. Sources: OpenAPI 3.1.1,
https://spec.openapis.org/oas/v3.1.1; AsyncAPI 3.0.0, https://www.asyncapi.com/docs/reference/specification/v3.0.0.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from webapp import wire
from webapp.routes import attachments, conversations, exports, lists, messages, operations, turns
from webapp.routes.reference import FOR_PROGRAMS, described, scope_of, with_endpoints
from webapp.services import base

Document = dict[str, Any]
_SCHEMAS = "#/components/schemas/"
_WIRE = {name: getattr(wire, name) for name in wire.__all__}


@dataclass(frozen=True, slots=True)
class Interface:
    """What a route takes and gives: the names of shapes in `webapp.wire`, of query fields and of media types.

    Without `gives` it answers 204 and nothing else.
    """

    takes: str = ""
    takes_files: bool = False
    query: tuple[str, ...] = ()
    gives: Mapping[str, str] | None = None
    status: int = 200


TEXT = ""
_STREAMS = {"application/x-ndjson": "Event", "text/event-stream": TEXT}
INTERFACES: Mapping[Callable[..., Any], Interface] = {
    messages.create_first: Interface("FirstPrompt", gives=_STREAMS),
    messages.create: Interface("Prompt", gives=_STREAMS),
    messages.delete: Interface("MessageNumber"),
    messages.rate: Interface("Rating"),
    conversations.stream: Interface(gives={"text/event-stream": TEXT}),
    conversations.show: Interface(query=("raw", "attachment"), gives={"text/html": TEXT, "*/*": TEXT}),
    turns.stop: Interface(),
    turns.retry: Interface("Retry"),
    turns.go_on: Interface("ReplyNumber"),
    turns.show_branch: Interface("MessageNumber"),
    attachments.attach: Interface(takes_files=True, gives={"application/json": "Attached"}, status=201),
    attachments.detach: Interface("Dropped"),
    lists.change: Interface("ListChange"),
    lists.search: Interface(query=("q",), gives={"text/html": TEXT}),
    exports.conversation: Interface(
        query=("as",), gives={"text/markdown": TEXT, "text/html": TEXT, "application/json": TEXT}
    ),
    exports.everything: Interface(gives={"application/zip": TEXT}),
    exports.bring: Interface(takes_files=True, gives={"application/json": "Imported"}, status=201),
    operations.healthz: Interface(gives={"application/json": "Health"}),
    operations.readyz: Interface(gives={"application/json": "Readiness"}),
}


async def show_openapi(request: Request) -> JSONResponse:
    """`GET /openapi.json`: this reference of requests, as OpenAPI 3.1."""
    return JSONResponse({**openapi(request.app.routes), "servers": [{"url": base(request) or "/"}]})


async def show_asyncapi(request: Request) -> JSONResponse:
    """`GET /asyncapi.json`: and of what streams, as AsyncAPI 3.0."""
    return JSONResponse(asyncapi(base(request)))


def openapi(routes: Iterable[BaseRoute]) -> Document:
    """Describe what programs ask by HTTP."""
    paths: dict[str, Document] = {}
    for route in with_endpoints(routes):
        if isinstance(route, Route) and route.endpoint in FOR_PROGRAMS:
            method = min((route.methods or set()) - {"HEAD"}).lower()
            paths.setdefault(route.path, {})[method] = _operation(route, method)
    return {
        "openapi": "3.1.1",
        "info": _info(),
        "security": [{"key": []}, {}],
        "paths": paths,
        "components": {"schemas": _schemas(), "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
    }


def _operation(route: Route, method: str) -> Document:
    interface, (_, said) = INTERFACES[route.endpoint], described(route.endpoint)
    module = route.endpoint.__module__.rpartition(".")[2]
    place = "_in_conversation" if "conversation_id" in route.path else ""
    operation: Document = {
        "operationId": f"{module}_{route.endpoint.__name__}_{method}{place}",
        "tags": [module],
        "description": f"{said} Needs a key's scope `{scope_of(route)}`, or a cookie.",
        "parameters": [*_parameters(route.path), *(_parameter("query", name) for name in interface.query)],
        "responses": {**_answers(interface), "default": _answer("What failed.", {"application/json": "Failure"})},
    }
    body = _body(interface)
    return {**operation, "requestBody": {"required": True, "content": body}} if body else operation


def _parameters(path: str) -> list[Document]:
    return [_parameter("path", name) for name in re.findall(r"{(\w+)}", path)]


def _parameter(place: str, name: str) -> Document:
    return {"name": name, "in": place, "required": place == "path", "schema": {"type": "string"}}


def _body(interface: Interface) -> Document:
    if interface.takes_files:
        files = {"type": "array", "items": {"type": "string", "format": "binary"}}
        return {"multipart/form-data": {"schema": {"type": "object", "properties": {"file": files}}}}
    if not interface.takes:
        return {}
    return {kind: _content(interface.takes) for kind in ("application/json", "application/x-www-form-urlencoded")}


def _answers(interface: Interface) -> Document:
    if interface.gives is not None:
        return {str(interface.status): _answer("What was asked for.", interface.gives)}
    return {"204": {"description": "It is done."}}


def _answer(said: str, gives: Mapping[str, str]) -> Document:
    return {"description": said, "content": {kind: _content(shape) for kind, shape in gives.items()}}


def _content(shape: str) -> Document:
    return {"schema": {"$ref": f"{_SCHEMAS}{shape}"} if shape else {"type": "string"}}


def asyncapi(start: str = "") -> Document:
    """Describe what streams: a reply as lines, a conversation's fragments, and the protocol of the tutorials.

    `start` is the path that the app is mounted at.
    """
    fragment = {"contentType": "text/html", "payload": {"type": "string"}, "summary": "One or more <hx-partial>."}
    shown = ("Chunk", "Done", "Failure", "TutorialDone", "TutorialFailure", "Prompt", "TutorialPrompt")
    return {
        "asyncapi": "3.0.0",
        "info": _info(),
        "channels": {
            "lines": _channel(f"{start}/c/{{conversation_id}}/messages", "Chunk", "Done", "Failure"),
            "feed": _channel(f"{start}/c/{{conversation_id}}/stream", "Fragment", "Prompt"),
            "tutorial": _channel(f"{start}/chat", "Chunk", "TutorialDone", "TutorialFailure", "TutorialPrompt"),
        },
        "operations": {
            "tellReply": _does("send", "lines", "Chunk", "Done", "Failure"),
            "tellFragments": _does("send", "feed", "Fragment"),
            "takePrompt": _does("receive", "feed", "Prompt"),
            "tellTutorial": _does("send", "tutorial", "Chunk", "TutorialDone", "TutorialFailure"),
            "takeTutorialPrompt": _does("receive", "tutorial", "TutorialPrompt"),
        },
        "components": {
            "schemas": _schemas(),
            "messages": {
                "Fragment": fragment,
                **{name: {"payload": {"$ref": f"{_SCHEMAS}{name}"}} for name in shown},
            },
        },
    }


def _channel(address: str, *names: str) -> Document:
    messages = {name: {"$ref": f"#/components/messages/{name}"} for name in names}
    channel: Document = {"address": address, "messages": messages}
    return {**channel, "parameters": {"conversation_id": {}}} if "{" in address else channel


def _does(action: str, channel: str, *names: str) -> Document:
    told = [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in names]
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "messages": told}


def _info() -> Document:
    return {
        "title": "Rill",
        "version": version("rill"),
        "description": "What programs ask of a running Rill. docs/programs.md says it in words.",
        "license": {"name": "MIT"},
    }


@cache
def _schemas() -> Document:
    shapes: dict[str, TypeAdapter[Any]] = {name: TypeAdapter(shape) for name, shape in _WIRE.items()}
    named, rest = TypeAdapter.json_schemas(
        [(name, "serialization", adapter) for name, adapter in shapes.items()], ref_template=f"{_SCHEMAS}{{model}}"
    )
    own = {name: schema for (name, _), schema in named.items() if schema.get("$ref") != f"{_SCHEMAS}{name}"}
    return {**rest.get("$defs", {}), **own}
