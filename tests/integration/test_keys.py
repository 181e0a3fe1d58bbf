"""Programs with keys: who they are, what they may do, and what they are told if not."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.clients import EVENTS, HTMX, LINES, ask, new_reader, socket
from tests.commands import make_key, rill
from tests.fakes import RillServer, ScriptedUpstream
from tests.stores import query

UNKNOWN = {
    "type": "error",
    "cause": "key_unknown",
    "message": "This key does not open anything here: it is misspelled, or was revoked, or has expired.",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("commands")


@pytest.fixture(scope="module")
async def key(rill: RillServer, folder: Path) -> str:
    return await make_key(rill, folder, "robot")


@pytest.fixture(scope="module")
async def reading_key(rill: RillServer, folder: Path) -> str:
    return await make_key(rill, folder, "watcher", "--scope", "read")


def program(server: RillServer, key: str, scheme: str = "Bearer") -> httpx.AsyncClient:
    return new_reader(server, Authorization=f"{scheme} {key}")


async def test_a_key_is_a_reader_of_its_own_who_needs_no_cookie(
    rill: RillServer, reader: httpx.AsyncClient, key: str
) -> None:
    async with program(rill, key) as first, program(rill, key, "bearer") as second:
        told = await ask(first)
        again = await ask(second, "And?", told.path)
        page = await second.get(told.path)

    assert (told.text, again.text) == ("You said: Hello", "You said: And?")
    assert "You said: And?" in page.text
    assert "set-cookie" not in page.headers
    assert not first.cookies
    assert (await reader.get(told.path)).status_code == 404


async def test_a_key_counts_more_than_a_cookie(rill: RillServer, reader: httpx.AsyncClient, key: str) -> None:
    own = (await ask(reader)).path
    cookie = reader.cookies["rill_reader"]

    found = await reader.get(own, headers={"Authorization": f"Bearer {key}"})

    assert found.status_code == 404
    assert "set-cookie" not in found.headers
    assert (await reader.get(own)).status_code == 200
    assert reader.cookies["rill_reader"] == cookie


@pytest.mark.parametrize("shown", ["", "x", "rill_" + "0" * 16 + "_" + "0" * 64, "rill_é", "a b c"])
@pytest.mark.parametrize(("method", "url", "headers"), [
    ("GET", "/", {}), ("POST", "/messages", LINES), ("POST", "/messages", HTMX), ("GET", "/c/x/stream", EVENTS),
    ("GET", "/nowhere", {}),
])  # fmt: skip
async def test_what_is_no_key_is_refused_everywhere_in_one_shape(
    rill: RillServer, model: ScriptedUpstream, shown: str, method: str, url: str, headers: dict[str, str]
) -> None:
    async with new_reader(rill) as client:
        sent = {**headers, "Authorization": f"Bearer {shown}".strip().encode()}
        answer = await client.request(method, url, headers=sent, data={"prompt": "Hi"} if method == "POST" else None)

    assert answer.status_code == 401
    assert answer.json() == UNKNOWN
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["cache-control"] == "no-store"
    assert "set-cookie" not in answer.headers
    assert model.exchanges == []


async def test_a_program_is_refused_in_its_language(rill: RillServer, model: ScriptedUpstream) -> None:
    async with program(rill, "x") as client:
        answer = await client.get("/", headers={"Accept-Language": "de"})

    assert answer.json()["message"].startswith("Dieser Schlüssel")


async def test_credentials_of_another_scheme_are_a_proxys_business(rill: RillServer, model: ScriptedUpstream) -> None:
    async with program(rill, "dXNlcjpwYXNz", "Basic") as client:
        answer = await client.get("/")

    assert answer.status_code == 200
    assert "rill_reader" in answer.cookies


async def test_a_key_that_only_reads_changes_nothing(
    rill: RillServer, model: ScriptedUpstream, reading_key: str
) -> None:
    async with program(rill, reading_key) as watcher:
        for method, url in (
            ("POST", "/messages"),
            ("POST", "/conversations"),
            ("DELETE", "/c/x/turn"),
            ("PUT", "/messages"),
        ):
            answer = await watcher.request(method, url, headers=LINES)
            assert (answer.status_code, answer.json()["cause"]) == (403, "key_reads_only")
        for method in ("GET", "HEAD"):
            assert (await watcher.request(method, "/")).status_code == 200

    assert model.exchanges == []


async def test_a_socket_is_refused_before_it_opens(
    rill: RillServer, model: ScriptedUpstream, key: str, reading_key: str
) -> None:
    """Up a socket come prompts, so a key that only reads follows by Server-Sent Events."""
    async with program(rill, key) as robot:
        path = (await ask(robot)).path
        for shown, status in (("x", 401), (reading_key, 403)):
            for url in (f"{path}/stream", "/chat", "/stream"):
                with pytest.raises(InvalidStatus) as refused:
                    async with socket(robot, url, headers={"Authorization": f"Bearer {shown}"}):
                        pass
                assert refused.value.response.status_code == status
        async with socket(robot, f"{path}/stream", headers={"Authorization": f"Bearer {key}"}) as opened:
            assert "You said: Hello" in str(await opened.recv())


async def test_another_origin_is_refused_also_with_a_key(rill: RillServer, model: ScriptedUpstream, key: str) -> None:
    async with program(rill, key) as robot:
        answer = await robot.post("/messages", data={"prompt": "Hi"}, headers={"Origin": "http://evil.example"})

    assert answer.status_code == 403
    assert model.exchanges == []


async def test_a_revoked_key_opens_nothing_at_once(rill: RillServer, model: ScriptedUpstream, folder: Path) -> None:
    key = await make_key(rill, folder, "short-lived", "--days", "1")
    async with program(rill, key) as robot:
        assert (await ask(robot)).text == "You said: Hello"
        revoked = await run(rill, folder, "revoke", "short-lived")

        assert (await robot.get("/")).status_code == 401
    assert revoked == (0, "", "The key short-lived opens nothing any more.\n")
    assert await run(rill, folder, "revoke", "short-lived") == (
        2,
        "",
        "There is no key named short-lived; `rill key list` lists them.\n",
    )


async def rest_of(feed: ClientConnection) -> None:
    """Read until somebody closes it, which never is the one who reads."""
    while True:
        assert "Still here?" not in str(await feed.recv())


async def test_feeds_that_are_open_end_once_their_key_is_revoked(
    rill: RillServer, model: ScriptedUpstream, folder: Path
) -> None:
    key = await make_key(rill, folder, "short-lived")
    async with program(rill, key) as robot:
        path = (await ask(robot)).path
        asked = len(model.exchanges)
        async with (
            socket(robot, f"{path}/stream", headers={"Authorization": f"Bearer {key}"}) as feed,
            robot.stream("GET", f"{path}/stream") as events,
        ):
            await feed.recv()
            await run(rill, folder, "revoke", "short-lived")
            await feed.send('{"prompt": "Still here?"}')
            refusal = str(await feed.recv())
            async with asyncio.timeout(20):
                with pytest.raises(ConnectionClosed):
                    await rest_of(feed)
                told = [line async for line in events.aiter_lines()]

    assert "This key does not open anything here" in refusal
    assert any(line.startswith("data:") for line in told)
    assert len(model.exchanges) == asked


async def test_the_tutorials_socket_takes_no_prompt_of_a_revoked_key(
    rill: RillServer, model: ScriptedUpstream, folder: Path
) -> None:
    key = await make_key(rill, folder, "short-lived")
    async with (
        program(rill, key) as robot,
        socket(robot, "/chat", headers={"Authorization": f"Bearer {key}"}) as chat,
    ):
        await run(rill, folder, "revoke", "short-lived")
        await chat.send('{"prompt": "Still here?"}')

        assert json.loads(await chat.recv()) == {"type": "error", "message": UNKNOWN["message"]}
    assert model.exchanges == []


async def test_a_list_shows_all_of_a_key_but_the_key(
    rill: RillServer, model: ScriptedUpstream, folder: Path, key: str, reading_key: str
) -> None:
    async with program(rill, key) as robot:
        await robot.get("/")

    status, output, _ = await run(rill, folder, "list")

    moment = r"\d{4}-\d\d-\d\d \d\d:\d\d UTC"
    assert status == 0
    assert re.search(r"^NAME +SCOPE +CREATED +EXPIRES +LAST USED$", output, re.M)
    assert re.search(rf"^robot +ask +{moment} +never +{moment}$", output, re.M)
    assert re.search(rf"^watcher +read +{moment} +never", output, re.M)
    assert "rill_" not in output


async def test_no_log_and_no_row_holds_a_key(rill: RillServer, model: ScriptedUpstream, key: str) -> None:
    async with program(rill, key) as robot, program(rill, key[:-1]) as stranger:
        await ask(robot)
        await stranger.get("/")

    assert key[:-1] not in rill.output
    assert key.rpartition("_")[2] not in str(await query(database(rill), "SELECT * FROM keys"))


async def test_a_database_that_fails_is_said_not_taken_for_a_bad_key(
    rill: RillServer, model: ScriptedUpstream, key: str
) -> None:
    await query(database(rill), "ALTER TABLE keys RENAME TO keys_away")
    try:
        async with program(rill, key) as robot:
            answer = await robot.get("/")
    finally:
        await query(database(rill), "ALTER TABLE keys_away RENAME TO keys")

    assert answer.status_code == 503
    assert answer.json()["message"] == "This key could not be looked up. Please try again."
    assert "key.not_looked_up" in rill.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create",), "Missing argument"),
        (("create", ""), "A name is a line"),
        (("create", "two\nlines"), "A name is a line"),
        (("create", "x" * 61), "A name is a line"),
        (("create", "x", "--scope", "all"), "'all' is not one of"),
        (("create", "x", "--days", "0"), "0 is not in the range"),
        (("create", "robot"), "There is a key named robot already. Revoke it first, or take another name."),
    ],
)
async def test_what_cannot_be_made_is_said(
    rill: RillServer, folder: Path, key: str, arguments: tuple[str, ...], said: str
) -> None:
    status, output, errors = await run(rill, folder, *arguments)

    assert (status, output) == (2, "")
    assert said in errors


async def test_a_database_that_cannot_be_opened_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    environ = {"RILL_DATABASE_URL": f"sqlite:///{tmp_path}/file/rill.db", "PATH": "/usr/bin:/bin"}

    ended = await rill(environ, tmp_path, "key", "list")

    assert ended.status == 2
    assert "cannot be used" in ended.errors
    assert "Traceback" not in ended.errors


def database(server: RillServer) -> str:
    return f"sqlite:///{server.environ['RILL_DATA_DIR']}/rill.db"


async def run(server: RillServer, folder: Path, *arguments: str) -> tuple[int, str, str]:
    ended = await rill(server.environ, folder, "key", *arguments)
    return ended.status, ended.output, ended.errors
