"""What a server says of itself for tools, as a judge of what it answers."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import httpx
from jsonschema import Draft202012Validator

from tests.clients import EventStream


def strict(schema: Any) -> Any:
    """Let objects have nothing but what is named: a program may pass over more, but all that comes should be named."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {"additionalProperties": False} if schema.get("type") == "object" and "properties" in schema else {}
    return {**{name: strict(each) for name, each in schema.items()}, **closed}


@dataclass
class Described:
    """The documents that a server gives."""

    openapi: dict[str, Any]
    asyncapi: dict[str, Any]

    @classmethod
    async def of(cls, reader: httpx.AsyncClient) -> Described:
        return cls((await reader.get("/openapi.json")).json(), (await reader.get("/asyncapi.json")).json())

    def operation(self, method: str, path: str) -> dict[str, Any]:
        """Give what is said of an address; one that is written out comes before one with parts to be filled in."""
        fitting = [each for each in self.openapi["paths"] if re.fullmatch(re.sub(r"{\w+}", "[^/]+", each), path)]
        found: dict[str, Any] = self.openapi["paths"][min(fitting, key=lambda each: each.count("{"))][method.lower()]
        return found

    def faults(self, answer: httpx.Response) -> list[str]:
        """Tell in what an answer, read to its end, is not as it is described."""
        responses = self.operation(answer.request.method, answer.request.url.path)["responses"]
        status = str(answer.status_code)
        if status not in responses and answer.status_code < 400:
            return [f"the status {status}"]
        said = responses.get(status, responses["default"])
        missing = [f"no {name}" for name in said.get("headers", {}) if name not in answer.headers]
        return missing + self._body_faults(answer, said.get("content", {}))

    def _body_faults(self, answer: httpx.Response, content: dict[str, Any]) -> list[str]:
        media_type = answer.headers.get("content-type", "").partition(";")[0]
        if not content and not answer.content:
            return []
        said = content.get(media_type, content.get("*/*"))
        if said is None:
            return [f"a body of {media_type}"]
        schema = said["schema"]
        if media_type == "application/x-ndjson":
            return [fault for line in answer.text.splitlines() for fault in self.shape_faults(schema, json.loads(line))]
        if media_type == "text/event-stream":
            return self._event_faults(answer)
        return self.shape_faults(schema, answer.json() if media_type == "application/json" else answer.text)

    def _event_faults(self, answer: httpx.Response) -> list[str]:
        messages = self.asyncapi["components"]["messages"]
        shapes = {messages[name].get("name", ""): messages[name]["payload"] for name in ("Fragment", "Ended")}
        events = list(EventStream().feed(answer.text))
        return [fault for event in events for fault in self.shape_faults(shapes[event.name], event.data)]

    def shape_faults(self, schema: dict[str, Any], value: object) -> list[str]:
        """Tell in what a value has not a schema of either document."""
        judge = Draft202012Validator(
            strict({"components": {"schemas": self.openapi["components"]["schemas"]}, **schema})
        )
        return [error.message for error in judge.iter_errors(value)]

    def message_faults(self, channel: str, action: str, message: str) -> list[str]:
        """Tell in what a message over a socket is none of those that an operation of AsyncAPI has."""
        told = self.asyncapi["operations"][f"{channel}_{action}"]["messages"]
        shapes = [self.asyncapi["components"]["messages"][each["$ref"].rpartition("/")[2]] for each in told]
        values = [json.loads(message) if "json" in shape["contentType"] else message for shape in shapes]
        found = [self.shape_faults(shape["payload"], value) for shape, value in zip(shapes, values, strict=True)]
        return [] if [] in found else [fault for faults in found for fault in faults]
