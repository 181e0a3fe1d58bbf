"""`WS /chat`: the protocol of the tutorials, in full."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import httpx
import pytest

from tests.clients import Gated, page_with, socket
from tests.fakes import Exchange, ScriptedUpstream, until

DONE = {"type": "done"}


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    return {"RILL_MAX_PROMPT_CHARS": "1000"}


def chunk(content: str) -> dict[str, str]:
    return {"type": "chunk", "content": content}


def error(message: str) -> dict[str, str]:
    return {"type": "error", "message": message}


async def comes(websocket: Any) -> dict[str, str]:
    async with asyncio.timeout(10):
        event: dict[str, str] = json.loads(await websocket.recv())
    return event


async def answer(websocket: Any) -> list[dict[str, str]]:
    """Everything up to the end of a reply."""
    events = [await comes(websocket)]
    while events[-1]["type"] == "chunk":
        events.append(await comes(websocket))
    return events


async def prompt(websocket: Any, text: str) -> None:
    await websocket.send(json.dumps({"prompt": text}))


async def test_what_the_model_writes_is_passed_on_as_it_is_and_then_it_is_done(
    reader: httpx.AsyncClient, model: ScriptedUpstream
) -> None:
    words = [f"word{number} <&> " for number in range(50)]
    model.script = lambda exchange: exchange.reply(*words)
    async with socket(reader, "/chat") as websocket:
        await prompt(websocket, "Tell me.")

        *chunks, end = await answer(websocket)
        assert "".join(told["content"] for told in chunks) == "".join(words)
        assert end == DONE


async def test_a_chunk_comes_before_the_next_one_is_written(reader: httpx.AsyncClient, model: ScriptedUpstream) -> None:
    gated = Gated(model, "One ", "two")
    async with socket(reader, "/chat") as websocket:
        await prompt(websocket, "Tell me.")
        gated.let()
        assert await comes(websocket) == chunk("One ")
        gated.let()
        assert await comes(websocket) == chunk("two")
        gated.let()
        assert await comes(websocket) == DONE


async def test_the_prompts_of_one_socket_are_one_conversation(
    reader: httpx.AsyncClient, model: ScriptedUpstream
) -> None:
    async with socket(reader, "/chat") as websocket:
        for text in ["One", "Two", "Three"]:
            await prompt(websocket, text)
            assert (await answer(websocket))[-1] == DONE

    told = [message["content"] for message in model.exchanges[-1].body["messages"]]
    assert told == ["One", "You said: One", "Two", "You said: Two", "Three"]


async def test_two_sockets_are_two_conversations(reader: httpx.AsyncClient, model: ScriptedUpstream) -> None:
    async with socket(reader, "/chat") as one, socket(reader, "/chat") as other:
        await prompt(one, "One")
        await prompt(other, "Two")
        assert "".join(event.get("content", "") for event in await answer(one)) == "You said: One"
        assert "".join(event.get("content", "") for event in await answer(other)) == "You said: Two"

    assert [len(exchange.body["messages"]) for exchange in model.exchanges] == [1, 1]


async def test_prompts_sent_at_once_are_answered_one_after_the_other(
    reader: httpx.AsyncClient, model: ScriptedUpstream
) -> None:
    async with socket(reader, "/chat") as websocket:
        for number in range(40):
            await prompt(websocket, f"{number}")

        for number in range(40):
            events = await answer(websocket)
            assert "".join(event.get("content", "") for event in events) == f"You said: {number}"
            assert events[-1] == DONE


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ("", "This message is not valid JSON."),
        ("Hello", "This message is not valid JSON."),
        ("{'prompt': 'x'}", "This message is not valid JSON."),
        (b'{"prompt": "x"}', "This message is not valid JSON."),
        ("[" * 4000, "This message is not valid JSON."),
        ("{}", 'This message has no "prompt" text in it.'),
        ("[]", 'This message has no "prompt" text in it.'),
        ('{"prompt": 7}', 'This message has no "prompt" text in it.'),
        ('{"prompt": "  "}', "The message is empty. Write something first."),
        (
            json.dumps({"prompt": "x" * 1001}),
            "The message has 1,001 characters; at most 1,000 can be sent. Shorten it or send it in parts.",
        ),
    ],
)
async def test_a_bad_frame_is_an_error_and_the_socket_stays_usable(
    reader: httpx.AsyncClient, model: ScriptedUpstream, frame: str | bytes, message: str
) -> None:
    async with socket(reader, "/chat") as websocket:
        await websocket.send(frame)
        assert await comes(websocket) == error(message)

        await prompt(websocket, "Still here?")

        assert (await answer(websocket))[-1] == DONE
    assert len(model.exchanges) == 1


async def test_a_failure_of_the_models_is_an_error_and_the_socket_stays_usable(
    reader: httpx.AsyncClient, model: ScriptedUpstream
) -> None:
    well = model.script

    async def busy(exchange: Exchange) -> None:
        await exchange.json(429, {"error": {"message": "slow down"}})

    async def broken(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.chunk("Partly")
        exchange.reset()

    async with socket(reader, "/chat") as websocket:
        model.script = busy
        await prompt(websocket, "One")
        assert await answer(websocket) == [
            error("The model service is busy or its quota is used up. Wait a moment, then try again.")
        ]
        model.script = broken
        await prompt(websocket, "Two")
        assert await answer(websocket) == [
            chunk("Partly"),
            error("The connection to the model broke before the reply was whole. Try again."),
        ]
        model.script = well
        await prompt(websocket, "Three")

        assert await answer(websocket) == [chunk("You said: "), chunk("Three"), DONE]


async def test_a_reply_that_was_cut_at_the_models_limit_is_done(
    reader: httpx.AsyncClient, model: ScriptedUpstream
) -> None:
    model.script = lambda exchange: exchange.reply("Partly", reason="length")
    async with socket(reader, "/chat") as websocket:
        await prompt(websocket, "Tell me.")

        assert await answer(websocket) == [chunk("Partly"), DONE]


async def test_leaving_in_the_middle_lets_the_turn_run_to_its_end(
    reader: httpx.AsyncClient, model: ScriptedUpstream
) -> None:
    await reader.get("/")
    gated = Gated(model, "One ", "two")
    async with socket(reader, "/chat") as websocket:
        await prompt(websocket, "A heron")
        gated.let()
        assert await comes(websocket) == chunk("One ")

    gated.let_all()

    listed = await page_with(reader, "/", "A heron")
    found = re.search(r'href="(/c/[\w-]{22})"', listed)
    assert found is not None
    assert "<p>One two</p></div>" in await page_with(reader, found[1], 'data-state="finished"')


async def test_whoever_leaves_with_prompts_waiting_is_let_go(
    reader: httpx.AsyncClient, model: ScriptedUpstream
) -> None:
    gated = Gated(model, "One")
    async with socket(reader, "/chat") as websocket:
        for number in range(10):
            await prompt(websocket, f"{number}")
        await gated.has_begun.wait()

    gated.let_all()
    await until(lambda: len(model.exchanges) == 1, "the first prompt only")
    async with socket(reader, "/chat") as websocket:
        model.script = ScriptedUpstream().script
        await prompt(websocket, "Anybody?")
        assert (await answer(websocket))[-1] == DONE
    assert [exchange.prompt for exchange in model.exchanges] == ["0", "Anybody?"]
