"""Five hundred prompts, each of them sent several times in one of the ways in which that happens."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from tests.clients import EVENTS, HTMX, LINES, ask, socket
from tests.dom import Dom
from tests.fakes import RillServer, ScriptedUpstream
from tests.soak.visits import new_client
from tests.stores import query

READERS = 50
PROMPTS_OF_A_READER = 10
SEED = os.environ.get("RILL_DUPLICATES_SEED") or secrets.token_hex(4)

Fields = Mapping[str, str]


class Asker:
    """A reader with one conversation, who sends each prompt more than once."""

    def __init__(self, client: httpx.AsyncClient, number: int) -> None:
        self.client = client
        self.random = Random(f"{SEED} {number}")
        self.prompts = [f"Prompt {index} of reader {number}" for index in range(PROMPTS_OF_A_READER)]
        self.path = ""

    async def ask_all(self) -> None:
        await self.client.get("/")
        for index, prompt in enumerate(self.prompts):
            fields = {"prompt": prompt, "request_id": f"request-{index}"}
            ways = FURTHER_WAYS if self.path else FIRST_WAYS
            await self.random.choice(ways)(self, fields)
            # The same once more; this also waits for the end of the turn.
            told = await ask(self.client, path=self.path, **fields)
            assert told.text == f"You said: {prompt}"
            assert self.path in {"", told.path}, "one prompt has opened two conversations"
            self.path = told.path

    async def post(self, fields: Fields, headers: Fields, query: str = "") -> None:
        answer = await self.client.post(f"{self.path}/messages{query}", data=dict(fields), headers=dict(headers))
        assert answer.status_code in {200, 201, 303}

    def socket(self) -> Any:
        return socket(self.client, f"{self.path}/stream")


async def send(connected: Any, fields: Fields) -> None:
    await connected.send(json.dumps({**fields, "headers": HTMX}))


async def by_a_double_click(asker: Asker, fields: Fields) -> None:
    await asyncio.gather(*(asker.post(fields, HTMX) for _ in range(asker.random.randint(2, 5))))


async def by_a_form_that_is_posted_again(asker: Asker, fields: Fields) -> None:
    await asker.post(fields, {})
    await asker.post(fields, {})


async def by_forms_and_programs_at_once(asker: Asker, fields: Fields) -> None:
    await asyncio.gather(*(asker.post(fields, headers) for headers in ({}, HTMX, LINES, EVENTS)))


async def by_socket_and_form_at_once(asker: Asker, fields: Fields) -> None:
    async with asker.socket() as connected:
        await asyncio.gather(send(connected, fields), asker.post(fields, {}), asker.post(fields, HTMX))


async def by_enter_that_is_held_down(asker: Asker, fields: Fields) -> None:
    async with asker.socket() as connected:
        for _ in range(5):
            await send(connected, fields)
        await asker.post(fields, HTMX, "?again=1")


async def by_a_second_try(asker: Asker, fields: Fields) -> None:
    async with asker.socket() as connected:
        await send(connected, fields)
        await asker.post(fields, HTMX, "?again=1")


async def by_a_socket_that_comes_back(asker: Asker, fields: Fields) -> None:
    async with asker.socket() as connected:
        await send(connected, fields)
        connected.transport.abort()
    async with asker.socket() as connected:
        await send(connected, fields)


async def by_two_tabs_at_once(asker: Asker, fields: Fields) -> None:
    async with AsyncExitStack() as tabs:
        sockets = [await tabs.enter_async_context(asker.socket()) for _ in range(2)]
        await asyncio.gather(*(send(connected, fields) for connected in sockets))


Way = Callable[[Asker, Fields], Awaitable[None]]
FIRST_WAYS: list[Way] = [by_a_double_click, by_a_form_that_is_posted_again, by_forms_and_programs_at_once]
FURTHER_WAYS: list[Way] = [
    *FIRST_WAYS,
    by_socket_and_form_at_once,
    by_enter_that_is_held_down,
    by_a_second_try,
    by_a_socket_that_comes_back,
    by_two_tabs_at_once,
]


@pytest.mark.timeout(300)
async def test_a_prompt_that_arrives_several_times_is_stored_once_and_asked_of_the_model_once(
    server: RillServer, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    askers = [Asker(new_client(server.url), number) for number in range(READERS)]
    prompts = [prompt for asker in askers for prompt in asker.prompts]

    await asyncio.gather(*(asker.ask_all() for asker in askers))

    assert (len(prompts), len(set(prompts))) == (500, 500)
    once = Counter(prompts)
    assert Counter(exchange.prompt for exchange in upstream.exchanges) == once, f"RILL_DUPLICATES_SEED={SEED}"
    stored = await query(f"sqlite:///{tmp_path}/data/rill.db", "SELECT role, text, state FROM messages")
    assert Counter(text for role, text, _ in stored if role == "user") == once
    assert Counter(text for role, text, state in stored if state == "finished") == Counter(
        f"You said: {prompt}" for prompt in prompts
    )
    assert len(stored) == 2 * len(prompts)
    for asker in askers:
        page = Dom((await asker.client.get(asker.path)).text)
        shown = [message.text.strip() for message in page.document.select("article.message .text")]
        assert shown == [text for prompt in asker.prompts for text in (prompt, f"You said: {prompt}")]
        await asker.client.aclose()
