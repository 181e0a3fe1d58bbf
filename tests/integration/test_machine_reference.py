"""What other programs read of the interfaces is what the standards say it is, and what really comes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft7Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.routing import WebSocketRoute

from tests.clients import EVENTS, LINES, Gated, ask, asking, following, new_reader, socket
from tests.described import Described
from tests.fakes import ROOT, Exchange, Script, ScriptedUpstream, rill_server
from webapp import wire
from webapp.routes.asyncapi import STREAMS
from webapp.routes.openapi import INTERFACES
from webapp.routes.reference import FOR_PROGRAMS
from webapp.routes.table import routes

JSON = {"Accept": "application/json"}
EMBEDS = """
[support]
origins = ["https://shop.example"]

[resting]
enabled = false
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    embeds = tmp_path_factory.mktemp("settings") / "embeds.toml"
    embeds.write_text(EMBEDS)
    return {"RILL_EMBEDS": str(embeds), "RILL_MODELS": "*"}


@pytest.fixture
async def described(reader: httpx.AsyncClient) -> Described:
    return await Described.of(reader)


def test_openapi_finds_nothing_wrong(described: Described) -> None:
    OpenAPIV31SpecValidator(described.openapi).validate()
    operations = [operation for path in described.openapi["paths"].values() for operation in path.values()]
    assert len(operations) == len({operation["operationId"] for operation in operations}) > 20


def test_asyncapi_finds_nothing_wrong(described: Described) -> None:
    schema = json.loads((ROOT / "tests" / "payloads" / "asyncapi-3.0.0.json").read_text())
    document = described.asyncapi

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


def test_every_address_for_programs_is_in_one_of_them() -> None:
    sockets = {route.endpoint for route in routes() if isinstance(route, WebSocketRoute)}

    assert set(INTERFACES) == set(FOR_PROGRAMS) - sockets
    assert sockets < set(STREAMS) <= set(FOR_PROGRAMS)


def test_every_shape_is_used(described: Described) -> None:
    used = _references([described.openapi, described.asyncapi])

    assert {each.rpartition("/")[2] for each in used if "/schemas/" in each} >= set(wire.__all__) - {"TutorialEvent"}


def test_both_say_how_a_key_is_shown(described: Described) -> None:
    for document in (described.openapi, described.asyncapi):
        scheme = document["components"]["securitySchemes"]["key"]
        assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    assert described.openapi["security"] == [{"key": []}, {}]


async def break_off(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.chunk("One ")
    exchange.reset()


ENDS: dict[str, Script] = {
    "finished": lambda exchange: exchange.reply("One ", "two\u2028\n\n```\nthree"),
    "cut": lambda exchange: exchange.reply("One ", reason="length"),
    "refused by the model": lambda exchange: exchange.json(401, {}),
    "broken off": break_off,
}
END = {
    "finished": '"state": "finished", "cause": null',
    "cut": '"state": "finished", "cause": "length"',
    "refused by the model": '"cause": "key_rejected"',
    "broken off": '"type": "error"',
}


@pytest.mark.parametrize("headers", [LINES, EVENTS], ids=["lines", "events"])
@pytest.mark.parametrize("how", ENDS)
async def test_a_reply_is_told_as_they_say(
    reader: httpx.AsyncClient, model: ScriptedUpstream, described: Described, how: str, headers: dict[str, str]
) -> None:
    model.script = ENDS[how]
    first = await reader.post("/messages", json={"prompt": "Hello"}, headers=headers)
    further = await reader.post(f"{first.headers['location']}/messages", json={"prompt": "Go on"}, headers=headers)

    for answer in (first, further):
        assert answer.status_code == 200
        assert described.faults(answer) == []
        assert END[how] in answer.text or "event: done" in answer.text


@pytest.mark.parametrize("headers", [LINES, EVENTS], ids=["lines", "events"])
async def test_a_reply_that_is_stopped_is_told_as_they_say(
    reader: httpx.AsyncClient, model: ScriptedUpstream, described: Described, headers: dict[str, str]
) -> None:
    Gated(model, "One ", "two").let()
    async with reader.stream("POST", "/messages", json={"prompt": "Hello"}, headers=headers) as answer:
        stopped = await reader.post(f"{answer.headers['location']}/turn/stop", headers=JSON)
        await answer.aread()

    assert (described.faults(answer), described.faults(stopped)) == ([], [])
    assert '"state": "stopped"' in answer.text or "event: done" in answer.text


async def test_the_feed_is_told_as_they_say(reader: httpx.AsyncClient, described: Described) -> None:
    said = described.asyncapi["components"]["messages"]["Fragment"]["payload"]
    path = (await ask(reader)).path
    async with following(reader, path) as (_stream, events):
        first = await anext(events)

    assert described.shape_faults(said, first.data) == []
    assert [each["name"] for each in described.operation("GET", f"{path}/stream")["parameters"]] == [
        "conversation_id",
        "Last-Event-ID",
    ]


@pytest.mark.parametrize("headers", [LINES, EVENTS, JSON], ids=["lines", "events", "json"])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/messages", {}),
        ("POST", "/messages", {"prompt": " "}),
        ("POST", "/messages", {"prompt": "Hello", "model": "unknown"}),
        ("POST", "/c/nothing/turn/retry", {"reply": 2}),
        ("GET", "/c/nothing", None),
        ("GET", "/c/nothing/stream", None),
        ("GET", "/c/nothing/export?as=json", None),
        ("GET", "/c/nothing/export", None),
        ("POST", "/c/nothing/messages", {"prompt": "Hello"}),
        ("POST", "/c/nothing/rating", {"good": 2}),
        ("POST", "/conversations", {"pin": "nothing"}),
        ("POST", "/import", {}),
        ("GET", "/embed/resting", None),
    ],
)
async def test_every_refusal_is_a_failure(
    reader: httpx.AsyncClient,
    described: Described,
    method: str,
    path: str,
    body: dict[str, object] | None,
    headers: dict[str, str],
) -> None:
    answer = await reader.request(method, path, json=body, headers=headers)

    assert answer.status_code >= 400
    assert described.faults(answer) == []


async def test_a_prompt_beside_a_running_reply_is_refused_as_they_say(
    reader: httpx.AsyncClient, model: ScriptedUpstream, described: Described
) -> None:
    gated = Gated(model, "One ", "two")
    async with asking(reader) as (path, _told):
        answer = await reader.post(f"{path}/messages", json={"prompt": "More"}, headers=LINES)
        gated.let_all()

    assert (answer.status_code, answer.json()["cause"]) == (409, "turn_running")
    assert described.faults(answer) == []


async def test_a_key_that_is_unknown_is_refused_as_they_say(reader: httpx.AsyncClient, described: Described) -> None:
    answer = await reader.post("/messages", json={"prompt": "Hello"}, headers={**LINES, "Authorization": "Bearer x"})

    assert answer.status_code == 401
    assert described.faults(answer) == []


TAKEN: list[tuple[str, dict[str, Any]]] = [
    ("/messages", {"prompt": "Hello", "request_id": "1", "system_prompt": "Be kind.", "temperature": 0.5}),
    ("/messages", {"prompt": "Hello", "max_tokens": 5}),
    ("{path}/messages", {"prompt": "More", "edits": 1, "attachments": []}),
    ("{path}/messages/delete", {"message": 1}),
    ("{path}/rating", {"good": 2, "comment-2": "It is short."}),
    ("{path}/turn/retry", {"reply": 2}),
    ("{path}/turn/retry", {"reply-by": "2 scripted-1"}),
    ("{path}/turn/continue", {"reply": 2}),
    ("{path}/turn/stop", {}),
    ("{path}/branch", {"message": 1}),
    ("/conversations", {"rename": "{id}", "title": "A name"}),
    *(("/conversations", {change: "{id}"}) for change in ("pin", "unpin", "archive", "unarchive", "delete")),
]


@pytest.mark.parametrize("kind", ["json", "data"])
@pytest.mark.parametrize(("address", "fields"), TAKEN, ids=[f"{path} {[*fields]}" for path, fields in TAKEN])
async def test_what_is_sent_as_it_says_is_taken(
    reader: httpx.AsyncClient, described: Described, address: str, fields: dict[str, Any], kind: str
) -> None:
    path = (await ask(reader)).path
    sent = {name: path.removeprefix("/c/") if value == "{id}" else value for name, value in fields.items()}
    answer = await reader.request("POST", address.format(path=path), **{kind: sent}, headers=LINES)

    assert answer.status_code < 300
    assert described.faults(answer) == []
    if fields:
        content = described.operation("POST", answer.request.url.path)["requestBody"]["content"]
        schema = content[answer.request.headers["content-type"]]["schema"]
        assert described.shape_faults(schema, sent) == []
        assert described.shape_faults(schema, {name: {} for name in sent}) != []
        assert described.shape_faults(schema, {**sent, "no such field": 1}) != []


async def test_health_is_as_it_says(
    reader: httpx.AsyncClient, described: Described, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    answers = [await reader.get("/healthz"), await reader.get("/readyz")]
    await upstream.stop()
    settings = {"OPENAI_BASE_URL": upstream.base_url, "OPENAI_API_KEY": "k"}
    async with rill_server(tmp_path, **settings) as server, new_reader(server) as other:
        answers.append(await other.get("/readyz"))

    assert [answer.status_code for answer in answers] == [200, 200, 503]
    assert answers[-1].json() == {"status": "not ready", "store": "ready", "model": "endpoint_unreachable"}
    assert [described.faults(answer) for answer in answers] == [[], [], []]


async def test_what_is_read_is_as_it_says(reader: httpx.AsyncClient, described: Described) -> None:
    path = (await ask(reader)).path
    await reader.post(f"{path}/rating", json={"bad": 2, "comment-2": "No."}, headers=JSON)
    addresses = [path, f"{path}?raw=2", "/search?q=Hello", "/export", "/embed/support"]
    addresses += [f"{path}/export?as={form}" for form in ("markdown", "html", "json")]
    answers = [await reader.get(address, headers=JSON) for address in addresses]

    assert [answer.status_code for answer in answers] == [200] * len(addresses)
    assert [described.faults(answer) for answer in answers] == [[]] * len(addresses)


async def test_files_that_are_taken_are_told_as_it_says(reader: httpx.AsyncClient, described: Described) -> None:
    path = (await ask(reader)).path
    attached = await reader.post(f"{path}/attachments", files={"file": ("one.txt", b"1")}, headers=JSON)
    waiting = attached.json()["attachments"][0]["id"]
    dropped = await reader.post(f"{path}/attachments/drop", json={"drop": waiting}, headers=JSON)
    exported = await reader.get(f"{path}/export?as=json")
    imported = await reader.post("/import", files={"file": ("rill.json", exported.content)}, headers=JSON)
    asked = await reader.post("/messages", data={"prompt": "Read"}, files={"file": ("two.txt", b"2")}, headers=LINES)

    answers = [attached, dropped, imported, asked]
    assert [answer.status_code for answer in answers] == [201, 204, 201, 200]
    assert [described.faults(answer) for answer in answers] == [[], [], [], []]


async def test_the_tutorials_protocol_is_as_asyncapi_says(
    reader: httpx.AsyncClient, model: ScriptedUpstream, described: Described
) -> None:
    told: list[str] = []
    async with socket(reader, "/chat") as chat:
        for last in ("done", "error"):
            await chat.send(json.dumps({"prompt": "Hello"}))
            while not told or json.loads(told[-1])["type"] != last:
                told.append(await chat.recv())
            model.script = ENDS["refused by the model"]

    assert [json.loads(each)["type"] for each in told if "chunk" not in each] == ["done", "error"]
    assert [described.message_faults("operations_tutorial_ws", "send", each) for each in told] == [[]] * len(told)
    assert described.message_faults("operations_tutorial_ws", "send", '{"type": "done", "state": "finished"}') != []


async def test_a_pages_socket_is_as_asyncapi_says(
    reader: httpx.AsyncClient, model: ScriptedUpstream, described: Described
) -> None:
    path, channel = (await ask(reader)).path, "conversations_socket_ws_in_conversation"
    sent = json.dumps({"prompt": "More", "request_id": "1"})
    model.script = ENDS["broken off"]
    async with socket(reader, f"{path}/stream") as page:
        told = [await page.recv()]
        await page.send(sent)
        while "broke" not in told[-1]:
            told.append(await page.recv())

    assert described.message_faults(channel, "receive", sent) == []
    assert [described.message_faults(channel, "send", each) for each in told] == [[]] * len(told)


async def test_below_a_path_the_addresses_begin_there(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    settings = {"OPENAI_BASE_URL": upstream.base_url, "OPENAI_API_KEY": "k", "RILL_ROOT_PATH": "/chat"}
    async with rill_server(tmp_path, **settings) as server, new_reader(server) as reader:
        described = await Described.of(reader)

    host = server.url.removeprefix("http://")
    servers = described.asyncapi["servers"]
    assert described.openapi["servers"] == [{"url": "/chat"}]
    assert [(each["protocol"], each["host"], each["pathname"]) for each in servers.values()] == [
        ("http", host, "/chat"),
        ("ws", host, "/chat"),
    ]
    assert described.asyncapi["channels"]["operations_tutorial_ws"]["address"] == "/chat"
