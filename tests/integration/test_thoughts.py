"""What a model thinks, and what its reply took: kept, and shown the same by a stream and by a fresh page."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import pytest

from tests.clients import ask, following
from tests.dom import Dom
from tests.fakes import Exchange, ScriptedUpstream

Script = Callable[[Exchange], Awaitable[None]]


async def in_a_field(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.think("First <this>,\n")
    await exchange.think("then that.")
    await exchange.chunk("The answer")
    await exchange.finish()


async def in_another_field(exchange: Exchange) -> None:
    await exchange.head()
    for thought in ("First <this>,\n", "then that."):
        await exchange.event({"choices": [{"index": 0, "delta": {"content": "", "reasoning": thought}}]})
    await exchange.chunk("The answer")
    await exchange.finish()


async def in_tags(exchange: Exchange) -> None:
    await exchange.reply("<thi", "nk>First <this>,\nthen", " that.</thi", "nk>\n\n", "The answer")


@pytest.mark.parametrize("script", [in_a_field, in_another_field, in_tags])
async def test_thoughts_are_shown_apart_and_are_no_part_of_the_reply(
    reader: httpx.AsyncClient, model: ScriptedUpstream, script: Script
) -> None:
    model.script = script
    told = await ask(reader, "Think!")
    assert told.text == "The answer"

    page = Dom((await reader.get(told.path)).text)

    assert page.text() == "The answer"
    assert page.document.select(".thoughts p")[0].text == "First <this>,\nthen that."
    await ask(reader, "And?", told.path)
    assert "then that" not in str(model.exchanges[-1].body)


async def test_a_page_that_follows_sees_thoughts_come_and_close(
    reader: httpx.AsyncClient, model: ScriptedUpstream
) -> None:
    allowed = asyncio.Semaphore(0)

    async def gated(exchange: Exchange) -> None:
        await exchange.head()
        for number in range(3):
            await allowed.acquire()
            await exchange.think(f"thought {number}\n")
        await allowed.acquire()
        await exchange.chunk("The answer")
        await exchange.finish()

    model.script = gated
    path = (await reader.post("/messages", data={"prompt": "Think!"})).headers["location"]
    page = Dom((await reader.get(path, headers={"Cookie": cookies(reader)})).text)
    async with asyncio.timeout(20), following(reader, path) as (_, events):

        async def sees(condition: Callable[[], bool]) -> None:
            while not condition():
                page.receive((await anext(events)).data)

        for number in range(3):
            allowed.release()
            await sees(lambda: f"thought {number}" in page.document.select("article.reply")[0].text)  # noqa: B023
            assert page.has("details.thoughts[open]")
            fresh = Dom((await reader.get(path, headers={"Cookie": cookies(reader)})).text)
            assert fresh.transcript() == page.transcript()
        allowed.release()
        await sees(lambda: page.state() == "finished")

    assert not page.has("details.thoughts[open]")
    assert page.transcript() == Dom((await reader.get(path)).text).transcript()


async def test_a_page_without_scripts_shows_thoughts_after_the_reply(
    reader: httpx.AsyncClient, model: ScriptedUpstream
) -> None:
    model.script = in_a_field
    location = (await reader.post("/messages", data={"prompt": "Think!"})).headers["location"]

    page = Dom((await reader.get(location)).text)

    assert page.document.select(".thoughts p")[0].text == "First <this>,\nthen that."
    assert page.text() == "The answer"


async def test_only_thoughts_are_no_reply(reader: httpx.AsyncClient, model: ScriptedUpstream) -> None:
    async def thinks(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.think("Hm.")
        await exchange.finish()

    model.script = thinks
    told = await ask(reader, "Think!")

    assert told.end["cause"] == "empty_reply"
    page = Dom((await reader.get(told.path)).text)
    assert page.document.select(".thoughts p")[0].text == "Hm."


async def test_a_reply_says_what_it_took(reader: httpx.AsyncClient, model: ScriptedUpstream) -> None:
    async def counted(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.chunk("The answer")
        await exchange.event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        await exchange.event({"choices": [], "usage": {"prompt_tokens": 1234, "completion_tokens": 56}})
        await exchange.raw(b"data: [DONE]\n\n")

    model.script = counted
    told = await ask(reader)

    said = Dom((await reader.get(told.path)).text).document.select(".took")[0].text
    assert "scripted-1" in said
    assert "1,290 tokens" in said
    assert model.exchanges[-1].body["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    "usage", [None, 3, {}, {"prompt_tokens": "x"}, {"prompt_tokens": -1}, {"completion_tokens": 1e99}]
)
async def test_a_count_that_is_none_is_left_out(
    reader: httpx.AsyncClient, model: ScriptedUpstream, usage: object
) -> None:
    async def miscounted(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.chunk("The answer")
        await exchange.event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": usage})
        await exchange.raw(b"data: [DONE]\n\n")

    model.script = miscounted
    told = await ask(reader)

    assert told.end["state"] == "finished"
    assert "tokens" not in Dom((await reader.get(told.path)).text).document.select(".took")[0].text


async def test_a_service_that_cannot_count_is_asked_without(reader: httpx.AsyncClient, model: ScriptedUpstream) -> None:
    async def strict(exchange: Exchange) -> None:
        if "stream_options" in exchange.body:
            await exchange.json(400, {"error": {"message": "Unrecognized request argument: stream_options"}})
        else:
            await exchange.reply("The answer")

    model.script = strict

    assert (await ask(reader)).text == "The answer"


def cookies(reader: httpx.AsyncClient) -> str:
    """The cookies of a browser that runs scripts."""
    return "; ".join(f"{name}={value}" for name, value in reader.cookies.items() if name != "rill_scripts")
