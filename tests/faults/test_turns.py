"""What becomes of a turn when its model is busy, slow or endless, and when the server is told to stop."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clients import EVENTS, HTMX, LINES, Gated, ask, asking, following, page_with, socket
from tests.dom import Dom
from tests.fakes import Exchange, RillServer, ScriptedUpstream, rill_server, until


@pytest.fixture
async def reader(server: RillServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, timeout=60, trust_env=False) as client:
        yield client


@asynccontextmanager
async def reading(folder: Path, upstream: ScriptedUpstream, **settings: str) -> AsyncIterator[httpx.AsyncClient]:
    """A reader at a server with settings of its own."""
    model = {"OPENAI_BASE_URL": upstream.base_url, "OPENAI_API_KEY": "k"}
    async with (
        rill_server(folder, **model, **settings) as server,
        httpx.AsyncClient(base_url=server.url, timeout=60, trust_env=False) as client,
    ):
        yield client


def failing_first(times: int, fail: Callable[[Exchange], object], moments: list[float]) -> Callable[[Exchange], object]:
    """A model that fails so many times before it answers well; it notes when it was asked."""

    async def script(exchange: Exchange) -> None:
        moments.append(time.monotonic())
        if len(moments) <= times:
            await fail(exchange)  # type: ignore[misc]
        else:
            await exchange.reply("At ", "last")

    return script


def busy(status: int, **headers: str) -> Callable[[Exchange], object]:
    return lambda exchange: exchange.json(status, {"error": {"message": "busy"}}, **headers)


class TestABusyModel:
    @pytest.mark.parametrize("status", [429, 500, 502, 503, 529])
    async def test_is_asked_again_until_it_answers(
        self, reader: httpx.AsyncClient, upstream: ScriptedUpstream, status: int
    ) -> None:
        upstream.script = failing_first(2, busy(status), [])  # type: ignore[assignment]

        told = await ask(reader)

        assert (told.text, told.end["type"]) == ("At last", "done")
        assert len(upstream.exchanges) == 3

    @pytest.mark.parametrize("form", ["seconds", "date"])
    async def test_is_left_alone_as_long_as_it_wants(
        self, reader: httpx.AsyncClient, upstream: ScriptedUpstream, form: str
    ) -> None:
        moments: list[float] = []
        wanted = "2" if form == "seconds" else formatdate(time.time() + 3, usegmt=True)
        upstream.script = failing_first(1, busy(429, Retry_After=wanted), moments)  # type: ignore[assignment]

        told = await ask(reader)

        assert told.text == "At last"
        assert moments[1] - moments[0] >= 1.9

    async def test_that_wants_to_be_left_alone_for_too_long_is_given_up(
        self, reader: httpx.AsyncClient, upstream: ScriptedUpstream
    ) -> None:
        upstream.script = busy(429, Retry_After="3600")  # type: ignore[assignment]

        told = await ask(reader)

        assert told.end["cause"] == "too_many_requests"
        assert len(upstream.exchanges) == 1

    async def test_makes_the_page_say_when_it_is_asked_again_and_stop_ends_the_waiting(
        self, reader: httpx.AsyncClient, upstream: ScriptedUpstream
    ) -> None:
        upstream.script = busy(429, Retry_After="19")  # type: ignore[assignment]
        path = str((await reader.post("/messages", data={"prompt": "Hello"})).headers["location"])
        async with following(reader, path) as (_, events):
            async for event in events:
                if "The model service is busy. Asking again in" in event.data:
                    break

            answer = await reader.post(f"{path}/turn/stop", headers=HTMX)

            assert answer.status_code == 200
        assert 'data-state="stopped"' in (await reader.get(path)).text
        assert len(upstream.exchanges) == 1

    async def test_is_not_asked_again_once_a_word_has_come(
        self, reader: httpx.AsyncClient, upstream: ScriptedUpstream
    ) -> None:
        async def fails_midway(exchange: Exchange) -> None:
            await exchange.head()
            await exchange.chunk("Partly")
            await exchange.event({"error": {"code": "overloaded"}})

        upstream.script = fails_midway

        told = await ask(reader)

        assert (told.text, told.end["cause"]) == ("Partly", "endpoint_failed")
        assert len(upstream.exchanges) == 1

    async def test_is_asked_as_often_as_the_setting_says(self, tmp_path: Path, upstream: ScriptedUpstream) -> None:
        upstream.script = busy(503)  # type: ignore[assignment]
        async with reading(tmp_path, upstream, RILL_BUSY_RETRIES="0") as reader:
            told = await ask(reader)

        assert told.end["cause"] == "endpoint_failed"
        assert len(upstream.exchanges) == 1


class TestTimeLimits:
    async def test_a_turn_that_takes_too_long_is_ended_and_its_text_kept(
        self, tmp_path: Path, upstream: ScriptedUpstream
    ) -> None:
        async def endless(exchange: Exchange) -> None:
            await exchange.head()
            await exchange.chunk("On ")
            while not exchange.was_closed.is_set():
                await exchange.raw(b": still here\n\n")
                await exchange.chunk("")
                await asyncio.wait([asyncio.ensure_future(exchange.was_closed.wait())], timeout=0.1)

        upstream.script = endless
        async with reading(tmp_path, upstream, RILL_TURN_SECONDS="1.5") as reader:
            told = await ask(reader)
            page = (await reader.get(told.path)).text

        assert (told.text, told.end["cause"]) == ("On ", "turn_too_long")
        assert "took longer over this reply than is allowed" in page
        assert "Continue</button>" in page
        await until(upstream.exchanges[0].was_closed.is_set, "the connection to the model to close")


class TestStopping:
    async def test_before_the_first_chunk_closes_the_models_connection(
        self, reader: httpx.AsyncClient, upstream: ScriptedUpstream
    ) -> None:
        gated = Gated(upstream, "Never")
        path = str((await reader.post("/messages", data={"prompt": "Hello"})).headers["location"])
        await gated.has_begun.wait()

        answer = await reader.post(f"{path}/turn/stop")

        assert answer.status_code == 303
        assert upstream.exchanges[0].was_closed.is_set() or await _closes(upstream)
        assert 'data-state="stopped"' in (await reader.get(path)).text

    async def test_twice_and_from_another_tab_and_after_the_end_is_no_error(
        self, reader: httpx.AsyncClient, upstream: ScriptedUpstream
    ) -> None:
        gated = Gated(upstream, "One ", "two")
        async with asking(reader) as (path, events):
            gated.let()
            await anext(events)
            stops = [reader.post(f"{path}/turn/stop", headers=HTMX), reader.post(f"{path}/turn/stop")]

            answers = await asyncio.gather(*stops, reader.delete(f"{path}/turn"))
            late = await reader.post(f"{path}/turn/stop", headers=HTMX)

            told = [event async for event in events]
        assert [answer.status_code for answer in (*answers, late)] == [200, 303, 204, 200]
        assert told[-1] == {"type": "done", "state": "stopped", "cause": None}

    async def test_as_the_reply_ends_is_never_an_error_whichever_wins(
        self, reader: httpx.AsyncClient, upstream: ScriptedUpstream
    ) -> None:
        path = ""
        for number in range(25):
            gated = Gated(upstream, "Whole")
            async with asking(reader, f"Hello {number}", path) as (found, events):
                path = found
                gated.let()
                await anext(events)
                gated.let()
                answer = await reader.post(f"{path}/turn/stop", headers=HTMX)
                (end,) = [event async for event in events]

            assert answer.status_code == 200
            assert end["state"] in {"finished", "stopped"}

        page = Dom((await reader.get(f"{path}?shown=50")).text)
        assert [reply.select(".text")[0].text.strip() for reply in page.replies] == ["Whole"] * 25


async def _closes(upstream: ScriptedUpstream) -> bool:
    await until(upstream.exchanges[0].was_closed.is_set, "the connection to the model to close", 1)
    return True


class TestBeingToldToStop:
    async def test_readers_see_the_rest_while_new_prompts_are_refused(
        self, server: RillServer, reader: httpx.AsyncClient, upstream: ScriptedUpstream
    ) -> None:
        assert server.process is not None
        gated = Gated(upstream, "One ", "two")
        path = str((await reader.post("/messages", data={"prompt": "Hello"})).headers["location"])
        reader.cookies.delete("rill_scripts")
        page = Dom((await reader.get(path)).text)
        (owner,) = page.document.select("main[hx-ws\\:connect]")
        async with socket(reader, str(owner.attrs["hx-ws:connect"])) as connected:
            page.receive(str(await connected.recv()))
            gated.let()
            server.process.send_signal(signal.SIGTERM)
            await until(lambda: "turns.draining" in server.output, "the draining to begin")

            refused = await reader.post("/messages", data={"prompt": "Keep me"})
            lines = await reader.post("/messages", data={"prompt": "Hello"}, headers=LINES)
            readiness = await reader.get("/readyz")
            gated.let_all()
            while page.state() == "running":
                page.receive(str(await connected.recv()))
            await connected.wait_closed()

        assert page.text().strip() == "One two"
        assert page.state() == "finished"
        assert connected.close_code == 1012
        assert refused.status_code == lines.status_code == readiness.status_code == 503
        assert Dom(refused.text).document.select("#rill-prompt")[0].text == "Keep me"
        assert lines.json()["cause"] == readiness.json()["server"] == "server_ending"
        await server.end()
        await server.start()
        assert "<p>One two</p></div>" in (await reader.get(path)).text

    async def test_what_does_not_end_in_time_is_interrupted_with_its_text(
        self, server: RillServer, reader: httpx.AsyncClient, upstream: ScriptedUpstream
    ) -> None:
        gated = Gated(upstream, "One ", "two")
        async with asking(reader) as (path, events), reader.stream("GET", f"{path}/stream", headers=EVENTS):
            gated.let()
            await anext(events)

            began = time.monotonic()
            await server.end(signal.SIGTERM)

            told = [event async for event in events]
        assert time.monotonic() - began < 2 + 5
        assert told[-1]["cause"] == "interrupted"
        await server.start()
        page = await page_with(reader, path, "The server stopped while this was being written")
        assert "<p>One</p></div>" in page
        assert "Continue</button>" in page

    async def test_a_second_signal_ends_the_waiting(self, tmp_path: Path, upstream: ScriptedUpstream) -> None:
        model = {"OPENAI_BASE_URL": upstream.base_url, "OPENAI_API_KEY": "k", "RILL_SHUTDOWN_GRACE_SECONDS": "3600"}
        async with rill_server(tmp_path, **model) as server:
            assert server.process is not None
            Gated(upstream, "One")
            async with httpx.AsyncClient(base_url=server.url, timeout=60, trust_env=False) as reader:
                await reader.post("/messages", data={"prompt": "Hello"})
                server.process.send_signal(signal.SIGINT)
                await until(lambda: "turns.draining" in server.output, "the draining to begin")

                await server.end(signal.SIGINT)

            assert "Traceback" not in server.output


async def test_a_reply_that_floods_does_not_hold_up_the_words_of_another(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    words = [f"word{number} " for number in range(10)]
    allowed, is_enough, is_flooding = asyncio.Semaphore(0), asyncio.Event(), asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        if exchange.prompt == "Flood":
            while not is_enough.is_set():
                await exchange.chunk("A flood of *words* without any end.\n\n" * 20)
                is_flooding.set()
                await asyncio.sleep(0)  # Writing what the network takes at once gives nobody else here a turn.
        else:
            for word in words:
                await allowed.acquire()
                await exchange.chunk(word)
        await exchange.finish()

    upstream.script = script
    async with (
        reading(tmp_path, upstream, RILL_MAX_REPLY_CHARS="20000000", RILL_SHUTDOWN_GRACE_SECONDS="0") as reader,
        asking(reader, "Flood") as (_, flood),
    ):
        taking = asyncio.create_task(_all(flood))
        await is_flooding.wait()

        async with asking(reader, "Words") as (_, told):
            for word in words:
                allowed.release()
                assert (await anext(told))["content"] == word
                assert not taking.done()
            is_enough.set()
            assert (await anext(told))["type"] == "done"
        taking.cancel()
        await asyncio.wait([taking])


async def _all(told: AsyncIterator[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event async for event in told]
