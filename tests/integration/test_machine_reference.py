"""What other programs read of the interfaces is what the standards say it is, and what really comes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft7Validator, Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.clients import Gated, new_reader, socket
from tests.fakes import ROOT, ScriptedUpstream, rill_server
from webapp.routes.machine_reference import INTERFACES
from webapp.routes.reference import FOR_PROGRAMS

NDJSON, JSON = {"Accept": "application/x-ndjson"}, {"Accept": "application/json"}


@pytest.fixture
async def reader(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[httpx.AsyncClient]:
    upstream.script = lambda exchange: exchange.reply("Yes, ", "indeed.")
    settings = {"OPENAI_BASE_URL": upstream.base_url, "OPENAI_API_KEY": "k"}
    async with rill_server(tmp_path, **settings) as server, new_reader(server) as reader:
        yield reader


async def read(reader: httpx.AsyncClient, name: str) -> Any:
    answer = await reader.get(f"/{name}.json")
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


async def held_to(reader: httpx.AsyncClient, shape: str) -> Draft202012Validator:
    """Give what judges whether something has a shape of the served document's."""
    document = await read(reader, "openapi")
    return Draft202012Validator({**document, "$ref": f"#/components/schemas/{shape}"})


async def test_openapi_finds_nothing_wrong(reader: httpx.AsyncClient) -> None:
    document = await read(reader, "openapi")

    OpenAPIV31SpecValidator(document).validate()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len(operations) == len({operation["operationId"] for operation in operations}) > 20


async def test_asyncapi_finds_nothing_wrong(reader: httpx.AsyncClient) -> None:
    schema = json.loads((ROOT / "tests" / "payloads" / "asyncapi-3.0.0.json").read_text())
    document = await read(reader, "asyncapi")

    assert [error.message for error in Draft7Validator(schema).iter_errors(document)] == []
    # The schema lets references lead anywhere.
    references = [each.removeprefix("#/").split("/") for each in _references(document)]
    assert len(references) > 20
    for parts in references:
        found = document
        for part in parts:
            found = found[part]


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [each for inner in value.values() for each in _references(inner)]
    return [each for inner in value for each in _references(inner)] if isinstance(value, list) else []


def test_every_address_for_programs_is_in_it() -> None:
    sockets = {endpoint for endpoint in FOR_PROGRAMS if endpoint.__name__ in {"socket", "tutorial"}}

    assert set(INTERFACES) == set(FOR_PROGRAMS) - sockets


@pytest.mark.parametrize("how", ["finished", "stopped", "failed"])
async def test_the_lines_of_a_reply_are_events(reader: httpx.AsyncClient, upstream: ScriptedUpstream, how: str) -> None:
    is_event = await held_to(reader, "Event")
    lines = []
    gated = Gated(upstream, "One ", "two") if how == "stopped" else None
    if how == "failed":
        upstream.script = lambda exchange: exchange.json(401, {})
    async with reader.stream("POST", "/messages", json={"prompt": "Hello"}, headers=NDJSON) as answer:
        if gated is not None:
            await reader.post(f"{answer.headers['location']}/turn/stop", headers=JSON)
        lines = [json.loads(line) async for line in answer.aiter_lines()]

    assert [list(is_event.iter_errors(line)) for line in lines] == [[]] * len(lines)
    assert (lines[-1]["type"], lines[-1].get("state")) == (("error", None) if how == "failed" else ("done", how))
    assert not is_event.is_valid({"type": "chunk"})
    assert not is_event.is_valid({"type": "done", "state": "over", "cause": None})


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/messages", {}),
        ("POST", "/c/nothing/turn/retry", {"reply": 2}),
        ("GET", "/c/nothing", None),
        ("POST", "/c/nothing/messages", {"prompt": "Hello"}),
        ("POST", "/conversations", {"pin": "nothing"}),
    ],
)
async def test_every_refusal_is_a_failure(
    reader: httpx.AsyncClient, method: str, path: str, body: dict[str, object] | None
) -> None:
    is_failure = await held_to(reader, "Failure")
    answer = await reader.request(method, path, json=body, headers=JSON)

    assert answer.status_code >= 400
    assert list(is_failure.iter_errors(answer.json())) == []


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/messages", {"prompt": "Hello", "request_id": "1", "system_prompt": "Be kind.", "temperature": 0.5}),
        ("/c/{conversation_id}/messages", {"prompt": "More", "edits": 1, "attachments": []}),
        ("/c/{conversation_id}/messages/delete", {"message": 1}),
        ("/c/{conversation_id}/rating", {"good": 2}),
        ("/c/{conversation_id}/turn/retry", {"reply": 2}),
        ("/c/{conversation_id}/turn/continue", {"reply": 2}),
        ("/c/{conversation_id}/branch", {"message": 1}),
    ],
)
async def test_what_is_sent_as_it_says_is_taken(
    reader: httpx.AsyncClient, path: str, fields: dict[str, object]
) -> None:
    document = await read(reader, "openapi")
    begun = await reader.post("/messages", json={"prompt": "Hello"}, headers=NDJSON)
    schema = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    is_shape = Draft202012Validator({**document, **schema})
    place = path.format(conversation_id=begun.headers["location"].removeprefix("/c/"))
    answer = await reader.post(place, json=fields, headers=NDJSON)

    assert list(is_shape.iter_errors(fields)) == []
    assert answer.status_code < 300
    assert not is_shape.is_valid({name: {} for name in fields})


async def test_health_is_as_it_says(reader: httpx.AsyncClient) -> None:
    for path, shape in (("/healthz", "Health"), ("/readyz", "Readiness")):
        is_shape = await held_to(reader, shape)
        assert list(is_shape.iter_errors((await reader.get(path)).json())) == []


async def test_files_that_are_taken_are_told_as_it_says(reader: httpx.AsyncClient) -> None:
    is_attached, is_imported = await held_to(reader, "Attached"), await held_to(reader, "Imported")
    attached = await reader.post("/attachments", files={"file": ("one.txt", b"1")}, headers=JSON)
    dropped = await reader.post(
        "/attachments/drop", json={"drop": attached.json()["attachments"][0]["id"]}, headers=JSON
    )
    begun = await reader.post("/messages", json={"prompt": "Hello"}, headers=NDJSON)
    exported = await reader.get(f"{begun.headers['location']}/export?as=json")
    imported = await reader.post("/import", files={"file": ("rill.json", exported.content)}, headers=JSON)

    assert (attached.status_code, dropped.status_code, imported.status_code) == (201, 204, 201)
    assert list(is_attached.iter_errors(attached.json())) == []
    assert list(is_imported.iter_errors(imported.json())) == []


async def test_the_tutorials_protocol_is_as_asyncapi_says(
    reader: httpx.AsyncClient, upstream: ScriptedUpstream
) -> None:
    document = await read(reader, "asyncapi")
    is_event = Draft202012Validator({**document, "$ref": "#/components/schemas/TutorialEvent"})
    events: list[dict[str, Any]] = []
    async with socket(reader, "/chat") as chat:
        for last in ("done", "error"):
            await chat.send(json.dumps({"prompt": "Hello"}))
            while not events or events[-1]["type"] != last:
                events.append(json.loads(await chat.recv()))
            upstream.script = lambda exchange: exchange.json(401, {})

    assert [event["type"] for event in events if event["type"] != "chunk"] == ["done", "error"]
    assert [list(is_event.iter_errors(event)) for event in events] == [[]] * len(events)


async def test_below_a_path_the_addresses_begin_there(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    settings = {"OPENAI_BASE_URL": upstream.base_url, "OPENAI_API_KEY": "k", "RILL_ROOT_PATH": "/chat"}
    async with rill_server(tmp_path, **settings) as server, new_reader(server) as reader:
        assert (await read(reader, "openapi"))["servers"] == [{"url": "/chat"}]
        assert (await read(reader, "asyncapi"))["channels"]["tutorial"]["address"] == "/chat/chat"
