"""Trying again, editing, going on and paging through what stands beside, over every transport."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.clients import HTMX, Gated, ask, following, page_with, socket
from tests.dom import Dom
from tests.fakes import RillServer, ScriptedUpstream


@pytest.fixture
async def rill(server: RillServer) -> RillServer:
    return server


@pytest.fixture
async def reader(rill: RillServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=rill.url, timeout=30, trust_env=False) as client:
        yield client


def told(page: Dom) -> list[str]:
    """The texts of all messages that a page shows."""
    return [text.text.strip() for text in page.document.select("article.message .text")]


def versions(page: Dom) -> list[str]:
    """What stands between the arrows of a page."""
    return [" ".join(found.text.split()) for found in page.document.select(".siblings")]


async def loaded(reader: httpx.AsyncClient, path: str) -> Dom:
    reader.cookies.delete("rill_scripts")
    return Dom((await reader.get(path)).text)


def socket_path(page: Dom) -> str:
    (owner,) = page.document.select("main[hx-ws\\:connect]")
    return str(owner.attrs["hx-ws:connect"])


async def a_conversation(reader: httpx.AsyncClient, upstream: ScriptedUpstream, *turns: tuple[str, str]) -> str:
    """Have some turns."""
    path = ""
    for prompt, reply in turns:
        upstream.script = lambda exchange, reply=reply: exchange.reply(reply)  # type: ignore[misc]
        path = (await ask(reader, prompt, path)).path or path
    return path


async def test_a_reply_that_is_tried_again_stands_beside_the_old_one_and_both_can_be_paged_through(
    reader: httpx.AsyncClient, upstream: ScriptedUpstream
) -> None:
    path = await a_conversation(reader, upstream, ("Hello", "First"))
    upstream.script = lambda exchange: exchange.reply("Second")
    assert (await reader.post(f"{path}/turn/retry", data={"reply": "2"})).status_code == 303
    await page_with(reader, path, 'data-state="finished"')
    page = await loaded(reader, path)
    assert (told(page), versions(page)) == (["Hello", "Second"], ["‹ 2 / 2 ›"])

    answer = await reader.post(f"{path}/branch", data={"message": "2"})

    assert answer.status_code == 303
    page = await loaded(reader, path)
    assert (told(page), versions(page)) == (["Hello", "First"], ["‹ 1 / 2 ›"])


async def test_every_open_page_shows_the_branch_that_one_of_them_chose(
    reader: httpx.AsyncClient, upstream: ScriptedUpstream
) -> None:
    path = await a_conversation(reader, upstream, ("One", "First"), ("Two", "Second"), ("Three", "Third"))
    page, other = await loaded(reader, path), await loaded(reader, path)
    async with socket(reader, socket_path(page)) as connected, following(reader, path) as (_, events):
        page.receive(str(await connected.recv()))
        other.receive((await anext(events)).data)
        upstream.script = lambda exchange: exchange.reply("Other")

        await connected.send(json.dumps({"prompt": "Two or so", "request_id": "edit", "edits": "3"}))

        while "Other" not in told(page) or page.state() != "finished":
            page.receive(str(await connected.recv()))
        assert told(page) == ["One", "First", "Two or so", "Other"]
        await reader.post(f"{path}/branch", data={"message": "3"}, headers=HTMX)
        while "Third" not in told(page):
            page.receive(str(await connected.recv()))
        while told(other) != told(page):
            other.receive((await anext(events)).data)

    assert told(page) == ["One", "First", "Two", "Second", "Three", "Third"]
    assert versions(page) == ["‹ 1 / 2 ›"]
    assert (await loaded(reader, path)).document.select("#rill-settled, #rill-live")[0].text.split() == (
        page.document.select("#rill-settled, #rill-live")[0].text.split()
    )


async def test_a_page_from_before_a_switch_is_made_right_when_it_comes_back(
    reader: httpx.AsyncClient, upstream: ScriptedUpstream
) -> None:
    path = await a_conversation(reader, upstream, ("One", "First"), ("Two", "Second"))
    page = await loaded(reader, path)
    upstream.script = lambda exchange: exchange.reply("Other")
    await ask(reader, "Or one", path, edits="1")

    async with socket(reader, socket_path(page)) as connected:
        page.receive(str(await connected.recv()))

    assert told(page) == ["Or one", "Other"]


async def test_the_composer_offers_an_earlier_prompt_for_editing_without_scripts(
    reader: httpx.AsyncClient, upstream: ScriptedUpstream
) -> None:
    path = await a_conversation(reader, upstream, ("One <&>", "First"), ("Two", "Second"))
    page = await loaded(reader, path)
    (button, *_) = page.document.select("article.prompt .actions button[name=edit]")
    form = await loaded(reader, f"{path}?edit={button.attrs['value']}")
    (field,) = form.document.select("#rill-prompt")
    assert field.text == "One <&>"
    hidden = form.document.select("#rill-draft input")
    fields = {str(found.attrs["name"]): str(found.attrs["value"]) for found in hidden}

    answer = await reader.post(f"{path}/messages", data={**fields, "prompt": "One, edited"})

    assert answer.status_code == 303
    await page_with(reader, path, 'data-state="finished"')
    page = await loaded(reader, path)
    assert (told(page), versions(page)) == (["One, edited", "Second"], ["‹ 2 / 2 ›"])


async def test_editing_what_is_not_there_keeps_what_was_written(
    reader: httpx.AsyncClient, upstream: ScriptedUpstream
) -> None:
    path = await a_conversation(reader, upstream, ("One", "First"))

    answer = await reader.post(f"{path}/messages", data={"prompt": "Edited", "edits": "2"})

    assert answer.status_code == 409
    assert "is not there" in answer.text
    assert Dom(answer.text).document.select("#rill-prompt")[0].text == "Edited"
    assert len(upstream.exchanges) == 1


@pytest.mark.parametrize("how", ["stopped", "length", "broken"])
async def test_a_cut_reply_is_continued_from_its_last_character(
    reader: httpx.AsyncClient, upstream: ScriptedUpstream, how: str
) -> None:
    gated = Gated(upstream, "Once **upon", " a** time")
    if how == "length":
        upstream.script = lambda exchange: exchange.reply("Once **upon", reason="length")
        path = (await ask(reader)).path
    else:
        path = str((await reader.post("/messages", data={"prompt": "Hello"})).headers["location"])
        gated.let()
        await _shows(reader, path, "Once")
        await (reader.post(f"{path}/turn/stop") if how == "stopped" else upstream.break_off())
    await page_with(reader, path, "Continue</button>")
    page = await loaded(reader, path)
    upstream.script = lambda exchange: exchange.reply(" a** time.")
    async with socket(reader, socket_path(page)) as connected:
        page.receive(str(await connected.recv()))

        answer = await reader.post(f"{path}/turn/continue", data={"reply": "2"}, headers=HTMX)

        assert answer.status_code == 200
        while page.state() != "finished" or "time" not in page.text():
            page.receive(str(await connected.recv()))

    assert page.content() == (await loaded(reader, path)).content() == "<p>Once <strong>upon a</strong> time.</p>"
    assert versions(page) == ["‹ 2 / 2 ›"]
    asked = upstream.exchanges[-1].body["messages"]
    assert [message["role"] for message in asked] == ["user", "assistant", "user"]
    assert asked[1]["content"] == "Once **upon"


async def _shows(reader: httpx.AsyncClient, path: str, text: str) -> None:
    async with following(reader, path) as (_, events):
        async for event in events:
            if text in event.data:
                return


async def test_a_continued_reply_streams_whole_into_a_page_without_scripts(
    reader: httpx.AsyncClient, upstream: ScriptedUpstream
) -> None:
    upstream.script = lambda exchange: exchange.reply("Once upon", reason="length")
    path = (await ask(reader)).path
    gated = Gated(upstream, " a time")
    await reader.get(f"{path}?scripts=off")
    await reader.post(f"{path}/turn/continue", data={"reply": "2"})
    page = ""
    async with reader.stream("GET", path) as response:
        async for piece in response.aiter_text():
            page += piece
            if "<!doctype" in page and not gated.has_begun.is_set():
                await gated.has_begun.wait()
            gated.let_all()

    assert Dom(page).text().strip() == "Once upon a time"
    assert Dom(page).state() == "finished"


@pytest.mark.parametrize(
    ("route", "fields", "status"),
    [
        ("turn/continue", {"reply": "1"}, 409),
        ("turn/continue", {"reply": "99"}, 409),
        ("turn/continue", {}, 400),
        ("turn/retry", {"reply": "1"}, 409),
        ("branch", {"message": "99"}, 404),
        ("branch", {"message": "-1"}, 400),
        ("branch", {"message": "1e3"}, 400),
    ],
)
async def test_what_cannot_be_done_is_said_and_changes_nothing(
    reader: httpx.AsyncClient, upstream: ScriptedUpstream, route: str, fields: dict[str, str], status: int
) -> None:
    path = await a_conversation(reader, upstream, ("One", "First"))

    answer = await reader.post(f"{path}/{route}", data=fields, headers=HTMX)

    assert answer.status_code == status
    assert re.search(r'<hx-partial id="rill-notice"[^>]*>\s*\S', answer.text)
    assert told(await loaded(reader, path)) == ["One", "First"]
    assert len(upstream.exchanges) == 1


async def test_while_a_reply_is_written_no_other_branch_can_be_shown_or_begun(
    reader: httpx.AsyncClient, upstream: ScriptedUpstream
) -> None:
    path = await a_conversation(reader, upstream, ("One", "First"))
    gated = Gated(upstream, "Second")
    await reader.post(f"{path}/turn/retry", data={"reply": "2"})
    requests = [
        ("branch", {"message": "2"}),
        ("turn/retry", {"reply": "2"}),
        ("turn/continue", {"reply": "2"}),
        ("messages", {"prompt": "Edited", "edits": "1"}),
    ]

    answers = [await reader.post(f"{path}/{route}", data=fields, headers=HTMX) for route, fields in requests]

    assert [answer.status_code for answer in answers] == [409] * 4
    assert all("still being written" in answer.text for answer in answers)
    gated.let_all()
    await page_with(reader, path, "<p>Second</p></div>")
    assert len(upstream.exchanges) == 2
