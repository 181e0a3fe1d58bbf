"""Every kind of page, parsed as the WHATWG HTML specification says, without a parse error and without loose ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

import httpx
import pytest
import turbohtml

from tests.clients import Gated, ask, asking, new_reader, socket
from tests.fakes import RillServer, ScriptedUpstream, rill_server

REFERENCES = (
    "for",
    "form",
    "popovertarget",
    "list",
    "aria-labelledby",
    "aria-describedby",
    "aria-controls",
    "aria-owns",
)
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
HOSTILE = "<b>&amp; \"quotes\" 'and' </textarea></title></script><!-- -->\n\n<hx-partial>"


@pytest.fixture(scope="module")
async def server(
    tmp_path_factory: pytest.TempPathFactory, shared_upstream: ScriptedUpstream
) -> AsyncIterator[RillServer]:
    async with rill_server(tmp_path_factory.mktemp("rill"), OPENAI_BASE_URL=shared_upstream.base_url) as running:
        yield running


@pytest.fixture
async def reader(server: RillServer, shared_upstream: ScriptedUpstream) -> AsyncIterator[httpx.AsyncClient]:
    shared_upstream.script = ScriptedUpstream().script
    async with new_reader(server) as client:
        yield client
    await shared_upstream.break_off()


def is_sound(html: str) -> turbohtml.Document:
    """Parse a whole page; assert that nothing had to be repaired, and that every reference finds its element."""
    assert html.startswith("<!doctype html>\n")
    page = turbohtml.parse(html)
    assert page.errors == []
    elements = list(page.find_all())
    ids = Counter(element.attrs["id"] for element in elements if "id" in element.attrs)
    assert [id_ for id_, count in ids.items() if count > 1] == []
    for element in elements:
        for name in REFERENCES:
            for id_ in str(element.attrs.get(name, "")).split():
                assert id_ in ids, f'{name}="{id_}" of <{element.tag}>'
        link = str(element.attrs.get("href", ""))
        assert not link.startswith("#") or link[1:] in ids, link
        assert not link.lower().startswith("javascript:")
    assert len(page.select("h1")) == 1
    assert len(page.select("main")) == 1
    assert page.select("html")[0].attrs["lang"] == "en"
    (title,) = page.select("head > title")
    assert title.text.strip()
    for control in page.select("button, a, textarea"):
        assert has_a_name(page, control), control
    return page


def bare(text: str) -> str:
    """Give what is the same in Markdown and in the page that it makes: all but white space."""
    return "".join(text.split())


def has_a_name(page: turbohtml.Document, control: turbohtml.Element) -> bool:
    """Whether a screen reader has something to say of it."""
    labels = page.select(f'label[for="{control.attrs["id"]}"]') if "id" in control.attrs else []
    return bool(control.attrs.get("aria-label") or control.text.strip() or labels)


async def test_an_empty_page(reader: httpx.AsyncClient) -> None:
    page = is_sound((await reader.get("/")).text)

    assert page.select("textarea#rill-prompt")
    assert page.select("form#rill-composer[action='/messages'][method='post']")


async def test_a_page_with_a_conversation(reader: httpx.AsyncClient) -> None:
    path = (await ask(reader, HOSTILE)).path
    await ask(reader, "Second", path)

    page = is_sound((await reader.get(path)).text)

    shown = [bare(element.text) for element in page.select("article .text")]
    expected = [HOSTILE, f"You said: {HOSTILE}".replace("&amp;", "&"), "Second", "You said: Second"]
    assert shown == [bare(text) for text in expected]
    assert page.select("nav a[aria-current='page']")
    is_sound((await reader.get("/")).text)


async def test_a_page_with_a_running_reply(reader: httpx.AsyncClient, shared_upstream: ScriptedUpstream) -> None:
    gated = Gated(shared_upstream, HOSTILE)
    async with asking(reader, HOSTILE) as (path, events):
        gated.let()
        await anext(events)

        page = is_sound((await reader.get(path)).text)

    (reply,) = page.select("article.reply")
    assert reply.select(".end")[0].attrs["data-state"] == "running"
    assert bare(reply.select(".text")[0].text) == bare(HOSTILE.replace("&amp;", "&"))
    assert page.select("button[form='rill-stop']")
    assert page.select("[role='status']")


@pytest.mark.parametrize("end", ["failed", "stopped", "length"])
async def test_a_page_with_a_reply_that_is_not_whole(
    reader: httpx.AsyncClient, shared_upstream: ScriptedUpstream, end: str
) -> None:
    gated = Gated(shared_upstream, HOSTILE)
    if end == "length":
        shared_upstream.script = lambda exchange: exchange.reply(HOSTILE, reason="length")
    async with asking(reader) as (path, events):
        gated.let()
        await anext(events)
        if end == "failed":
            await shared_upstream.break_off()
        if end == "stopped":
            await reader.delete(f"{path}/turn")
        assert [event["type"] async for event in events][-1] in {"done", "error"}

    page = is_sound((await reader.get(path)).text)

    assert len(page.select("article.reply button[form='rill-retry'][name='reply']")) == 1
    assert page.select("article.reply .end")


async def test_a_page_that_streams_without_scripts(
    reader: httpx.AsyncClient, shared_upstream: ScriptedUpstream
) -> None:
    gated = Gated(shared_upstream, HOSTILE, "one ", HOSTILE)
    path = (await reader.post("/messages", data={"prompt": HOSTILE})).headers["location"]
    whole = ""
    async with reader.stream("GET", path) as answer:
        async for piece in answer.aiter_text():
            whole += piece
            gated.let(4)

    page = is_sound(whole)
    assert bare(page.select("article.reply .text")[0].text) == bare(f"{HOSTILE}one {HOSTILE}".replace("&amp;", "&"))


@pytest.mark.parametrize(
    ("method", "url", "status"),
    [("GET", "/nothing", 404), ("GET", "/c/nothing", 404), ("PUT", "/messages", 405), ("POST", "/messages", 400)],
)
async def test_an_error_page(reader: httpx.AsyncClient, method: str, url: str, status: int) -> None:
    answer = await reader.request(method, url)

    assert answer.status_code == status
    page = is_sound(answer.text)
    assert page.select("a[href='/']")


async def test_frames_of_a_socket_are_sound_fragments(
    reader: httpx.AsyncClient, shared_upstream: ScriptedUpstream
) -> None:
    path = (await ask(reader, HOSTILE)).path
    frames = []
    async with socket(reader, f"{path}/stream") as websocket:
        frames.append(str(await websocket.recv()))
        await websocket.send('{"prompt": "Second"}')
        while 'data-state="finished"' not in frames[-1] or len(frames) == 1:
            frames.append(str(await websocket.recv()))

    for frame in frames:
        assert turbohtml.parse(f"<!doctype html><title>Frame</title>{frame}").errors == []
        assert frame.count("<hx-partial") == frame.count("</hx-partial>")
