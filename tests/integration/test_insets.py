"""Chats as markup in pages of other origins: who gets one, and whose pages may use its addresses."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.clients import LINES, Gated, ask, new_reader
from tests.dom import Dom
from tests.fakes import RillServer, ScriptedUpstream, rill_server
from webapp.embeds import Embeds
from webapp.setups import Offer
from webapp.visits import Visits

HOST, OTHER = "https://shop.example", "https://evil.example"
FILE = f"""
[support]
origins = ["{HOST}"]
[other]
origins = ["{OTHER}"]
[resting]
origins = ["{HOST}"]
enabled = false
"""
HTMX = {"HX-Request": "true", "HX-Request-Type": "partial", "Accept": "text/html, text/event-stream"}
FROM_HOST = {**HTMX, "Origin": HOST, "Sec-Fetch-Site": "cross-site"}
FROM_OTHER = {**FROM_HOST, "Origin": OTHER}
SECRET = "s" * 32


@pytest.fixture
async def embedding(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[RillServer]:
    (tmp_path / "embeds.toml").write_text(FILE)
    settings = {"RILL_EMBEDS": str(tmp_path / "embeds.toml"), "RILL_SECRET": SECRET, "RILL_IMAGE_HOSTS": "img.example"}
    async with rill_server(tmp_path, OPENAI_BASE_URL=upstream.base_url, OPENAI_API_KEY="k", **settings) as server:
        yield server


async def begin(program: httpx.AsyncClient, name: str = "support", **headers: str) -> str:
    """Begin a visit from a page of the host's; give the path of its inset, such as `/i/TOKEN`."""
    answer = await program.get(f"/embed/{name}", headers={**FROM_HOST, **headers})
    (form,) = Dom(answer.text).document.select("#rill-composer")
    return re.sub(r"https?://[^/]+|/messages$", "", str(form.attrs["action"]))


async def path_of(visitor: httpx.AsyncClient, inset: str) -> str:
    """Have something answered; give the path of its conversation in the inset, such as `/i/TOKEN/c/ID`."""
    return httpx.URL((await ask(visitor, "Mine", inset)).path).path


@pytest.mark.parametrize(
    ("headers", "query", "tag"),
    [
        (HTMX, "", "div"),
        (HTMX, "?as=frame", "iframe"),
        ({"HX-Request": "true", "Accept": "*/*"}, "", "iframe"),
        ({**HTMX, "Accept": "text/html"}, "", "iframe"),
    ],
    ids=["htmx 4", "a frame is asked for", "an older htmx", "without its SSE extension"],
)
async def test_what_comes_is_what_the_page_s_htmx_can_use(
    embedding: RillServer, headers: dict[str, str], query: str, tag: str
) -> None:
    async with new_reader(embedding) as visitor:
        answer = await visitor.get(f"/embed/support{query}", headers={**headers, "Origin": HOST})

    assert answer.text.lstrip().startswith(f"<{tag} ")
    assert answer.headers["access-control-allow-origin"] == HOST
    assert "set-cookie" not in answer.headers


async def test_every_address_in_it_is_a_whole_one_below_its_visit(
    embedding: RillServer, upstream: ScriptedUpstream
) -> None:
    upstream.script = lambda exchange: exchange.reply("![a](https://img.example/a.png)")
    async with new_reader(embedding) as visitor:
        path = await path_of(visitor, await begin(visitor))
        page = (await visitor.get("/embed/support", headers=FROM_HOST)).text
        shown = (await visitor.get(path, headers=FROM_HOST)).text
        urls = re.findall(r'(?:href|action|src|hx-get|hx-post|hx-[a-z]+:connect)="([^"#]+)"', page + shown)
        allowed = tuple(f"{embedding.url}/{place}" for place in ("i/", "e/", "static/"))

    assert any("/image?url=" in url for url in urls)
    assert [url for url in urls if not url.startswith(allowed)] == []


async def test_its_fragments_say_how_they_are_applied(embedding: RillServer, upstream: ScriptedUpstream) -> None:
    gated = Gated(upstream, "One ", "two")
    async with new_reader(embedding) as visitor:
        inset = await begin(visitor)
        asked = await visitor.post(f"{inset}/messages", data={"prompt": "Hello"}, headers=FROM_HOST)
        path = re.findall(r'id="rill-stop"[^>]* action="https?://[^/]+([^"]+)/turn/stop"', asked.text)[0]
        frames = []
        url = f"ws{embedding.url.removeprefix('http')}{path}/stream?page=p&since=0&switches=0"
        async with connect(url, origin=HOST) as feed:
            frames.append(await feed.recv())
            gated.let_all()
            while 'data-state="finished"' not in frames[-1]:
                frames.append(await feed.recv())

    assert asked.text.startswith('<hx-partial id="rill" hx-swap="outerHTML settle:0 transition:false">')
    partials = re.findall(r"<hx-partial [^>]*>", "".join(map(str, frames)))
    assert len(partials) > 5
    assert [partial for partial in partials if not re.search(r'hx-swap="\w+ settle:0 transition:false"', partial)] == []
    # A page's own htmx may take what comes down a socket for a stranger's.
    assert not re.search(r"<(?!hx-partial)[^>]* hx-(?!ignore)", "".join(map(str, frames)))


@pytest.mark.parametrize(("origin", "allowed"), [(HOST, HOST), (OTHER, None), ("null", None)])
async def test_pages_of_listed_origins_use_its_addresses_and_no_others(
    embedding: RillServer, origin: str, allowed: str | None
) -> None:
    asks = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "hx-request"}
    sent = {**FROM_HOST, "Origin": origin}
    async with new_reader(embedding) as visitor:
        inset = await begin(visitor)
        preflight = await visitor.options(f"{inset}/messages", headers=asks)
        asked = await visitor.post(f"{inset}/messages", data={"prompt": "Hello"}, headers=sent)
        read = await visitor.get(f"{inset}/", headers=sent)

    assert preflight.headers.get("access-control-allow-origin") == allowed
    assert preflight.status_code == (200 if allowed else 400)
    assert asked.status_code == (200 if allowed else 403)
    assert read.headers.get("access-control-allow-origin") == allowed
    assert "access-control-allow-credentials" not in {*preflight.headers, *asked.headers}


async def test_the_frame_s_addresses_are_for_its_own_pages_only(embedding: RillServer) -> None:
    async with new_reader(embedding) as visitor:
        frame = (await begin(visitor)).replace("/i/", "/e/")
        asked = await visitor.post(f"{frame}/messages", data={"prompt": "Hello"}, headers=FROM_HOST)
        own = await visitor.post("/messages", data={"prompt": "Hello"}, headers=FROM_HOST)

    assert (asked.status_code, own.status_code) == (403, 403)
    assert "access-control-allow-origin" not in {*asked.headers, *own.headers}


@pytest.mark.parametrize(("origin", "opens"), [(HOST, True), (OTHER, False)])
async def test_sockets_open_to_pages_of_listed_origins_and_no_others(
    embedding: RillServer, origin: str, opens: bool
) -> None:
    async with new_reader(embedding) as visitor:
        path = f"{await path_of(visitor, await begin(visitor))}/stream?page=p&since=0&switches=0"
        opening = connect(f"ws{embedding.url.removeprefix('http')}{path}", origin=origin)
        if opens:
            async with opening as feed:
                assert "rill-live" in str(await feed.recv())
        else:
            with pytest.raises(InvalidStatus, match="403"):
                await opening


async def test_a_token_of_another_embed_s_lets_in_that_embed_s_pages_alone(embedding: RillServer) -> None:
    async with new_reader(embedding) as visitor:
        inset, theirs = await begin(visitor), await begin(visitor, "other", Origin=OTHER)
        place = (await path_of(visitor, inset)).rpartition("/c/")[2]
        stolen = await visitor.get(f"{theirs}/c/{place}", headers=FROM_OTHER)
        misused = await visitor.post(f"{theirs}/messages", data={"prompt": "x"}, headers=FROM_HOST)
        forged = await visitor.post(f"{inset[:-3]}abc/messages", data={"prompt": "x"}, headers=FROM_HOST)

    assert (stolen.status_code, misused.status_code, forged.status_code) == (404, 403, 403)
    assert "Mine" not in stolen.text


async def test_it_gets_a_new_token_by_the_hour_and_says_when_the_visit_is_over(
    embedding: RillServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    visits = Visits(SECRET, Embeds(tmp_path / "embeds.toml", Offer()))

    def made_before(age: timedelta, path: str) -> str:
        with monkeypatch.context() as patch:
            now = time.time()
            patch.setattr("itsdangerous.timed.time.time", lambda: now - age.total_seconds())
            _, _, token, _, place = path.split("/")
            return f"/i/{visits.renewed(visits.read(token)).token}/c/{place}"

    async with new_reader(embedding) as visitor:
        path = await path_of(visitor, await begin(visitor))
        old, over = (made_before(timedelta(hours=hours), path) for hours in (2, 25))
        moved = await visitor.get(old, headers=FROM_HOST)
        arrived = await visitor.get(moved.headers["location"], headers=FROM_HOST)
        stays = await visitor.post(f"{old}/rating", data={"good": "2"}, headers=LINES)
        ended = await visitor.post(f"{over}/messages", data={"prompt": "More"}, headers=FROM_HOST)

    assert (moved.status_code, stays.status_code, ended.status_code) == (303, 204, 403)
    assert moved.headers["location"].rpartition("/c/")[2] == path.rpartition("/c/")[2]
    assert moved.headers["location"] != old
    assert moved.headers["access-control-allow-origin"] == HOST
    assert "Mine" in arrived.text
    assert ended.headers["access-control-allow-origin"] == HOST
    assert ended.text.startswith('<hx-partial id="rill-notice"')


@pytest.mark.parametrize("place", ["", "/c/1", "/c/1?edit=1"])
async def test_an_address_that_is_opened_by_itself_shows_the_frame(embedding: RillServer, place: str) -> None:
    async with new_reader(embedding) as visitor:
        inset = await begin(visitor)
        path = place.replace("/c/1", await path_of(visitor, inset)) if place else f"{inset}/"
        opened = await visitor.get(path, headers={"Accept": "text/html"})
        shown = await visitor.get(opened.headers["location"], headers={"Accept": "text/html"})

    assert opened.status_code == 303
    assert opened.headers["location"] == f"{embedding.url}{path.replace('/i/', '/e/')}"
    assert shown.text.startswith("<!doctype html>")


async def test_a_form_that_is_sent_without_scripts_ends_in_the_frame(
    embedding: RillServer, upstream: ScriptedUpstream
) -> None:
    """Of a visitor's inset, and of one in a page of the app around this one."""
    for place in ("visit", "own"):
        upstream.script = lambda exchange: exchange.reply("Yes.")
        async with new_reader(embedding) as visitor:
            inset = await begin(visitor) if place == "visit" else "/inset"
            visitor.follow_redirects, visitor.headers["Accept"] = True, "text/html"
            answer = await visitor.post(f"{inset}/messages", data={"prompt": "Hello"})

        assert answer.status_code == 200
        assert "/i/" not in str(answer.url)
        assert "/inset/" not in str(answer.url)
        assert answer.text.startswith("<!doctype html>")
        assert "Yes." in answer.text


async def test_who_comes_to_an_inset_of_the_app_s_first_is_the_same_reader_in_the_app(embedding: RillServer) -> None:
    async with new_reader(embedding) as reader:
        first = await reader.get("/inset/latest", headers=HTMX)
        path = (await ask(reader, "Mine", "/inset")).path.partition("/inset")[2]
        own = await reader.get(path)

    assert "; Path=/;" in first.headers["set-cookie"]
    assert "Mine" in own.text


async def test_an_embed_that_rests_is_a_frame_that_says_so(embedding: RillServer) -> None:
    asks = {"Origin": HOST, "Access-Control-Request-Method": "GET"}
    async with new_reader(embedding) as visitor:
        preflight = await visitor.options("/embed/resting", headers=asks)
        answer = await visitor.get("/embed/resting", headers=FROM_HOST)
        (frame,) = Dom(answer.text).document.select("iframe")
        why = await visitor.get(str(frame.attrs["src"]), headers={"Accept": "text/html"})

    assert preflight.status_code == 204
    assert answer.headers["access-control-allow-origin"] == HOST
    assert "There is no chat here at the moment." in why.text
