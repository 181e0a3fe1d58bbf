"""What every transport promises: the whole reply, each character once, live, to its true end; the turn outlives it."""

from __future__ import annotations

import html
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.clients import Gated, new_reader, page_with
from tests.fakes import Exchange, RillServer, ScriptedUpstream
from tests.followers import TRANSPORTS, Following

WORDS = [f"word{number} <&> {number}\n\n" for number in range(30)]


def words(text: str) -> str:
    """Give what is the same in Markdown and in the page that it makes: all but white space."""
    return "".join(html.unescape(text).split())


@pytest.fixture(params=TRANSPORTS.values(), ids=TRANSPORTS.keys())
def follow(request: pytest.FixtureRequest) -> Following:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
async def reader(server: RillServer) -> AsyncIterator[httpx.AsyncClient]:
    async with new_reader(server) as client:
        yield client


async def test_a_reply_comes_as_it_is_written_and_whole(
    follow: Following, reader: httpx.AsyncClient, upstream: ScriptedUpstream
) -> None:
    gated = Gated(upstream, *WORDS)
    async with follow(reader, "Tell me.") as (_, follower):
        gated.let(10)
        await follower.sees("word9 <&> 9")
        assert words(follower.text) == words("".join(WORDS[:10]))
        assert follower.state == "running"

        gated.let_all()

        await follower.has_ended("finished")
        assert words(follower.text) == words("".join(WORDS))


async def test_the_turn_goes_on_when_its_reader_leaves(
    follow: Following, reader: httpx.AsyncClient, upstream: ScriptedUpstream
) -> None:
    gated = Gated(upstream, *WORDS)
    async with follow(reader, "Tell me.") as (path, follower):
        gated.let(5)
        await follower.sees("word4 <&> 4")

    gated.let_all()

    await page_with(reader, path, 'data-state="finished"')
    assert "word29 &lt;&amp;&gt; 29" in (await reader.get(path)).text


async def test_a_reply_that_breaks_ends_as_failed_with_its_text(
    follow: Following, reader: httpx.AsyncClient, upstream: ScriptedUpstream
) -> None:
    async def broken(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.chunk("Half of ")
        exchange.reset()

    upstream.script = broken

    async with follow(reader, "Tell me.") as (_, follower):
        await follower.has_ended("failed")
        assert words(follower.text) == "Halfof"


async def test_a_stop_from_elsewhere_ends_the_reply_with_its_text(
    follow: Following, reader: httpx.AsyncClient, upstream: ScriptedUpstream
) -> None:
    gated = Gated(upstream, *WORDS)
    async with follow(reader, "Tell me.") as (path, follower):
        gated.let(5)
        await follower.sees("word4 <&> 4")

        await reader.delete(f"{path}/turn")

        if follow is not TRANSPORTS["tutorial"]:  # Its protocol knows only one kind of done.
            await follower.has_ended("stopped")
        assert words(follower.text) == words("".join(WORDS[:5]))


async def test_what_a_model_writes_stays_text(
    follow: Following, reader: httpx.AsyncClient, upstream: ScriptedUpstream
) -> None:
    hostile = [
        '</div><hx-partial id="rill-m2">',
        "\n\ndata: x\n\n",
        '{"type": "done"}',
        "<!--reply-->",
        "&amp;",
        "\u2028\u2029",
    ]
    upstream.script = lambda exchange: exchange.reply(*hostile)

    async with follow(reader, "Tell me.") as (_, follower):
        await follower.has_ended("finished")
        assert words(follower.text) == words("".join(hostile))
