"""Pages over HTTP: without scripts, compressed, after a restart; static files; health."""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from tests.clients import EVENTS, HTMX, Gated, ask, asking, following, new_reader, page_with
from tests.fakes import RillServer, ScriptedUpstream, until

MAX_FIRST_LOAD_BYTES = 40_000
MAX_FIRST_LOAD_REQUESTS = 8


class Growing:
    """A page that is read while it is being sent."""

    def __init__(self, response: httpx.Response) -> None:
        self.text = ""
        self.response = response
        self._pieces = response.aiter_text()

    async def grows_to(self, text: str) -> None:
        async with asyncio.timeout(10):
            while text not in self.text:
                self.text += await anext(self._pieces)

    async def is_whole(self) -> None:
        async with asyncio.timeout(10):
            async for piece in self._pieces:
                self.text += piece


@asynccontextmanager
async def loading(reader: httpx.AsyncClient, path: str) -> AsyncIterator[Growing]:
    async with reader.stream("GET", path) as response:
        yield Growing(response)


async def test_a_page_without_scripts_shows_the_reply_as_it_is_written(
    reader: httpx.AsyncClient, model: ScriptedUpstream
) -> None:
    gated = Gated(model, "One\n\n", "<two>\n\n", "three")
    answer = await reader.post("/messages", data={"prompt": "Hello"})
    assert reader.cookies["rill_scripts"] == "off"

    async with loading(reader, answer.headers["location"]) as page:
        await page.grows_to('<button form="rill-stop">Stop</button>')
        assert "One" not in page.text
        gated.let()
        await page.grows_to("<p>One</p>")
        gated.let()
        await page.grows_to("<p>&lt;two&gt;</p>")
        assert "three" not in page.text
        assert "</html>" not in page.text

        gated.let_all()
        await page.is_whole()

    assert "content-encoding" not in page.response.headers or page.response.headers["content-encoding"] == "identity"
    assert "content-length" not in page.response.headers
    assert "<p>One</p><p>&lt;two&gt;</p><p>three</p></div>" in page.text
    assert page.text.rstrip().endswith("</html>")
    assert page.text.count('id="rill-m2"') == 1
    assert "http-equiv" not in page.text
    assert "<!--reply-->" not in page.text


async def test_a_streamed_page_that_comes_late_shows_what_was_written_before(
    reader: httpx.AsyncClient, model: ScriptedUpstream
) -> None:
    gated = Gated(model, "One\n\n", "two\n\n", "three")
    reader.cookies.set("rill_scripts", "off")
    async with asking(reader) as (path, events):
        for _ in range(2):
            gated.let()
            await anext(events)

        async with loading(reader, path) as page:
            await page.grows_to("<p>One</p><p>two</p>")
            gated.let_all()
            await page.is_whole()

    assert page.text.count("<p>One</p><p>two</p><p>three</p></div>") == 1


async def test_a_streamed_page_says_how_a_failed_reply_ended(
    reader: httpx.AsyncClient, model: ScriptedUpstream
) -> None:
    gated = Gated(model, "One\n\n", "two")
    answer = await reader.post("/messages", data={"prompt": "Hello"})
    async with loading(reader, answer.headers["location"]) as page:
        gated.let()
        await page.grows_to("<p>One</p>")

        await model.break_off()
        await page.is_whole()

    assert "The connection to the model broke before the reply was whole." in page.text
    assert "Retry</button>" in page.text


async def test_a_browser_with_scripts_is_told_apart_by_what_it_sends(
    reader: httpx.AsyncClient, model: ScriptedUpstream
) -> None:
    gated = Gated(model, "One ", "two")
    async with asking(reader) as (path, _):
        assert "rill_scripts" not in reader.cookies
        page = (await reader.get(path)).text
        assert f'<noscript><meta http-equiv="refresh" content="0; url={path}?scripts=off"></noscript>' in page

        answer = await reader.get(f"{path}?scripts=off")
        assert (answer.status_code, answer.headers["location"]) == (303, path)
        assert reader.cookies["rill_scripts"] == "off"

        await reader.get(f"{path}/fallback", headers=HTMX)
        assert "rill_scripts" not in reader.cookies
        gated.let_all()


async def test_a_settled_page_is_one_piece_whatever_the_browser_runs(reader: httpx.AsyncClient) -> None:
    path = (await ask(reader)).path
    reader.cookies.set("rill_scripts", "off")

    answer = await reader.get(path)

    assert "content-length" in answer.headers
    assert answer.headers["content-encoding"] == "gzip"
    assert "refresh" not in answer.text


async def test_ordinary_pages_are_compressed_and_streams_are_not(
    reader: httpx.AsyncClient, model: ScriptedUpstream
) -> None:
    path = (await ask(reader, "Hello " * 200)).path

    assert (await reader.get("/")).headers["content-encoding"] == "gzip"
    assert (await reader.get(path)).headers["content-encoding"] == "gzip"
    plain = await reader.get("/", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    async with reader.stream("GET", f"{path}/stream", headers=EVENTS) as stream:
        assert stream.headers.get("content-encoding", "identity") == "identity"
    lines = await reader.post("/messages?format=json", json={"prompt": "Hello " * 200})
    assert lines.headers.get("content-encoding", "identity") == "identity"


def static_paths(page: str) -> list[str]:
    return re.findall(r'(?:href|src)="(/static/[^"]+)"', page)


async def test_static_files_are_kept_for_ever_under_the_name_of_their_content(reader: httpx.AsyncClient) -> None:
    paths = static_paths((await reader.get("/")).text)
    assert len(paths) == 4
    for path in paths:
        assert re.search(r"\.[0-9a-f]{12}\.(css|js|svg|png)$", path)
        answer = await reader.get(path)

        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["vary"] == "Accept-Encoding"
        assert answer.headers["content-encoding"] == "gzip"
        assert "set-cookie" not in answer.headers
        plain = await reader.get(path, headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers
        assert plain.content == answer.content


@pytest.mark.parametrize("name", ["rill.css", "rill.000000000000.css", "..%2Fpyproject.toml", "", "a/b", "%00"])
async def test_a_static_file_that_is_not_there_is_not_found(reader: httpx.AsyncClient, name: str) -> None:
    assert (await reader.get(f"/static/{name}")).status_code == 404


async def test_a_first_load_is_small(reader: httpx.AsyncClient) -> None:
    page = await reader.get("/")
    sizes = [len(gzip.compress(page.content, 6))]
    for path in static_paths(page.text):
        async with reader.stream("GET", path) as answer:
            sizes.append(len(b"".join([piece async for piece in answer.aiter_raw()])))

    assert len(sizes) <= MAX_FIRST_LOAD_REQUESTS
    assert sum(sizes) < MAX_FIRST_LOAD_BYTES


async def test_head_requests_are_answered_like_get_without_a_body(rill: RillServer, model: ScriptedUpstream) -> None:
    one_connection = httpx.Limits(max_connections=1)
    async with httpx.AsyncClient(base_url=rill.url, limits=one_connection, timeout=5, trust_env=False) as reader:
        path = (await ask(reader)).path
        static = static_paths((await reader.get("/")).text)[0]
        for url in ["/", path, static, "/healthz", "/readyz", f"{path}/fallback", f"{path}/stream"]:
            answer = await reader.head(url)

            assert (answer.status_code, answer.content) == (200, b"")
            # The connection is free again at once.
            assert (await reader.get("/healthz")).status_code == 200


async def test_health_and_readiness(reader: httpx.AsyncClient) -> None:
    alive, ready = await reader.get("/healthz"), await reader.get("/readyz")

    assert (alive.status_code, alive.json()) == (200, {"status": "alive"})
    assert (ready.status_code, ready.json()) == (200, {"status": "ready", "store": "ready", "model": "ready"})


async def test_a_server_whose_model_is_down_is_alive_but_not_ready(
    server: RillServer, upstream: ScriptedUpstream
) -> None:
    await upstream.stop()
    async with new_reader(server) as reader:
        ready = await reader.get("/readyz")

        assert ready.status_code == 503
        assert ready.json() == {"status": "not ready", "store": "ready", "model": "endpoint_unreachable"}
        assert (await reader.get("/healthz")).status_code == 200


async def test_conversations_survive_a_restart(server: RillServer, upstream: ScriptedUpstream) -> None:
    async with new_reader(server) as reader:
        path = (await ask(reader, "Remember the heron.")).path
        await ask(reader, "Second", path)

        await server.restart()

        page = (await reader.get(path)).text
        assert "You said: Remember the heron." in page
        assert "You said: Second" in page
        assert f'href="{path}" aria-current="page"' in page
        told = await ask(reader, "Third", path)
    assert told.text == "You said: Third"
    assert len(upstream.exchanges[-1].body["messages"]) == 5


async def test_a_server_that_ends_lets_running_replies_end_first(
    server: RillServer, upstream: ScriptedUpstream
) -> None:
    gated = Gated(upstream, "One ", "two")
    async with new_reader(server) as reader:
        async with asking(reader) as (path, events):
            gated.let()
            await anext(events)
            restarting = asyncio.create_task(server.restart())
            gated.let_all()
        await restarting

        assert "<p>One two</p></div>" in (await reader.get(path)).text


async def test_a_reply_that_outlasts_the_servers_patience_is_kept_and_can_be_tried_again(
    server: RillServer, upstream: ScriptedUpstream
) -> None:
    gated = Gated(upstream, "One ", "two")
    async with new_reader(server) as reader:
        path = (await reader.post("/messages", data={"prompt": "Hello"})).headers["location"]
        reader.cookies.delete("rill_scripts")
        gated.let()
        await page_with(reader, path, "One<")

        await server.restart()

        page = (await reader.get(path)).text
        assert 'data-state="interrupted"' in page
        assert "<p>One</p></div>" in page
        assert "The server stopped while this was being written. What was written is kept." in page
        assert "Retry</button>" in page
        await until(upstream.exchanges[0].was_closed.is_set, "the connection to the model to close", 1)


async def test_whoever_follows_a_feed_does_not_keep_the_server_from_ending(server: RillServer) -> None:
    async with new_reader(server) as reader:
        path = (await ask(reader)).path
        async with following(reader, path) as (_, events):
            await anext(events)

            async with asyncio.timeout(5):
                assert await server.end() in {0, -15}
