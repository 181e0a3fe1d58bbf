"""The list of conversations over HTTP: pieces, actions, search, titles; and who may do what."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from tests.clients import HTMX, LINES, ask, following, new_reader
from tests.dom import Dom
from tests.fakes import Exchange, RillServer, ScriptedUpstream, rill_server, until
from webapp.titles import REQUEST


def listed(html: str) -> list[str]:
    return [each.text.strip() for each in Dom(html).document.select("#rill-listing li > a")]


async def conversation(reader: httpx.AsyncClient, prompt: str) -> str:
    return (await ask(reader, prompt)).path.rpartition("/")[2]


class TestChanges:
    @pytest.mark.parametrize("name", ["pin", "unpin", "archive", "unarchive", "delete", "restore", "rename"])
    async def test_nobody_changes_what_is_not_theirs(
        self, reader: httpx.AsyncClient, stranger: httpx.AsyncClient, name: str
    ) -> None:
        own = await conversation(reader, "Mine")

        answer = await stranger.post("/conversations", data={name: own, "title": "Theirs"})

        assert answer.status_code == 404
        assert listed((await reader.get("/")).text) == ["Mine"]
        assert (await stranger.get("/conversations/actions", params={"of": own})).status_code == 404
        for way in ("newer", "older"):
            assert (await stranger.get(f"/c/{own}/{way}")).status_code == 404

    @pytest.mark.parametrize(
        ("fields", "status"),
        [
            ({}, 400),
            ({"explode": "{id}"}, 400),
            ({"pin": "no-such-conversation"}, 404),
            ({"pin": "x" * 9000}, 404),
            ({"rename": "{id}"}, 422),
            ({"rename": "{id}", "title": " \x00 "}, 422),
            ({"rename": "{id}", "title": "x" * 201}, 422),
        ],
    )
    async def test_what_cannot_be_done_is_said(
        self, reader: httpx.AsyncClient, fields: dict[str, str], status: int
    ) -> None:
        own = await conversation(reader, "Mine")
        sent = {name: value.format(id=own) for name, value in fields.items()}

        page = await reader.post("/conversations", data=sent)
        fragment = await reader.post("/conversations", data=sent, headers=HTMX)
        program = await reader.post("/conversations", data=sent, headers=LINES)

        assert (page.status_code, fragment.status_code, program.status_code) == (status,) * 3
        assert "<h1" in page.text
        assert '<hx-partial id="rill-notice"' in fragment.text
        assert program.json()["message"] in page.text

    async def test_a_title_is_one_line_of_text(self, reader: httpx.AsyncClient) -> None:
        own = await conversation(reader, "Mine")

        await reader.post("/conversations", data={"rename": own, "title": " <i>a</i>\r\n b\x00\u202e "})

        assert "&lt;i&gt;a&lt;/i&gt; b" in (await reader.get("/")).text

    async def test_a_program_gets_no_page(self, reader: httpx.AsyncClient) -> None:
        own = await conversation(reader, "Mine")

        answer = await reader.post("/conversations", data={"archive": own}, headers=LINES)

        assert (answer.status_code, answer.text) == (204, "")
        assert listed((await reader.get("/")).text) == []

    async def test_a_restored_conversation_is_as_it_was(self, reader: httpx.AsyncClient) -> None:
        told = await ask(reader, "Mine")
        before = Dom((await reader.get(told.path)).text).transcript()
        own = told.path.rpartition("/")[2]
        await reader.post("/conversations", data={"delete": own})
        assert (await reader.get(told.path)).status_code == 404
        assert (await ask(reader, "And?", told.path)).status == 404

        answer = await reader.post("/conversations", data={"restore": own})

        assert answer.headers["location"] == told.path
        assert Dom((await reader.get(told.path)).text).transcript() == before


class TestPieces:
    async def test_the_list_goes_on_in_pieces_and_in_pages(self, reader: httpx.AsyncClient) -> None:
        for number in range(45):
            await ask(reader, f"Prompt {number}")
        page = Dom((await reader.get("/")).text)
        older = page.attribute("#rill-older", "hx-get")

        page.receive((await reader.get(older, headers=HTMX)).text)
        as_page = Dom((await reader.get(page_url(older))).text)

        wanted = [f"Prompt {number}" for number in reversed(range(45))]
        assert [each.text.strip() for each in page.document.select("#rill-listing li > a")] == wanted
        assert [each.text.strip() for each in as_page.document.select("#found li > a")] == wanted[40:]

    @pytest.mark.parametrize("after", ["", "x", "20260101T000000000000-x", "99999999T0-y", "é", "20260101T000000-"])
    async def test_any_place_gives_a_page(self, reader: httpx.AsyncClient, after: str) -> None:
        await conversation(reader, "Mine")

        for path in ("/conversations", "/archive", "/search?q=mine"):
            answer = await reader.get(path, params={"after": after})
            assert answer.status_code == 200

    async def test_a_feed_sends_the_list_only_if_it_has_changed(self, reader: httpx.AsyncClient) -> None:
        told = await ask(reader, "Mine")
        page = Dom((await reader.get(told.path)).text)
        url = page.attribute("main", "hx-ws:connect")
        async with following(reader, url) as (_, events):
            async with asyncio.timeout(10):
                snapshot = await anext(events)
                await ask(reader, "Another")
                news = await anext(events)
        async with following(reader, url) as (_, events), asyncio.timeout(10):
            await anext(events)
            changed = await anext(events)

        assert 'id="rill-live"' in snapshot.data
        assert 'hx-target="#rill-recent"' in news.data
        page.receive(news.data)
        assert [each.text.strip() for each in page.document.select("#rill-listing li > a")] == ["Another", "Mine"]
        fresh = Dom((await reader.get(told.path)).text)
        page.receive(changed.data)
        assert listing(page) == listing(fresh)


class TestSearch:
    async def test_a_query_is_shown_as_text(self, reader: httpx.AsyncClient) -> None:
        answer = await reader.get("/search", params={"q": '"><script>x</script>'})

        assert answer.status_code == 200
        assert "<script>x" not in answer.text

    async def test_only_ones_own_is_found(self, reader: httpx.AsyncClient, stranger: httpx.AsyncClient) -> None:
        await conversation(reader, "A secret word")

        assert "A secret" in (await reader.get("/search?q=secret")).text
        assert "A secret" not in (await stranger.get("/search?q=secret")).text

    async def test_there_is_a_page_without_a_query(self, reader: httpx.AsyncClient) -> None:
        assert (await reader.get("/search")).status_code == 200


class TestTitles:
    @pytest.fixture
    async def titling(self, tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[RillServer]:
        settings = {"OPENAI_BASE_URL": upstream.base_url, "OPENAI_API_KEY": "k", "RILL_TITLES": "true"}
        async with rill_server(tmp_path, **settings) as server:
            yield server

    async def test_the_model_gives_one_after_the_first_reply(
        self, titling: RillServer, upstream: ScriptedUpstream
    ) -> None:
        upstream.script = titled("“A Title”.\n\nBecause")
        async with new_reader(titling) as reader:
            told = await ask(reader, "Some first words")
            await until(lambda: "title.given" in titling.output, "a title")
            await ask(reader, "And then?", told.path)

            assert listed((await reader.get("/")).text) == ["A Title"]
            assert "A Title" in (await reader.get("/search?q=a+title")).text
        assert [is_title(exchange) for exchange in upstream.exchanges] == [False, True, False]

    @pytest.mark.parametrize("answer", ["", "x" * 100, "fails", '""'])
    async def test_the_first_words_stay_if_the_model_gives_none(
        self, titling: RillServer, upstream: ScriptedUpstream, answer: str
    ) -> None:
        upstream.script = titled(answer)
        async with new_reader(titling) as reader:
            told = await ask(reader, "Some first words")
            await until(lambda: len(upstream.exchanges) == 2, "the title to be asked for")
            assert (await ask(reader, "And then?", told.path)).end["type"] == "done"

            assert listed((await reader.get("/")).text) == ["Some first words"]

    async def test_a_readers_own_title_stays(self, titling: RillServer, upstream: ScriptedUpstream) -> None:
        async def slow(exchange: Exchange) -> None:
            if is_title(exchange):
                await until(lambda: '"rename"' in renamed, "the reader to be faster")
            await exchange.reply("From the model")

        renamed: list[str] = []
        upstream.script = slow
        async with new_reader(titling) as reader:
            told = await ask(reader, "Some first words")
            await reader.post("/conversations", data={"rename": told.path.rpartition("/")[2], "title": "My own"})
            renamed.append('"rename"')
            await until(lambda: "title.given" in titling.output, "the model's title")

            assert listed((await reader.get("/")).text) == ["My own"]


def titled(title: str) -> Callable[[Exchange], Awaitable[None]]:
    async def script(exchange: Exchange) -> None:
        if is_title(exchange) and title == "fails":
            await exchange.json(400, {"error": {"message": "no"}})
        else:
            await exchange.reply(title if is_title(exchange) else "A reply")

    return script


def is_title(exchange: Exchange) -> bool:
    return bool(exchange.body["messages"][-1]["content"] == REQUEST)


def page_url(url: str) -> str:
    return re.sub("&from=.*", "", url)


def listing(page: Dom) -> str:
    return re.sub(r'hx-nonce="[^"]*"', "", page.document.select("#rill-listing")[0].html)
