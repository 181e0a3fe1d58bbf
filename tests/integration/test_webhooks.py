"""What happens in an embed is told to its operator's program: signed, until it is taken, also after a crash."""

from __future__ import annotations

import json
import signal
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from tests.clients import Gated, ask, asking, new_reader
from tests.dom import Dom
from tests.fakes import Exchange, RillServer, ScriptedUpstream, rill_server, until
from tests.stores import begin, finish, sqlite_url
from webapp.domain import Conversation, ReaderId
from webapp.embeds import Embeds
from webapp.setups import Offer
from webapp.stores.outbox import SqlOutbox
from webapp.stores.sql import SqlStore
from webapp.stores.visitors import SqlVisitors
from webapp.webhooks import Event, Webhooks

SECRET = "k" * 40


@pytest.fixture
async def receiver() -> AsyncIterator[ScriptedUpstream]:
    """The operator's program, which takes everything unless a test says otherwise."""
    service = ScriptedUpstream()
    service.script = lambda exchange: exchange.json(200, {})
    await service.start()
    yield service
    await service.stop()


def embeds_file(folder: Path, receiver: ScriptedUpstream) -> Path:
    path = folder / "embeds.toml"
    path.write_text(f'[shop]\nsecret = "{SECRET}"\nwebhook = "{receiver.base_url}/hook"\nhandover = true\n[plain]\n')
    return path


@pytest.fixture
async def server(tmp_path: Path, upstream: ScriptedUpstream, receiver: ScriptedUpstream) -> AsyncIterator[RillServer]:
    settings = {"RILL_EMBEDS": str(embeds_file(tmp_path, receiver)), "OPENAI_API_KEY": "k"}
    async with rill_server(tmp_path, OPENAI_BASE_URL=upstream.base_url, **settings) as running:
        yield running


def verified(exchange: Exchange, secret: str = SECRET) -> Any:
    """Check the signature as any receiver does, and give what was told."""
    body = json.dumps(exchange.body, ensure_ascii=False)
    return Webhook(b64encode(secret.encode()).decode()).verify(body, dict(exchange.headers))


async def visit(visitor: httpx.AsyncClient, name: str = "shop") -> str:
    location = (await visitor.get(f"/embed/{name}")).headers["location"]
    return "/".join(location.split("/")[:3])


def told(receiver: ScriptedUpstream, event: Event) -> list[dict[str, Any]]:
    return [exchange.body["data"] for exchange in receiver.exchanges if exchange.body["type"] == event.value]


async def test_each_thing_that_happens_is_told_and_signed(
    server: RillServer, upstream: ScriptedUpstream, receiver: ScriptedUpstream
) -> None:
    upstream.script = lambda exchange: exchange.reply("Schön: 日本.")
    async with new_reader(server) as visitor:
        path = (await ask(visitor, "Where is it?", await visit(visitor))).path
        await visitor.post(f"{path}/rating", data={"bad": "2", "comment-2": "No."})
        await visitor.post(f"{path}/person", follow_redirects=True)
        page = await visitor.get(path)
        again = await visitor.post(f"{path}/person", headers={"Accept": "text/html"})
        shown = await visitor.get(again.headers["location"])
        await ask(visitor, "Of no interest", await visit(visitor, "plain"))
        await until(lambda: len(receiver.exchanges) >= 4, "four deliveries")

    for exchange in receiver.exchanges:
        assert verified(exchange)["data"]["conversation"] == path.rpartition("/")[2]
    (started,), (finished,) = told(receiver, Event.CONVERSATION_STARTED), told(receiver, Event.REPLY_FINISHED)
    (rated,), (asked,) = told(receiver, Event.FEEDBACK_GIVEN), told(receiver, Event.HANDOVER_ASKED)
    assert (started["embed"], started["visitor"], started["prompt"]["text"]) == ("shop", None, "Where is it?")
    assert (finished["reply"]["text"], finished["reply"]["state"]) == ("Schön: 日本.", "finished")
    assert (rated["feedback"]["rating"], rated["feedback"]["comment"]) == (-1, "No.")
    assert [each["text"] for each in asked["messages"]] == ["Where is it?", "Schön: 日本."]
    assert [button.text for button in Dom(page.text).document.select(".person")] == ["Talk to a person"]
    assert "A person was asked to come" in shown.text
    with pytest.raises(WebhookVerificationError):
        verified(receiver.exchanges[0], "x" * 40)


async def test_who_cannot_ask_for_a_person_has_no_button_and_no_way(server: RillServer) -> None:
    async with new_reader(server) as visitor, new_reader(server) as reader:
        path = (await ask(visitor, "Hi", await visit(visitor, "plain"))).path
        own = (await ask(reader, "Hi")).path

        assert not Dom((await visitor.get(path)).text).document.select(".person")
        assert (await visitor.post(f"{path}/person")).status_code == 404
        assert (await reader.post(f"{own}/person")).status_code == 404


async def test_what_was_stored_is_told_after_a_crash(
    server: RillServer, upstream: ScriptedUpstream, receiver: ScriptedUpstream
) -> None:
    receiver.script = lambda exchange: exchange.json(500, {})
    async with new_reader(server) as visitor:
        await ask(visitor, "Hi", await visit(visitor))
        await until(lambda: "webhook.failed" in server.output, "an attempt that fails")
        await server.end(signal.SIGKILL)
        receiver.exchanges.clear()
        receiver.script = lambda exchange: exchange.json(200, {})
        await server.start()
        await until(lambda: told(receiver, Event.CONVERSATION_STARTED), "the delivery after the crash", 30)

    assert SECRET not in server.output


async def test_a_reply_that_a_crash_interrupted_is_told(
    server: RillServer, upstream: ScriptedUpstream, receiver: ScriptedUpstream
) -> None:
    gated = Gated(upstream, "Half ", "whole")
    async with new_reader(server) as visitor, asking(visitor, "Hi", await visit(visitor)) as (_, events):
        gated.let()
        await anext(events)
        await server.end(signal.SIGKILL)
        await server.start()
        await until(lambda: told(receiver, Event.REPLY_FINISHED), "the delivery after the crash", 30)

    (finished,) = told(receiver, Event.REPLY_FINISHED)
    assert finished["reply"]["state"] == "interrupted"


class Shop:
    """A store with one conversation of an embed in it, and webhooks that do not wait long."""

    def __init__(self, store: SqlStore, webhooks: Webhooks, embeds: Embeds, conversation: Conversation) -> None:
        self.outbox = SqlOutbox(store.database)
        self._webhooks, self._embeds, self._conversation = webhooks, embeds, conversation

    async def tell(self, once: str = "") -> bool:
        embed = self._embeds.find("shop")
        return await self._webhooks.tell(embed, Event.HANDOVER_ASKED, self._conversation, {}, once=once)


@asynccontextmanager
async def shop(folder: Path, receiver: ScriptedUpstream) -> AsyncIterator[Shop]:
    store = SqlStore(sqlite_url(folder))
    await store.open()
    embeds = Embeds(embeds_file(folder, receiver), Offer())
    outbox, visitors = SqlOutbox(store.database), SqlVisitors(store.database)
    webhooks = Webhooks(outbox, visitors, embeds, waits=(timedelta(0),) * 2)
    await webhooks.open()
    turn = await begin(store, owner=ReaderId("embed:shop:x"))
    await finish(store, turn)
    yield Shop(store, webhooks, embeds, turn.conversation)
    await webhooks.close()
    await store.close()


async def test_it_is_tried_again_until_it_is_taken_under_the_same_id(
    tmp_path: Path, receiver: ScriptedUpstream
) -> None:
    answers = iter([503, 301, 204])
    receiver.script = lambda exchange: exchange.json(next(answers), {}, Location="/elsewhere")
    async with shop(tmp_path, receiver) as one:
        await one.tell()
        await until(lambda: len(receiver.exchanges) == 3, "the third attempt")
        while await one.outbox.next_due() is not None:
            pass

    assert len({exchange.headers["webhook-id"] for exchange in receiver.exchanges}) == 1
    assert [exchange.path for exchange in receiver.exchanges] == [receiver.exchanges[0].path] * 3


async def test_it_is_given_up_in_the_end(tmp_path: Path, receiver: ScriptedUpstream) -> None:
    receiver.script = lambda exchange: exchange.json(500, {})
    async with shop(tmp_path, receiver) as one:
        await one.tell()
        await until(lambda: len(receiver.exchanges) == 3, "the last attempt")
        while await one.outbox.next_due() is not None:
            pass

    assert len(receiver.exchanges) == 3


async def test_a_receiver_s_cookies_are_not_kept(tmp_path: Path, receiver: ScriptedUpstream) -> None:
    """One that is no ASCII could not even be sent back."""
    cookies = {"Set-Cookie": "n=ü; Path=/"}
    receiver.script = lambda exchange: exchange.json(200, {}, **cookies)
    async with shop(tmp_path, receiver) as one:
        for number in range(3):
            await one.tell()
            await until(lambda number=number: len(receiver.exchanges) > number, "the next delivery")

    assert not any("cookie" in exchange.headers for exchange in receiver.exchanges)


async def test_what_goes_wrong_with_one_delivery_is_no_end_of_all(
    tmp_path: Path, receiver: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = iter([RuntimeError("A fault of ours.")])

    def headers(*_about: object) -> dict[str, str]:
        for fault in faults:
            raise fault
        return {"content-type": "application/json"}

    monkeypatch.setattr("webapp.webhooks._headers", headers)
    async with shop(tmp_path, receiver) as one:
        await one.tell()
        await until(lambda: receiver.exchanges, "the second attempt")


async def test_the_same_thing_is_told_once(tmp_path: Path, receiver: ScriptedUpstream) -> None:
    receiver.script = lambda exchange: exchange.json(500, {})
    async with shop(tmp_path, receiver) as one:
        assert await one.tell(once="2")
        assert not await one.tell(once="2")
        assert await one.tell(once="4")
