"""What is sent as an event stream, held to the grammar of the WHATWG HTML specification (section 9.2.5)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx
import pytest
import turbohtml

from tests.clients import EVENTS, Event, EventStream, Gated, following, new_reader
from tests.dom import Dom
from tests.fakes import RillServer, ScriptedUpstream, until
from webapp.domain import Position
from webapp.markdown import render

NAMES = {"data", "event", "id", "retry"}

HOSTILE = [
    "a\rb",
    "a\nb",
    "a\r\nb",
    "\rx",
    "\n\n",
    "\n\ndata: forged\n\n",
    "\revent: done\rdata: x\r\r",
    "\nid: 9-9\n",
    "\nretry: 1\n",
    ": comment",
    "data: x",
    "\ufeff",
    "\ufeffdata: x",
    "a\x00b",
    "a\x0bb\x0cc\x85d\u2028e\u2029f\x1eg",
    "</hx-partial><hx-partial id=rill-live>",
    "&#10;&#13;data: x",
    " ",
    "\t",
    "🐙",
]


def strict(stream: bytes) -> list[Event]:
    """Read a whole stream, and refuse whatever the grammar lets a server do but no reader understands."""
    text = stream.decode("utf-8", "strict")
    assert not text.startswith("\ufeff")
    assert "\r" not in text
    for line in text.split("\n"):
        name, colon, _ = line.partition(":")
        assert line == "" or (colon and name in NAMES | {""}), f"not a field: {line[:80]!r}"
    assert text.endswith("\n\n"), "the last event is not ended"
    parsed = EventStream()
    events = list(parsed.feed(text))
    assert parsed.rest == ""
    for retry in parsed.retries:
        assert re.fullmatch(r"[0-9]+", retry)
    for event in events:
        assert event.values("data"), "an event without data is never given to a page"
        assert len(event.values("id")) <= 1
        assert len(event.values("event")) <= 1
        assert "\0" not in event.id
    return events


@pytest.fixture
async def reader(server: RillServer) -> AsyncIterator[httpx.AsyncClient]:
    async with new_reader(server) as client:
        yield client


def text_of(html: str, id_: str) -> str:
    """The text of a message, as a browser would show it from the last fragment that has it."""
    (article,) = turbohtml.parse(html).select(f"#{id_}")[-1:]
    return str(article.select(".text")[0].text)


def as_shown(text: str) -> str:
    """What becomes of a text on its way: line ends are line feeds, control characters are gone."""
    return re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", "", text.replace("\r\n", "\n").replace("\r", "\n"))


async def shown(reader: httpx.AsyncClient, events: list[Event]) -> str:
    """Give what a page makes of the events, as HTML."""
    page = Dom((await reader.get("/")).text)
    for event in events:
        page.receive(event.data)
    return page.content()


def written(text: str) -> str:
    """Give the HTML of a reply at once."""
    return str(turbohtml.parse_fragment(render(as_shown(text), prefix="r2"), "template").inner_html)


async def test_hostile_texts_stay_one_event_each(
    reader: httpx.AsyncClient, server: RillServer, upstream: ScriptedUpstream
) -> None:
    gated = Gated(upstream, *HOSTILE)
    async with reader.stream("POST", "/messages", data={"prompt": "Hello"}, headers=EVENTS) as answer:
        whole, seen = b"", 0
        async for piece in answer.aiter_raw():
            whole += piece
            # A few chunks for each event that has come, so that they travel by themselves; some wait for the next.
            if whole.count(b"\n\n") > seen:
                seen = whole.count(b"\n\n")
                gated.let(4)
    *fragments, done = strict(whole)

    assert (done.name, done.data) == ("done", f"{answer.headers['location']}#rill-m2")
    assert [event.name for event in fragments] == [""] * len(fragments)
    places = [place for event in fragments if (place := Position.parse(event.id))]
    assert len(places) == len(fragments)
    assert places == sorted(set(places))
    assert (fragments[0].id, fragments[-1].id) == ("2-0", "2-2147483647")
    assert len(fragments) > len(HOSTILE) / 4
    for event in fragments:
        assert event.data.startswith("<hx-partial")
    assert await shown(reader, fragments) == written("".join(HOSTILE))


async def test_a_hostile_prompt_stays_one_event(reader: httpx.AsyncClient, upstream: ScriptedUpstream) -> None:
    prompt = "x" + "".join(HOSTILE) + "x"

    answer = await reader.post("/messages", json={"prompt": prompt}, headers=EVENTS)

    began, *_, done = strict(answer.content)
    assert began.id.startswith("2-")
    assert done.name == "done"
    assert text_of(began.data, "rill-m1") == as_shown(prompt)


async def test_a_feed_keeps_to_the_grammar_too(reader: httpx.AsyncClient, upstream: ScriptedUpstream) -> None:
    upstream.script = lambda exchange: exchange.reply(*HOSTILE)
    path = (await reader.post("/messages", data={"prompt": "\n\ndata: x\rid: 7"})).headers["location"]
    raw = b""
    async with reader.stream("GET", f"{path}/stream", headers=EVENTS) as answer:
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert "no-store" in answer.headers["cache-control"] or "no-cache" in answer.headers["cache-control"]
        async for piece in answer.aiter_raw():
            raw += piece
            if b'data-state="finished"' in raw and raw.endswith(b"\n\n"):
                break

    events = strict(raw)
    assert events[-1].id == "2-2147483647"
    assert await shown(reader, events) == written("".join(HOSTILE))


async def test_the_parser_of_these_tests_reads_as_a_browser_does() -> None:
    """The examples of the specification, section 9.2.6."""
    stocks = list(EventStream().feed("data: YHOO\ndata: +2\ndata: 10\n\n"))
    assert [event.data for event in stocks] == ["YHOO\n+2\n10"]

    mixed = EventStream()
    events = list(
        mixed.feed(": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n")
    )
    assert [(event.data, event.id) for event in events] == [
        ("first event", "1"),
        ("second event", ""),
        (" third event", ""),
    ]

    assert [event.data for event in EventStream().feed("data\n\ndata\ndata\n\ndata:")] == ["", "\n"]
    assert [event.data for event in EventStream().feed("\ufeffdata:test\n\ndata: test\n\n")] == ["test", "test"]


async def test_a_stream_that_a_reader_leaves_is_let_go(
    reader: httpx.AsyncClient, server: RillServer, upstream: ScriptedUpstream
) -> None:
    path = (await reader.post("/messages", data={"prompt": "Hello"})).headers["location"]
    async with following(reader, path) as (_, events):
        await anext(events)

    await until(lambda: "turn.ended" in server.output, "the turn to end")
    assert "Traceback" not in server.output
