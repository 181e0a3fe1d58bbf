"""The shapes of `webapp.wire` as JSON Schema, for the machine-readable reference."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from typing import Any

from pydantic import TypeAdapter

from webapp import wire

Document = dict[str, Any]
TEXT = ""
"""Stands in the place of a shape's name for text that is no JSON."""
_PLACE = "#/components/schemas/"
_WIRE = {name: getattr(wire, name) for name in wire.__all__}


def about() -> Document:
    """Say what is described."""
    return {
        "title": "Rill",
        "version": version("rill"),
        "description": "What programs ask of a running Rill. docs/programs.md says it in words.",
        "license": {"name": "MIT"},
    }


def key_scheme() -> Document:
    """Describe how a program shows its key."""
    said = "A key that `rill key create` printed. Without one a program is the reader of its cookie, as a browser is."
    return {"type": "http", "scheme": "bearer", "description": said}


def reference(shape: str) -> Document:
    """Point to one of the `schemas`, or say that something is text."""
    return {"$ref": f"{_PLACE}{shape}"} if shape else {"type": "string"}


@cache
def schema_of(shape: Any) -> Document:
    """Give the schema of one shape by itself."""
    return TypeAdapter(shape).json_schema()


@cache
def schemas() -> Document:
    """Give the schema of each shape, under its name."""
    shapes: dict[str, TypeAdapter[Any]] = {name: TypeAdapter(shape) for name, shape in _WIRE.items()}
    named, rest = TypeAdapter.json_schemas(
        [(name, "serialization", adapter) for name, adapter in shapes.items()], ref_template=f"{_PLACE}{{model}}"
    )
    own = {name: schema for (name, _), schema in named.items() if schema.get("$ref") != f"{_PLACE}{name}"}
    found = {**rest.get("$defs", {}), **own}
    found["Rating"]["patternProperties"] = {wire.COMMENT: {"type": "string"}}  # No type can say that.
    return found
