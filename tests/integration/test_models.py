"""Models that readers choose: only those that the operator offers, for a conversation or for one more try."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.clients import HTMX, LINES, ask, new_reader, socket
from tests.dom import Dom
from tests.fakes import RillServer, ScriptedUpstream, rill_server


@pytest.fixture
def settings() -> dict[str, str]:
    return {"RILL_MODELS": "big=Thorough,small=Fast, plain"}


@pytest.fixture
async def offering(tmp_path: Path, upstream: ScriptedUpstream, settings: dict[str, str]) -> AsyncIterator[RillServer]:
    async with rill_server(tmp_path, OPENAI_BASE_URL=upstream.base_url, OPENAI_API_KEY="k", **settings) as server:
        yield server


@pytest.fixture
async def chooser(offering: RillServer) -> AsyncIterator[httpx.AsyncClient]:
    async with new_reader(offering) as client:
        yield client


def options(html: str) -> list[tuple[str, str, bool]]:
    found = Dom(html).document.select("#model-choice option")
    return [(str(each.attrs["value"]), each.text, "selected" in each.attrs) for each in found]


def asked(upstream: ScriptedUpstream) -> list[str]:
    return [exchange.body["model"] for exchange in upstream.exchanges if exchange.path.endswith("/completions")]


async def test_a_conversation_keeps_the_model_that_was_chosen(
    chooser: httpx.AsyncClient, upstream: ScriptedUpstream
) -> None:
    assert options((await chooser.get("/")).text) == [
        ("big", "Thorough", True),
        ("small", "Fast", False),
        ("plain", "plain", False),
    ]
    told = await ask(chooser, "Hello", model="small")
    await ask(chooser, "And?", told.path)
    async with socket(chooser, f"{told.path}/stream") as connected:
        await connected.send(json.dumps({"prompt": "By socket", "model": "plain"}))
        async for frame in connected:
            if "</footer>" in frame and 'data-state="finished"' in frame and 'id="rill-e6"' in frame:
                break

    page = (await chooser.get(told.path)).text

    assert asked(upstream) == ["small", "small", "plain"]
    assert [option for option in options(page) if option[2]] == [("plain", "plain", True)]
    assert [each.text.split(" · ")[0] for each in Dom(page).document.select(".took")] == ["small", "small", "plain"]


async def test_one_reply_is_tried_with_another_model(chooser: httpx.AsyncClient, upstream: ScriptedUpstream) -> None:
    told = await ask(chooser, "Hello", model="small")

    answer = await chooser.post(f"{told.path}/turn/retry", data={"reply-by": "2 big"})
    async with asyncio.timeout(20):
        while (await ask(chooser, "And?", told.path)).status == 409:
            pass  # The reply is still being written.

    assert answer.status_code == 303
    assert asked(upstream) == ["small", "big", "small"]


@pytest.mark.parametrize("model", ["other", "*", "<b>", "x" * 5000, "big=Thorough"])
async def test_what_is_not_offered_is_not_asked(
    chooser: httpx.AsyncClient, upstream: ScriptedUpstream, model: str
) -> None:
    told = await ask(chooser)
    for answer in (
        await chooser.post("/messages", data={"prompt": "Hello", "model": model}, headers=LINES),
        await chooser.post("/messages", data={"prompt": "Hello", "model": model}, headers=HTMX),
        await chooser.post(f"{told.path}/turn/retry", data={"reply-by": f"2 {model}"}, headers=LINES),
    ):
        assert answer.status_code == 422
        assert "This model cannot be chosen here." in answer.text
    page = await chooser.post("/messages", data={"prompt": "Keep this", "model": model})
    assert page.status_code == 422
    assert "Keep this" in page.text
    assert asked(upstream) == ["big"]


@pytest.mark.parametrize("settings", [{"RILL_MODELS": "*"}])
async def test_all_that_an_endpoint_lists_can_be_offered(
    chooser: httpx.AsyncClient, upstream: ScriptedUpstream
) -> None:
    listed = [name for name, _, _ in options((await chooser.get("/")).text)]
    told = await ask(chooser)

    assert listed == [] or set(listed) >= {"scripted-1"}
    assert told.text
    assert asked(upstream) == ["scripted-1"]


@pytest.mark.parametrize("settings", [{}])
async def test_there_is_no_picker_where_there_is_no_choice(
    chooser: httpx.AsyncClient, upstream: ScriptedUpstream
) -> None:
    assert options((await chooser.get("/")).text) == []
    assert (await chooser.post("/messages", data={"prompt": "x", "model": "scripted-1"})).status_code == 422


async def test_what_is_no_longer_offered_is_not_asked_any_more(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    endpoint = {"OPENAI_BASE_URL": upstream.base_url, "OPENAI_API_KEY": "k", "RILL_SECRET": "s" * 32}
    async with rill_server(tmp_path, **endpoint, RILL_MODELS="big,small") as before, new_reader(before) as reader:
        told = await ask(reader, model="small")
        cookies = dict(reader.cookies)
    async with rill_server(tmp_path, **endpoint, RILL_MODELS="big,other") as after, new_reader(after) as reader:
        reader.cookies.update(cookies)
        await ask(reader, "And?", told.path)

    assert asked(upstream) == ["small", "big"]
