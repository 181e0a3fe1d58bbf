"""What can be done to a message: rated, deleted, quoted, shown as it is, downloaded."""

from __future__ import annotations

import asyncio
import json
import sys

import httpx
import pytest

from tests.clients import HTMX, LINES, ask, following
from tests.dom import Dom
from tests.fakes import ROOT, RillServer, ScriptedUpstream

TEXT = "# Head\n\n- *one* <b>\n- 日本\n"


@pytest.fixture
async def path(reader: httpx.AsyncClient, model: ScriptedUpstream) -> str:
    model.script = lambda exchange: exchange.reply(TEXT)
    return (await ask(reader, "A *prompt*")).path


async def test_a_message_is_shown_as_it_was_written(reader: httpx.AsyncClient, path: str) -> None:
    raw = await reader.get(f"{path}?raw=2")
    file = await reader.get(f"{path}?raw=2&download")
    prompt = await reader.get(f"{path}?raw=1")

    assert (raw.text, prompt.text, file.text) == (TEXT, "A *prompt*", TEXT)
    assert raw.headers["content-type"] == "text/plain; charset=utf-8"
    assert raw.headers["x-content-type-options"] == "nosniff"
    assert file.headers["content-disposition"] == 'attachment; filename="reply-2.md"'


@pytest.mark.parametrize("number", ["", "3", "x", "-1"])
async def test_what_is_not_there_is_not_shown(reader: httpx.AsyncClient, path: str, number: str) -> None:
    assert (await reader.get(f"{path}?raw={number}")).status_code == 404


async def test_nobody_else_sees_or_changes_a_message(
    reader: httpx.AsyncClient, stranger: httpx.AsyncClient, path: str
) -> None:
    assert (await stranger.get(f"{path}?raw=2")).status_code == 404
    assert (await stranger.post(f"{path}/rating", data={"good": "2"})).status_code == 404
    assert (await stranger.post(f"{path}/messages/delete", data={"message": "1"})).status_code == 404
    assert (await reader.get(f"{path}?raw=2")).text == TEXT


async def test_a_quotation_begins_the_composer(reader: httpx.AsyncClient, path: str) -> None:
    page = Dom((await reader.get(f"{path}?quote=2")).text)

    assert page.document.select("#rill-prompt")[0].text == "> # Head\n> \n> - *one* <b>\n> - 日本\n\n"
    assert not page.has("#rill-edits")


async def test_a_quotation_follows_what_is_written_once(reader: httpx.AsyncClient, path: str) -> None:
    written = []
    for draft in ("Mine", "Mine\r\n\r\n> # Head\r\n> \r\n> - *one* <b>\r\n> - 日本\r\n\r\nAnd"):
        await reader.post(f"{path}/draft", data={"prompt": draft, "request_id": "r"}, headers=HTMX)
        page = Dom((await reader.get(f"{path}?quote=2")).text)
        written.append(page.document.select("#rill-prompt")[0].text)

    quoted = "Mine\n\n> # Head\n> \n> - *one* <b>\n> - 日本\n\n"
    assert written == [quoted, f"{quoted}And"]


async def test_a_rating_is_shown_and_can_be_taken_back(reader: httpx.AsyncClient, path: str) -> None:
    page = Dom((await reader.get(path)).text)

    page.receive((await reader.post(f"{path}/rating", data={"good": "2"}, headers=HTMX)).text)
    assert page.has('button[name="unrate"][aria-pressed="true"]')
    page.receive((await reader.post(f"{path}/rating", data={"good": "2", "comment-2": " So <b> "}, headers=HTMX)).text)

    assert page.transcript() == Dom((await reader.get(path)).text).transcript()
    assert page.document.select(".comment textarea")[0].text == "So <b>"
    back = await reader.post(f"{path}/rating", data={"unrate": "2"})
    assert back.headers["location"] == f"{path}#rill-m2"
    assert not Dom((await reader.get(path)).text).has(".comment")


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, 400),
        ({"good": "x"}, 400),
        ({"good": "9"}, 404),
        ({"good": "1"}, 404),
        ({"bad": "2", "comment-2": "x" * 2001}, 400),
    ],
)
async def test_a_rating_that_is_none_is_refused(
    reader: httpx.AsyncClient, path: str, fields: dict[str, str], status: int
) -> None:
    answer = await reader.post(f"{path}/rating", data=fields, headers=LINES)

    assert answer.status_code == status
    assert answer.json()["message"]


async def test_an_operator_gets_all_ratings_by_a_command(
    rill: RillServer, reader: httpx.AsyncClient, path: str
) -> None:
    await reader.post(f"{path}/rating", data={"bad": "2", "comment-2": "Schade: 日本"})

    command = (sys.executable, "-m", "webapp", "feedback")
    environ = {**rill.environ, "PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(*command, env=environ, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()

    lines = [json.loads(line) for line in output.decode().splitlines()]
    (said,) = [line for line in lines if path.endswith(line["conversation"])]
    assert (said["rating"], said["comment"]) == (-1, "Schade: 日本")
    assert (said["prompt"], said["reply"], said["model"]) == ("A *prompt*", TEXT, "scripted-1")


async def test_a_deletion_comes_to_every_page(reader: httpx.AsyncClient, path: str) -> None:
    await ask(reader, "And then?", path)
    page = Dom((await reader.get(path)).text)
    async with asyncio.timeout(20), following(reader, page.attribute("main", "hx-ws:connect")) as (_, events):
        page.receive((await anext(events)).data)

        answer = await reader.post(f"{path}/messages/delete", data={"message": "3"}, headers=HTMX)
        while len(page.document.select("article.message")) > 2:
            page.receive((await anext(events)).data)

    assert answer.status_code == 200
    assert page.transcript() == Dom((await reader.get(path)).text).transcript()
    told = await ask(reader, "Go on", path)
    assert told.text == TEXT


async def test_with_the_first_message_goes_the_conversation(reader: httpx.AsyncClient, path: str) -> None:
    own = path.rpartition("/")[2]

    answer = await reader.post(f"{path}/messages/delete", data={"message": "1"}, headers=HTMX)

    assert answer.headers["hx-redirect"] == f"/?deleted={own}"
    assert (await reader.get(path)).status_code == 404


async def test_nothing_is_deleted_while_a_reply_is_written(reader: httpx.AsyncClient, model: ScriptedUpstream) -> None:
    model.script = lambda exchange: exchange.was_closed.wait()
    path = (await reader.post("/messages", data={"prompt": "Hello"})).headers["location"]

    answer = await reader.post(f"{path}/messages/delete", data={"message": "1"}, headers=LINES)

    assert answer.status_code == 409
    await reader.delete(f"{path}/turn")
