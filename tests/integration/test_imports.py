"""Conversations are brought along, and are then as good as those that were held here."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path

import pytest

from tests.clients import LINES, ask, new_reader
from tests.dom import Dom
from tests.fakes import RillServer, ScriptedUpstream, rill_server
from tests.files import image
from tests.integration.test_exports import FILES, attached
from tests.unit.test_imports import CHATGPT, rill


def file(body: bytes) -> dict[str, tuple[str, bytes, str]]:
    return {"file": ("export.json", body, "application/json")}


async def test_what_was_exported_comes_back_with_every_branch(server: RillServer, upstream: ScriptedUpstream) -> None:
    upstream.script = lambda exchange: exchange.reply("One **two**")
    async with new_reader(server) as reader, new_reader(server) as other:
        path = (await ask(reader, "First")).path
        await ask(reader, "Second", path)
        await ask(reader, "Instead", path, edits="3")
        await reader.post(f"{path}/rating", data={"bad": "2", "comment-2": "Short"})
        exported = await reader.get(f"{path}/export?as=json")

        answer = await other.post("/import", files=file(exported.content))
        again = await other.post("/import", files=file(exported.content), headers=LINES)
        page = Dom((await other.get(answer.headers["location"])).text).document
        (link,) = page.select("#rill-listing li a")
        brought = (await other.get(f"{link.attrs['href']}/export?as=json")).json()
        shown = Dom((await other.get(str(link.attrs["href"]))).text).document

    assert answer.status_code == 303
    assert again.json() == {"imported": 0}
    assert page.select("#rill-notice")[0].text == "1 conversation was imported."
    for name in ("title", "head", "messages", "updated_at"):
        assert brought[name] == exported.json()[name]
    assert [element.text for element in shown.select(".reply strong")] == ["two", "two"]


@pytest.mark.parametrize("way", ["json", "zip"])
async def test_what_is_attached_comes_along(server: RillServer, upstream: ScriptedUpstream, way: str) -> None:
    async with new_reader(server) as reader, new_reader(server) as other:
        path = await attached(reader, *FILES)
        exported = await reader.get(f"{path}/export?as=json" if way == "json" else "/export")

        answer = await other.post("/import", files=file(exported.content), headers=LINES)
        again = await other.post("/import", files=file(exported.content), headers=LINES)
        (link,) = Dom((await other.get("/")).text).document.select("#rill-recent li a")
        brought = str(link.attrs["href"])
        page = Dom((await other.get(brought)).text).document
        shown = [(await other.get(brought + str(each.attrs["href"]))).content for each in page.select(".attachments a")]
        foreign = await reader.get(f"{brought}{page.select('.attachments a')[0].attrs['href']}")
        await ask(other, "What was it?", brought)

    assert (answer.json(), again.json()) == ({"imported": 1}, {"imported": 0})
    assert [each.text for each in page.select(".attachments bdi")] == ["notes [1].md", "paper.pdf", "x.json"]
    assert shown[0].startswith(b"\xff\xd8\xff")
    assert shown[1] == b"Some <b>notes</b>"
    assert foreign.status_code == 404
    told = upstream.exchanges[-1].body["messages"][-3]["content"]
    assert "Some <b>notes</b>" in json.dumps(told)
    assert "data:image/jpeg" in json.dumps(told)


async def test_files_that_cannot_be_attached_here_are_left_out(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    files = [{"name": "a.png", "data": b64encode(image()[:60]).decode()}, {"name": "b.txt", "data": "Qg=="}]
    brought = rill({"number": 1, "role": "user", "text": "Look", "attachments": files})
    for settings, kept in (({}, ["b.txt"]), ({"RILL_ATTACHMENTS": "false"}, [])):
        folder = tmp_path / str(len(kept))
        folder.mkdir()
        async with (
            rill_server(folder, OPENAI_BASE_URL=upstream.base_url, OPENAI_API_KEY="k", **settings) as server,
            new_reader(server) as reader,
        ):
            await reader.post("/import", files=file(json.dumps(brought).encode()), headers=LINES)
            (link,) = Dom((await reader.get("/")).text).document.select("#rill-recent li a")
            page = Dom((await reader.get(str(link.attrs["href"]))).text).document

        assert [each.text for each in page.select(".prompt .text")] == ["Look"]
        assert [each.text for each in page.select(".attachments bdi")] == kept


async def test_an_imported_conversation_is_found_and_goes_on(server: RillServer, upstream: ScriptedUpstream) -> None:
    upstream.script = lambda exchange: exchange.reply("Deep ones")
    async with new_reader(server) as reader:
        count = (await reader.post("/import", files=file(json.dumps([CHATGPT]).encode()), headers=LINES)).json()
        found = Dom((await reader.get("/search?q=lakes")).text).document
        (link,) = found.select("#found li a")
        path = str(link.attrs["href"]).partition("?")[0]
        told = await ask(reader, "What kinds?", path)
        page = Dom((await reader.get(path)).text).document

    assert count == {"imported": 1}
    assert told.text == "Deep ones"
    assert [element.text for element in page.select("article .text")] == [
        "Tell me of rivers",
        "Water runs.",
        "And lakes?",
        "What kinds?",
        "Deep ones",
    ]
    assert [each["content"] for each in upstream.exchanges[-1].body["messages"]][-1] == "What kinds?"


async def test_what_cannot_be_read_is_refused_with_a_sentence(server: RillServer) -> None:
    async with new_reader(server) as reader:
        page = await reader.post("/import", files=file(b"hello"))
        program = await reader.post("/import", files=file(b"[]"), headers=LINES)
        nothing = await reader.post("/import", data={"x": "y"})

    assert page.status_code == 422
    assert "This file is not valid JSON." in page.text
    assert program.json()["cause"] == "import_refused"
    assert nothing.status_code == 400


@pytest.mark.parametrize(("are_own_allowed", "told"), [("true", ["Obey me"]), ("false", [])])
async def test_an_import_is_set_up_only_where_readers_may_do_that(
    tmp_path: Path, upstream: ScriptedUpstream, are_own_allowed: str, told: list[str]
) -> None:
    message = {"number": 1, "role": "user", "text": "Before"}
    whole = {"format": "rill.conversation", "system_prompt": "Obey me", "messages": [message]}
    endpoint = {"OPENAI_BASE_URL": upstream.base_url, "OPENAI_API_KEY": "k"}
    async with (
        rill_server(tmp_path, **endpoint, RILL_OWN_SETUPS=are_own_allowed) as server,
        new_reader(server) as reader,
    ):
        await reader.post("/import", files=file(json.dumps(whole).encode()))
        (link,) = Dom((await reader.get("/")).text).document.select("#rill-listing li a")
        await reader.post(f"{link.attrs['href']}/messages", data={"prompt": "After"}, headers=LINES)

    messages = upstream.exchanges[0].body["messages"]
    assert [each["content"] for each in messages if each["role"] == "system"] == told
