"""A conversation's feed over HTTP, and its turns: stopped, tried again, and nobody else's."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from tests.clients import EVENTS, HTMX, LINES, Event, Gated, ask, asking, following, page_with
from tests.fakes import Exchange, ScriptedUpstream, until

WORDS = [f"word{number} " for number in range(8)]
SNAPSHOT = '<hx-partial id="rill-live" hx-swap="innerMorph">'
NOWHERE = "/c/no-such-conversation-0"


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """Each chunk of the model's is a fragment of its own here, so that they can be counted."""
    return {"RILL_FLUSH_MS": "0"}


@asynccontextmanager
async def begun(reader: httpx.AsyncClient, model: ScriptedUpstream, words: int) -> AsyncIterator[tuple[str, Gated]]:
    """A conversation whose reply has come to so many words and goes on as the test lets it."""
    gated = Gated(model, *WORDS)
    async with asking(reader) as (path, events):
        for _ in range(words):
            gated.let()
            await anext(events)
        yield path, gated
        gated.let_all()


async def ends_with(events: AsyncIterator[Event], id_: str) -> list[Event]:
    """Read up to the event with an id."""
    got = []
    async with asyncio.timeout(10):
        async for event in events:
            got.append(event)
            if event.id == id_:
                return got
    raise AssertionError(f"the stream ended before {id_}")


async def test_a_feed_begins_with_a_snapshot_and_goes_on_with_what_comes(
    reader: httpx.AsyncClient, model: ScriptedUpstream
) -> None:
    async with begun(reader, model, words=3) as (path, gated), following(reader, path) as (_, events):
        snapshot = await anext(events)
        assert snapshot.data.startswith(SNAPSHOT)
        assert snapshot.id == "2-3"
        assert "<p id=rill-r2b1>word0 word1 word2<i id=rill-r2-5></i></p>" in snapshot.data

        gated.let()

        delta = await anext(events)
        assert (delta.id, delta.data) == ("2-4", "<hx-partial id=rill-r2-5> word3<i id=rill-r2-6></i></hx-partial>")


async def test_a_feed_says_when_to_come_back(reader: httpx.AsyncClient) -> None:
    path = (await ask(reader)).path

    async with following(reader, path) as (stream, events):
        await anext(events)

    assert stream.retries == ["1000"]
    assert "connected" in stream.comments


async def test_several_readers_follow_the_same_turn(reader: httpx.AsyncClient, model: ScriptedUpstream) -> None:
    async with (
        begun(reader, model, words=1) as (path, gated),
        following(reader, path) as (_, one),
        following(reader, path) as (_, other),
    ):
        assert (await anext(one)).data == (await anext(other)).data

        gated.let_all()

        end = "2-2147483647"
        first, second = await ends_with(one, end), await ends_with(other, end)
        assert [event.data for event in first] == [event.data for event in second]
        assert "word7" in "".join(event.data for event in first)


async def test_a_feed_that_is_taken_up_again_repeats_nothing(
    reader: httpx.AsyncClient, model: ScriptedUpstream
) -> None:
    async with begun(reader, model, words=2) as (path, gated):
        async with following(reader, path) as (_, events):
            await anext(events)
            gated.let()
            last = await anext(events)
        gated.let(2)
        await page_with(reader, path, "word4")

        async with following(reader, path, Last_Event_ID=last.id) as (_, events):
            got = await ends_with(events, "2-5")

    shown = "".join(re.findall(r"word\d", "".join(event.data for event in got)))
    assert shown == "word3word4"
    assert not any(event.data.startswith(SNAPSHOT) for event in got)


@pytest.mark.parametrize("last", ["1-0", "nonsense", "", "2", "-1-0", "9" * 50])
async def test_a_place_that_is_not_known_gives_a_snapshot(
    reader: httpx.AsyncClient, model: ScriptedUpstream, last: str
) -> None:
    async with (
        begun(reader, model, words=2) as (path, _),
        following(reader, path, Last_Event_ID=last) as (_, events),
    ):
        first = await anext(events)

    assert first.id == "2-2"
    assert first.data.startswith(SNAPSHOT)


async def test_whoever_comes_back_after_the_end_gets_the_whole_reply(
    reader: httpx.AsyncClient, model: ScriptedUpstream
) -> None:
    async with begun(reader, model, words=2) as (path, gated):
        gated.let_all()
    await page_with(reader, path, 'data-state="finished"')

    async with following(reader, path, Last_Event_ID="2-2") as (_, events):
        got = await ends_with(events, "2-2147483647")

    # The feed may still be at hand, or gone; then there is a snapshot.
    shown = "".join(re.findall(r"word\d", "".join(event.data for event in got)))
    assert shown in {"".join(WORDS).replace(" ", ""), "".join(WORDS[2:]).replace(" ", "")}


async def test_whoever_has_everything_gets_only_what_is_new(reader: httpx.AsyncClient) -> None:
    path = (await ask(reader)).path

    async with following(reader, path, Last_Event_ID="2-2147483647") as (stream, events):
        coming = asyncio.ensure_future(anext(events))
        await until(lambda: stream.comments, "the stream to open")
        await ask(reader, "Second", path)
        first = await coming

    assert first.id.startswith("4-")
    assert "Second" in first.data
    assert "Hello" not in first.data


async def test_a_feed_tells_of_the_next_turn_too(reader: httpx.AsyncClient) -> None:
    path = (await ask(reader)).path

    async with following(reader, path) as (_, events):
        await anext(events)
        await ask(reader, "Second", path)
        got = await ends_with(events, "4-2147483647")

    assert got[0].id.startswith("4-")
    assert '<hx-partial id="rill-after-2">' in got[0].data
    assert "Second" in "".join(event.data for event in got[1:])


@pytest.mark.parametrize("how", ["form", "delete", "htmx"])
async def test_stop_ends_the_reply_at_the_model_and_keeps_what_was_written(
    reader: httpx.AsyncClient, model: ScriptedUpstream, how: str
) -> None:
    async with begun(reader, model, words=3) as (path, _):
        if how == "delete":
            answer = await reader.delete(f"{path}/turn")
        else:
            answer = await reader.post(f"{path}/turn/stop", headers=HTMX if how == "htmx" else {})

        assert answer.status_code == {"form": 303, "delete": 204, "htmx": 200}[how]
        await until(model.exchanges[0].was_closed.is_set, "the connection to the model to close", 1)

    page = (await reader.get(path)).text
    assert 'data-state="stopped"' in page
    assert "<p>word0 word1 word2</p></div>" in page
    assert "Try again</button>" in page
    assert "word3" not in page


async def test_a_stopped_turn_tells_its_followers(reader: httpx.AsyncClient, model: ScriptedUpstream) -> None:
    gated = Gated(model, *WORDS)
    async with asking(reader) as (path, events):
        gated.let()
        await anext(events)

        await reader.delete(f"{path}/turn")

        assert [event async for event in events] == [{"type": "done", "state": "stopped", "cause": None}]


async def test_stopping_before_the_model_has_begun_ends_it_too(
    reader: httpx.AsyncClient, model: ScriptedUpstream
) -> None:
    async def never(exchange: Exchange) -> None:
        await exchange.was_closed.wait()

    model.script = never
    async with asking(reader) as (path, events):
        await until(lambda: model.exchanges, "the request")
        await reader.delete(f"{path}/turn")

        assert (await anext(events))["state"] == "stopped"
    await until(model.exchanges[0].was_closed.is_set, "the connection to the model to close", 1)


async def test_stopping_again_or_after_the_end_is_no_error(reader: httpx.AsyncClient) -> None:
    path = (await ask(reader)).path

    assert (await reader.delete(f"{path}/turn")).status_code == 204
    assert (await reader.delete(f"{path}/turn")).status_code == 204
    assert (await reader.post(f"{path}/turn/stop")).status_code == 303
    assert (await reader.post(f"{path}/turn/stop", headers=HTMX)).status_code == 200
    assert 'data-state="finished"' in (await reader.get(path)).text


async def test_stops_at_the_same_time_are_no_error(reader: httpx.AsyncClient, model: ScriptedUpstream) -> None:
    async with begun(reader, model, words=1) as (path, _):
        answers = await asyncio.gather(*(reader.delete(f"{path}/turn") for _ in range(5)))

    assert {answer.status_code for answer in answers} == {204}


async def test_a_retry_puts_another_reply_in_the_place_of_the_old_one(
    reader: httpx.AsyncClient, model: ScriptedUpstream
) -> None:
    async with begun(reader, model, words=2) as (path, _):
        await reader.delete(f"{path}/turn")
    model.script = ScriptedUpstream().script

    async with following(reader, path) as (_, events):
        await anext(events)
        answer = await reader.post(f"{path}/turn/retry", data={"reply": "2"})
        got = await ends_with(events, "3-2147483647")

    assert answer.status_code == 303
    assert '<hx-partial id="rill-m2">' in got[0].data
    page = (await reader.get(path)).text
    assert "You said: Hello" in page
    assert "word0" not in page
    assert page.count('class="message reply"') == 1


@pytest.mark.parametrize("number", ["1", "3", "99", "", "-2", "two", "²", "9" * 30])
async def test_only_the_latest_reply_can_be_tried_again(
    reader: httpx.AsyncClient, model: ScriptedUpstream, number: str
) -> None:
    path = (await ask(reader)).path

    answer = await reader.post(f"{path}/turn/retry", data={"reply": number})

    assert answer.status_code in {400, 409}
    assert answer.text.startswith("<!doctype html>")
    assert len(model.exchanges) == 1


async def test_a_running_reply_cannot_be_tried_again(reader: httpx.AsyncClient, model: ScriptedUpstream) -> None:
    async with begun(reader, model, words=1) as (path, _):
        answer = await reader.post(f"{path}/turn/retry", data={"reply": "2"}, headers=LINES)

    assert (answer.status_code, answer.json()["cause"]) == (409, "turn_running")


async def test_retries_at_the_same_time_begin_one_turn(reader: httpx.AsyncClient, model: ScriptedUpstream) -> None:
    path = (await ask(reader)).path
    gated = Gated(model, "Again")

    answers = await asyncio.gather(*(reader.post(f"{path}/turn/retry", data={"reply": "2"}) for _ in range(5)))

    assert sorted(answer.status_code for answer in answers) == [303, 409, 409, 409, 409]
    gated.let_all()
    await page_with(reader, path, "<p>Again</p></div>")
    assert len(model.exchanges) == 2


ROUTES = [
    ("GET", "", {}),
    ("POST", "/messages", {"prompt": "Hello"}),
    ("GET", "/stream", {}),
    ("GET", "/fallback", {}),
    ("DELETE", "/turn", {}),
    ("POST", "/turn/stop", {}),
    ("POST", "/turn/retry", {"reply": "2"}),
]


@pytest.mark.parametrize(("method", "route", "fields"), ROUTES)
@pytest.mark.parametrize("whose", ["nobody's", "another reader's"])
async def test_a_conversation_that_is_not_ones_own_does_not_exist(
    reader: httpx.AsyncClient,
    stranger: httpx.AsyncClient,
    model: ScriptedUpstream,
    whose: str,
    method: str,
    route: str,
    fields: dict[str, str],
) -> None:
    path = (await ask(reader, "A secret")).path if whose == "another reader's" else NOWHERE
    model.exchanges.clear()
    for headers in [{}, HTMX, LINES, EVENTS]:
        answer = await stranger.request(method, path + route, data=fields or None, headers=headers)

        assert answer.status_code == 404
        assert "There is no such conversation in this browser." in answer.text
        assert "A secret" not in answer.text
    assert model.exchanges == []


async def test_another_readers_running_reply_cannot_be_stopped(
    reader: httpx.AsyncClient, stranger: httpx.AsyncClient, model: ScriptedUpstream
) -> None:
    async with begun(reader, model, words=1) as (path, gated):
        assert (await stranger.delete(f"{path}/turn")).status_code == 404
        gated.let_all()

        assert "".join(WORDS).strip() in await page_with(reader, path, 'data-state="finished"')


async def test_an_address_that_no_route_has_is_not_found_in_the_askers_form(reader: httpx.AsyncClient) -> None:
    for method, path, status in [("GET", "/nothing", 404), ("PUT", "/messages", 405), ("POST", "/c/x/y/z", 404)]:
        page = await reader.request(method, path)
        lines = await reader.request(method, path, headers=LINES)

        assert (page.status_code, lines.status_code) == (status, status)
        assert page.text.startswith("<!doctype html>")
        assert lines.json()["type"] == "error"
