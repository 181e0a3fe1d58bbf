"""What programs ask by HTTP, as OpenAPI 3.1.

It is made of the route table, the routes' docstrings and the types of `webapp.wire`. Source: OpenAPI 3.1.1,
https://spec.openapis.org/oas/v3.1.1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.routing import BaseRoute, Route

from webapp import wire
from webapp.routes import attachments, conversations, embeds, exports, lists, messages, operations, turns
from webapp.routes.reference import FOR_PROGRAMS, described, method_of, name_of, scope_of, with_endpoints
from webapp.routes.schemas import TEXT, Document, about, key_scheme, reference, schema_of, schemas


@dataclass(frozen=True, slots=True)
class Interface:
    """What a route takes and gives: the names of shapes in `webapp.wire`, by media type.

    Without `gives` it answers 204 and nothing else. `query` is the shape of what stands in the address, `hears` and
    `tells` are headers of the request and the answer, `otherwise` what other statuses give in place of a `Failure`.
    """

    takes: str = ""
    takes_files: bool = False
    query: Any = None
    hears: tuple[str, ...] = ()
    gives: Mapping[str, str] | None = None
    status: int = 200
    said: str = "What was asked for."
    tells: tuple[str, ...] = ()
    otherwise: Mapping[int, str] = field(default_factory=dict)


_STREAMS: Mapping[str, Any] = {
    "query": wire.PromptQuery,
    "takes_files": True,
    "gives": {"application/x-ndjson": "Event", "text/event-stream": TEXT},
    "said": "The reply as it comes: lines of which each is an `Event`, or the events that /asyncapi.json describes.",
    "tells": ("Location",),
}
INTERFACES: Mapping[Callable[..., Any], Interface] = {
    messages.create_first: Interface("FirstPrompt", **_STREAMS),
    messages.create: Interface("Prompt", **_STREAMS),
    messages.delete: Interface("MessageNumber"),
    messages.rate: Interface("Rating"),
    conversations.stream: Interface(hears=("Last-Event-ID",), gives={"text/event-stream": TEXT}),
    conversations.show: Interface(query=wire.ConversationQuery, gives={"text/html": TEXT, "*/*": TEXT}),
    turns.stop: Interface(),
    turns.retry: Interface("Retry"),
    turns.go_on: Interface("ReplyNumber"),
    turns.show_branch: Interface("MessageNumber"),
    attachments.attach: Interface(takes_files=True, gives={"application/json": "Attached"}, status=201),
    attachments.detach: Interface("Dropped"),
    lists.change: Interface("ListChange"),
    lists.search: Interface(query=wire.SearchQuery, gives={"text/html": TEXT}),
    exports.conversation: Interface(
        query=wire.ExportQuery, gives={"text/markdown": TEXT, "text/html": TEXT, "application/json": "Exported"}
    ),
    exports.everything: Interface(gives={"application/zip": TEXT}),
    exports.bring: Interface(takes_files=True, gives={"application/json": "Imported"}, status=201),
    embeds.begin: Interface(query=wire.VisitQuery, gives={"application/json": "BegunVisit"}),
    operations.healthz: Interface(gives={"application/json": "Health"}),
    operations.readyz: Interface(gives={"application/json": "Readiness"}, otherwise={503: "Readiness"}),
}


def openapi(routes: Iterable[BaseRoute], start: str) -> Document:
    """Describe what programs ask of an app that is mounted at the path `start`."""
    paths: dict[str, Document] = {}
    for route in with_endpoints(routes):
        if isinstance(route, Route) and route.endpoint in FOR_PROGRAMS:
            paths.setdefault(route.path, {})[method_of(route).lower()] = _operation(route)
    return {
        "openapi": "3.1.1",
        "info": about(),
        "servers": [{"url": start or "/"}],
        "security": [{"key": []}, {}],
        "paths": paths,
        "components": {"schemas": schemas(), "securitySchemes": {"key": key_scheme()}},
    }


def _operation(route: Route) -> Document:
    interface, (_, said) = INTERFACES[route.endpoint], described(route.endpoint)
    operation: Document = {
        "operationId": name_of(route),
        "tags": [route.endpoint.__module__.rpartition(".")[2]],
        "description": f"{said} A key needs the scope `{scope_of(route)}` for it.",
        "parameters": [*_in_path(route.path), *_in_query(interface), *_in_headers(interface)],
        "responses": _answers(interface),
    }
    body = _body(interface)
    return {**operation, "requestBody": {"required": True, "content": body}} if body else operation


def _in_path(path: str) -> list[Document]:
    return [_parameter("path", name, {"type": "string"}, is_required=True) for name in re.findall(r"{(\w+)}", path)]


def _in_query(interface: Interface) -> list[Document]:
    if interface.query is None:
        return []
    schema = schema_of(interface.query)
    required = schema.get("required", [])
    return [
        _parameter("query", name, each, is_required=name in required) for name, each in schema["properties"].items()
    ]


def _in_headers(interface: Interface) -> list[Document]:
    return [_parameter("header", name, {"type": "string"}) for name in interface.hears]


def _parameter(place: str, name: str, schema: Document, *, is_required: bool = False) -> Document:
    return {"name": name, "in": place, "required": is_required, "schema": schema}


def _body(interface: Interface) -> Document:
    own = {"schema": reference(interface.takes)} if interface.takes else {}
    body = {kind: own for kind in ("application/json", "application/x-www-form-urlencoded") if own}
    if not interface.takes_files:
        return body
    files = {"type": "array", "items": {"type": "string", "format": "binary"}}
    form: Document = {"type": "object", "properties": {"file": files}}
    return {**body, "multipart/form-data": {"schema": {"allOf": [own["schema"], form]} if own else form}}


def _answers(interface: Interface) -> Document:
    good = {"204": {"description": "It is done."}}
    if interface.gives is not None:
        good = {str(interface.status): _answer(interface.said, interface.gives, interface.tells)}
    other = {
        str(status): _answer("It cannot be now.", {"application/json": shape})
        for status, shape in interface.otherwise.items()
    }
    return {**good, **other, "default": _answer("What failed.", {"application/json": "Failure"})}


def _answer(said: str, gives: Mapping[str, str], tells: Iterable[str] = ()) -> Document:
    headers = {name: {"schema": {"type": "string"}} for name in tells}
    content = {kind: {"schema": reference(shape)} for kind, shape in gives.items()}
    return {"description": said, **({"headers": headers} if headers else {}), "content": content}
