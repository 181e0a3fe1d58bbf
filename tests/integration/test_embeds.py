"""A chat in pages of other sites: no cookie, its own readers, only where its operator lets it be."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx
import jwt
import pytest
from websockets.exceptions import InvalidStatus

from tests.clients import HTMX, LINES, Gated, ask, asking, new_reader, socket
from tests.dom import Dom
from tests.fakes import ROOT, RillServer, ScriptedUpstream, rill_server
from webapp.embeds import Embeds
from webapp.setups import Offer
from webapp.visits import Visits

HOST = "https://shop.example"
SECRET = "k" * 40
FILE = f"""
[support]
origins = ["{HOST}", "http://127.0.0.1:5500"]
title = "Shop support"
system_prompt = "You work for a shop."
model = "big"
greeting = "What can we do for you?"
starters = ["Where is my parcel?"]
theme = "dark"
secret = "{SECRET}"

[support.limits]
visitor_prompts_per_hour = 3

[other]
origins = ["https://other.example"]

[members]
secret = "{SECRET}"
known_only = true

[resting]
enabled = false
"""
HTML = {"Accept": "text/html"}
JSON = {"Accept": "application/json"}


@pytest.fixture
async def embedding(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[RillServer]:
    (tmp_path / "embeds.toml").write_text(FILE)
    settings = {"RILL_EMBEDS": str(tmp_path / "embeds.toml"), "RILL_MODELS": "small,big"}
    async with rill_server(tmp_path, OPENAI_BASE_URL=upstream.base_url, OPENAI_API_KEY="k", **settings) as server:
        yield server


async def begin(program: httpx.AsyncClient, name: str = "support", **query: str) -> str:
    """Begin a visit; give the path of its chat, such as `/e/TOKEN`."""
    answer = await program.get(f"/embed/{name}", params=query)
    assert answer.status_code == 303
    return "/".join(answer.headers["location"].split("/")[:3])


def below(path: str) -> str:
    """Give the path of a conversation without its visit, such as `/c/ID`."""
    return "/c/" + path.rpartition("/c/")[2]


async def test_a_visitor_talks_without_a_cookie(embedding: RillServer, upstream: ScriptedUpstream) -> None:
    async with new_reader(embedding) as visitor:
        visit = await begin(visitor)
        page = await visitor.get(f"{visit}/")
        told = await ask(visitor, "Where is it?", visit)
        shown = await visitor.get(told.path)

        assert told.text
        assert re.fullmatch(r"/e/[^/]+/c/[^/]+", told.path)
        assert "Where is it?" in shown.text
        assert dict(visitor.cookies) == {}
    dom = Dom(page.text).document
    assert [heading.text for heading in dom.select(".top h1")] == ["Shop support"]
    assert [greeting.text for greeting in dom.select(".greeting")] == ["What can we do for you?"]
    assert [button.text for button in dom.select(".starters button")] == ["Where is my parcel?"]
    assert not dom.select("nav.side, #model, .picker, link[rel=manifest]")
    body = upstream.exchanges[-1].body
    assert (body["model"], body["messages"][0]["content"]) == ("big", "You work for a shop.")


async def test_nothing_says_which_model_answers(embedding: RillServer, upstream: ScriptedUpstream) -> None:
    async with new_reader(embedding) as visitor, new_reader(embedding) as own:
        visit = await begin(visitor)
        frames = []
        gated = Gated(upstream, "Yes")
        path = (await visitor.post(f"{visit}/messages", data={"prompt": "Hi"}, headers=HTMX)).headers["hx-redirect"]
        async with socket(visitor, f"{path}/stream?page=p&since=0&switches=0") as feed:
            gated.let_all()
            while 'data-state="finished"' not in (frame := str(await feed.recv())):
                frames.append(frame)
            frames.append(frame)
        upstream.script = lambda exchange: exchange.reply("Again")
        streamed = await visitor.post(f"{path}/messages", data={"prompt": "Hi"}, headers=HTML, follow_redirects=True)
        pages = [(await visitor.get(path, headers=HTML)).text, streamed.text]
        usual = (await own.get((await ask(own, "Hi")).path)).text

    assert 'class="took"' in usual
    assert 'name="reply-by"' in usual
    for html in ("".join(frames), *pages):
        assert 'data-state="finished"' in html
        assert not re.search(r'class="took"|name="reply-by"|\bbig\b|\bsmall\b', html)


async def test_every_address_in_its_pages_is_below_the_visit(embedding: RillServer) -> None:
    async with new_reader(embedding) as visitor:
        visit = await begin(visitor)
        told = await ask(visitor, "Hello", visit)
        for path in (f"{visit}/", told.path):
            page = (await visitor.get(path)).text
            urls = re.findall(r'(?:href|action|src|hx-[a-z:]+)="(/[^"]*)"', page)

            assert urls
            assert not [url for url in urls if not url.startswith(("/e/", "/static/"))]


async def test_only_listed_origins_may_frame_it(embedding: RillServer) -> None:
    async with new_reader(embedding) as visitor:
        page = await visitor.get(f"{await begin(visitor)}/")
        own = await visitor.get("/")

    policy = page.headers["content-security-policy"]
    assert f"frame-ancestors 'self' {HOST} http://127.0.0.1:5500;" in policy
    assert "frame-ancestors 'self';" in own.headers["content-security-policy"]
    assert page.headers["referrer-policy"] == "no-referrer"


async def test_nobody_else_sees_a_visitor_s_conversation(embedding: RillServer) -> None:
    async with new_reader(embedding) as visitor, new_reader(embedding) as other:
        visit = await begin(visitor)
        told = await ask(visitor, "Mine", visit)
        place = below(told.path)
        others = [await begin(other), await begin(other, "other")]

        assert [(await other.get(f"{prefix}{place}")).status_code for prefix in (*others, "")] == [404] * 3
        assert (await visitor.get(told.path)).status_code == 200


async def test_an_address_opens_its_own_conversation_and_no_other_of_the_visitor_s(
    embedding: RillServer, upstream: ScriptedUpstream
) -> None:
    file = {"file": ("list.txt", b"A list", "text/plain")}
    async with new_reader(embedding) as visitor:
        kept = (await visitor.get("/embed/support", headers=JSON)).json()["visit"]
        first = (await ask(visitor, "The first", await begin(visitor, visit=kept))).path
        new = Dom((await visitor.get(first)).text).document.select("a.new")[0].attrs["href"]
        attached = await visitor.post(f"{str(new).rstrip('/')}/attachments", files=file, headers=JSON)
        attachment = attached.json()["attachments"][0]["id"]
        sent = {"prompt": "The second", "attachments": [attachment]}
        second = (await visitor.post(f"{str(new).rstrip('/')}/messages", json=sent, headers=LINES)).headers["location"]
        stolen = first.removesuffix(below(first)) + below(second)
        way = f"/embed/support?visit={first.split('/')[2]}"
        asked = [
            await visitor.get(stolen),
            await visitor.get(f"{stolen}/stream", headers={"Accept": "text/event-stream"}),
            await visitor.get(f"{stolen}/fallback?page=p"),
            await visitor.get(f"{first}?attachment={attachment}"),
            await visitor.post(f"{stolen}/messages", data={"prompt": "x"}, headers=LINES),
            await visitor.post(f"{stolen}/rating", data={"good": "2"}, headers=LINES),
            await visitor.post(f"{stolen}/turn/stop"),
            await visitor.get(f"/e/{kept}{below(second)}"),
        ]
        with pytest.raises(InvalidStatus, match="404"):
            async with socket(visitor, f"{stolen}/stream?page=p"):
                pass
        begun = [(await visitor.get(address)).text for address in (new, f"{first.removesuffix(below(first))}/")]
        elsewhere = (await visitor.get(way)).headers["location"]
        latest = (await visitor.get(f"/embed/support?visit={kept}")).headers["location"]

        assert [each.status_code for each in asked] == [404] * len(asked)
        assert (await visitor.get(f"{second}?attachment={attachment}")).text == "A list"
        assert "The first" in (await visitor.get(first)).text
    assert not any("The second" in text for text in (*(each.text for each in asked), *begun))
    assert "/c/" not in elsewhere
    assert below(latest) == below(second)
    assert len(upstream.exchanges) == 2


@pytest.mark.parametrize("how", ["cut", "another letter", "rubbish", "empty"])
async def test_a_forged_visit_is_none(embedding: RillServer, how: str) -> None:
    async with new_reader(embedding) as visitor:
        token = (await begin(visitor)).removeprefix("/e/")
        forged = {
            "cut": token[:-4],
            "another letter": ("A" if token[5] != "A" else "B").join([token[:5], token[6:]]),
            "rubbish": "x" * 5_000,
            "empty": "%20",
        }[how]
        page = await visitor.get(f"/e/{forged}/", headers=HTML)
        with pytest.raises(Exception, match="404"):
            async with socket(visitor, f"/e/{forged}/c/x/stream?page=p"):
                pass

    assert page.status_code == 404
    assert "set-cookie" not in page.headers


async def test_a_resting_embed_is_not_there_and_one_that_is_switched_off_ends_at_once(
    embedding: RillServer, tmp_path: Path
) -> None:
    async with new_reader(embedding) as visitor:
        visit = await begin(visitor)
        assert (await visitor.get("/embed/resting")).status_code == 404
        assert (await visitor.get("/embed/nothing")).status_code == 404
        (tmp_path / "embeds.toml").write_text(FILE.replace('title = "Shop', 'enabled = false\ntitle = "Shop'))

        assert (await visitor.get("/embed/support")).status_code == 404
        assert (await visitor.get(f"{visit}/")).status_code == 404
        (tmp_path / "embeds.toml").write_text(FILE + "[broken")
        assert (await visitor.get("/embed/support")).status_code == 404
        (tmp_path / "embeds.toml").write_text(FILE)
        assert (await visitor.get(f"{visit}/")).status_code == 200


async def test_the_host_keeps_the_visit_and_a_reload_goes_on(embedding: RillServer) -> None:
    async with new_reader(embedding) as host, new_reader(embedding) as visitor:
        visit = (await host.get("/embed/support", headers=JSON)).json()
        first = httpx.URL(visit["url"]).path.rstrip("/")
        place = below((await ask(visitor, "Mine", first)).path)
        elsewhere = await begin(visitor, "other", visit=visit["visit"])
        resumed = (await visitor.get("/embed/support", params={"visit": visit["visit"]})).headers["location"]

        assert resumed.endswith(place)
        assert "Mine" in (await visitor.get(resumed)).text
        assert (await visitor.get(f"{elsewhere}{place}")).status_code == 404


async def test_a_visitor_can_ask_so_often_and_is_told_when_again(embedding: RillServer) -> None:
    async with new_reader(embedding) as visitor, new_reader(embedding) as other:
        visit, another = await begin(visitor), await begin(other)
        path = (await ask(visitor, "1", visit)).path
        for prompt in ("2", "3"):
            await ask(visitor, prompt, path)
        answer = await visitor.post(f"{path}/messages", data={"prompt": "4"}, headers=LINES)
        form = await visitor.post(f"{path}/messages", data={"prompt": "Keep me"}, headers=HTML)
        retry = await visitor.post(f"{path}/turn/retry", data={"reply": "6"}, headers=LINES)

        assert (await ask(other, "Mine", another)).text
    assert (answer.status_code, answer.json()["cause"]) == (429, "quota_reached")
    assert re.search(r"Try again in \d+ minutes?\.", answer.json()["message"])
    assert form.status_code == retry.status_code == 429
    assert "Keep me" in form.text


async def test_without_scripts_a_visitor_sees_the_reply_grow(embedding: RillServer, upstream: ScriptedUpstream) -> None:
    gated = Gated(upstream, "Half\n\n", "whole")
    async with new_reader(embedding) as visitor:
        visit = await begin(visitor)
        answer = await visitor.post(f"{visit}/messages", data={"prompt": "Hi"}, headers=HTML)
        assert (answer.status_code, answer.headers["location"].partition("?")[2]) == (303, "scripts=off")
        async with visitor.stream("GET", answer.headers["location"], headers=HTML) as page:
            seen, pieces = "", page.aiter_text()
            gated.let()
            async for piece in pieces:
                seen += piece
                if "Half" in seen:
                    break
            assert "</html>" not in seen
            gated.let_all()
            seen += "".join([piece async for piece in pieces])

        assert "</html>" in seen
        assert "whole" in seen
        assert dict(visitor.cookies) == {}


async def test_a_socket_and_an_event_stream_follow_a_visitor_s_conversation(
    embedding: RillServer, upstream: ScriptedUpstream
) -> None:
    gated = Gated(upstream, "Half ", "whole")
    async with new_reader(embedding) as visitor:
        visit = await begin(visitor)
        async with asking(visitor, "Hi", visit) as (path, events):
            gated.let()
            await anext(events)
            async with socket(visitor, f"{path}/stream?page=p&since=0&switches=0") as feed:
                first = await feed.recv()
            gated.let_all()

    assert "Half" in first
    assert 'id="rill-listing"' not in first


@pytest.mark.parametrize(("origin", "is_allowed"), [(HOST, True), ("https://evil.example", False), ("null", False)])
async def test_htmx_on_a_listed_page_gets_a_frame(embedding: RillServer, origin: str, is_allowed: bool) -> None:
    asking = {"Origin": origin, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "hx-request"}
    async with new_reader(embedding) as host:
        preflight = await host.options("/embed/support", headers=asking)
        answer = await host.get("/embed/support", headers={"Origin": origin, "HX-Request": "true"})

    assert preflight.status_code == (204 if is_allowed else 403)
    allowed = origin if is_allowed else None
    assert preflight.headers.get("access-control-allow-origin") == allowed
    assert answer.headers.get("access-control-allow-origin") == allowed
    assert "access-control-allow-credentials" not in answer.headers
    (frame,) = Dom(answer.text).document.select("iframe")
    assert str(frame.attrs["src"]).startswith(f"{embedding.url}/e/")
    assert "set-cookie" not in answer.headers


async def test_what_is_not_for_visitors_is_not_there(embedding: RillServer) -> None:
    async with new_reader(embedding) as visitor:
        visit = await begin(visitor)
        path = (await ask(visitor, "Mine", visit)).path
        outside = ["/archive", "/search", "/export", "/assistants", "/conversations", "/healthz", "/styleguide"]
        outside = [f"{visit}{each}" for each in outside] + [f"{path}/{each}" for each in ("export", "share", "setup")]

        assert {(await visitor.get(each)).status_code for each in outside} == {404}


async def test_a_page_gets_a_new_address_by_the_hour_and_ends_after_a_day(
    tmp_path: Path, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "embeds.toml").write_text(FILE)
    settings = {"RILL_EMBEDS": str(tmp_path / "embeds.toml"), "RILL_SECRET": "s" * 32, "OPENAI_API_KEY": "k"}
    visits = Visits("s" * 32, Embeds(tmp_path / "embeds.toml", Offer()))

    def made_before(age: timedelta, path: str) -> str:
        with monkeypatch.context() as patch:
            now = time.time()
            patch.setattr("itsdangerous.timed.time.time", lambda: now - age.total_seconds())
            return f"/e/{visits.renewed(visits.read(path.split('/')[2])).token}{below(path)}"

    async with (
        rill_server(tmp_path, OPENAI_BASE_URL=upstream.base_url, **settings) as server,
        new_reader(server) as visitor,
    ):
        path = (await ask(visitor, "Mine", await begin(visitor))).path
        old, over = (made_before(timedelta(hours=hours), path) for hours in (2, 25))
        moved = await visitor.get(f"{old}?at=1", headers=HTML)
        arrived = await visitor.get(moved.headers["location"], headers=HTML)
        stays = await visitor.post(f"{old}/rating", data={"good": "2"}, headers=LINES)
        ended = await visitor.get(over, headers=HTML)
        again = Dom(ended.text).document.select("a.act")

    assert moved.status_code == 303
    assert below(moved.headers["location"]) == f"{below(path)}?at=1"
    assert not moved.headers["location"].startswith(old)
    assert "Mine" in arrived.text
    assert stays.status_code == 204
    assert ended.status_code == 403
    assert HOST in ended.headers["content-security-policy"]
    assert "Mine" not in ended.text
    assert [str(link.attrs["href"]) for link in again] == ["/embed/support"]


def introduction(subject: str, embed: str = "support", **claims: str) -> str:
    now = int(time.time())
    return jwt.encode({"sub": subject, "aud": embed, "iat": now, "exp": now + 60, **claims}, SECRET, "HS256")


async def test_a_known_visitor_s_conversations_follow_them_and_the_model_knows_who_asks(
    embedding: RillServer, upstream: ScriptedUpstream
) -> None:
    async with new_reader(embedding) as phone, new_reader(embedding) as laptop, new_reader(embedding) as other:
        visit = await begin(phone, visitor=introduction("7", name="Ada", context="Has ordered a lamp."))
        told = await ask(phone, "Where is it?", visit)
        place = below(told.path)
        elsewhere = await laptop.get("/embed/support", params={"visitor": introduction("7")})
        somebody = await begin(other, visitor=introduction("8"))

        assert elsewhere.headers["location"].endswith(place)
        assert (await laptop.get(elsewhere.headers["location"])).status_code == 200
        assert (await other.get(f"{somebody}{place}")).status_code == 404
    system = upstream.exchanges[0].body["messages"][0]["content"]
    assert system.startswith("You work for a shop.")
    assert system.endswith("Name: Ada\nHas ordered a lamp.")


async def test_a_page_that_is_open_can_do_no_more_once_the_embed_rests(
    embedding: RillServer, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    async with new_reader(embedding) as visitor:
        visit = await begin(visitor)
        path = (await ask(visitor, "Hello", visit)).path
        async with socket(visitor, f"{path}/stream?page=p&since=0&switches=0") as feed:
            await feed.recv()
            (tmp_path / "embeds.toml").write_text(FILE.replace('title = "Shop', 'enabled = false\ntitle = "Shop'))
            await feed.send(json.dumps({"prompt": "More", "request_id": "r2"}))
            refusal = await feed.recv()
        answer = await visitor.post(f"{path}/messages", data={"prompt": "More"}, headers={"HX-Request": "true"})
        page = await visitor.get(path, headers=HTML)
        begun = await visitor.get("/embed/support", headers=HTML)

    assert "There is no chat here at the moment." in refusal
    assert answer.text.startswith('<hx-partial id="rill-notice"')
    assert HOST in page.headers["content-security-policy"]
    assert HOST in begun.headers["content-security-policy"]
    assert {each.status_code for each in (answer, page, begun)} == {404}
    assert len(upstream.exchanges) == 1


async def test_a_prompt_that_comes_twice_counts_once_and_one_that_is_refused_not_at_all(embedding: RillServer) -> None:
    async with new_reader(embedding) as visitor:
        visit = await begin(visitor)
        path = (await ask(visitor, "1", visit, request_id="r1")).path
        for _ in range(5):
            assert below((await ask(visitor, "1", visit, request_id="r1")).path) == below(path)
            assert (await ask(visitor, "", path)).status == 422

        assert (await ask(visitor, "2", path)).status == 200


@pytest.mark.parametrize("place", ["/e/", "/i/"])
async def test_no_feed_of_a_conversation_tells_of_the_visitor_s_others(embedding: RillServer, place: str) -> None:
    async with new_reader(embedding) as visitor:
        kept = (await visitor.get("/embed/support", headers=JSON)).json()["visit"]
        path = (await ask(visitor, "Harmless", await begin(visitor, visit=kept))).path.replace("/e/", place)
        await ask(visitor, "A secret", "/".join(path.replace(place, "/e/").split("/")[:3]))
        seen = []
        async with visitor.stream(
            "GET", f"{path}/stream?page=p&since=0&switches=0&listed=0", headers={"Accept": "text/event-stream"}
        ) as feed:
            async for line in feed.aiter_lines():
                seen.append(line)
                if 'data-state="finished"' in line:
                    break
        async with socket(visitor, f"{path}/stream?page=p&since=0&switches=0&listed=0") as frames:
            await frames.send(json.dumps({"prompt": "More"}))
            async with asyncio.timeout(20):
                while 'data-state="finished"' not in seen[-1] or "More" not in "".join(seen):
                    seen.append(str(await frames.recv()))

    assert not any("A secret" in each or "rill-listing" in each for each in seen)


async def test_a_request_id_that_comes_again_with_other_prompts_is_no_way_past_the_limits(
    embedding: RillServer, upstream: ScriptedUpstream
) -> None:
    async with new_reader(embedding) as visitor:
        visit = await begin(visitor)
        begun = [(await ask(visitor, str(number), visit, request_id="same")).status for number in range(5)]

    assert begun == [200, 200, 200, 429, 429]
    assert len(upstream.exchanges) == 3


async def test_an_open_page_of_somebody_unknown_ends_when_only_known_visitors_may_come(
    embedding: RillServer, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    async with new_reader(embedding) as visitor:
        path = (await ask(visitor, "Hello", await begin(visitor))).path
        async with socket(visitor, f"{path}/stream?page=p&since=0&switches=0") as feed:
            await feed.recv()
            (tmp_path / "embeds.toml").write_text(FILE.replace('title = "Shop', 'known_only = true\ntitle = "Shop'))
            await feed.send(json.dumps({"prompt": "More", "request_id": "r2"}))
            refusal = await feed.recv()

    assert "Sign in" in refusal
    assert len(upstream.exchanges) == 1


async def test_a_stream_of_one_turn_ends_with_the_embed(
    embedding: RillServer, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    gated = Gated(upstream, "Half ", "whole")
    async with new_reader(embedding) as visitor:
        visit = await begin(visitor)
        asked = visitor.stream(
            "POST", f"{visit}/messages", json={"prompt": "Hi"}, headers={"Accept": "text/event-stream"}
        )
        async with asked as answer:
            gated.let()
            (tmp_path / "embeds.toml").write_text(FILE.replace('title = "Shop', 'enabled = false\ntitle = "Shop'))
            seen = "".join([piece async for piece in answer.aiter_text()])
        gated.let_all()

    assert "Half" in seen
    assert "event: done" not in seen
    assert "Exception in ASGI" not in embedding.output


async def test_programs_are_told_in_json_and_nobody_is_led_to_the_operator_s_own_chat(embedding: RillServer) -> None:
    async with new_reader(embedding) as visitor:
        path = (await ask(visitor, "Mine", await begin(visitor))).path
        other = f"{path[:-4]}abcd"
        program = [await visitor.get(address, headers=JSON) for address in (other, "/e/rubbish/", "/embed/nothing")]
        shown = [await visitor.get(f"/embed/{name}", headers=HTML) for name in ("nothing", "resting")]
        inset = await visitor.get("/i/rubbish/", headers={**HTMX, "Origin": HOST})

    assert [(each.status_code, each.json()["cause"]) for each in program] == [
        (404, "conversation_not_found"),
        (404, "embed_not_found"),
        (404, "embed_not_found"),
    ]
    assert [Dom(each.text).document.select("main a") for each in shown] == [[], []]
    assert inset.headers["access-control-allow-origin"] == "*"
    assert inset.text.startswith('<hx-partial id="rill-notice"')


async def test_a_form_of_the_frame_s_is_taken_without_scripts_from_browsers_that_say_little(
    embedding: RillServer,
) -> None:
    """They know no Fetch Metadata, and send no Origin from a page that tells nobody its address."""
    async with new_reader(embedding) as visitor:
        visit = await begin(visitor)
        asked = await visitor.post(f"{visit}/messages", data={"prompt": "Hi"}, headers={**HTML, "Origin": "null"})
        own = await visitor.post("/messages", data={"prompt": "Hi"}, headers={**HTML, "Origin": "null"})

    assert (asked.status_code, own.status_code) == (303, 403)


async def test_a_message_as_it_was_written_shows_in_the_frame(embedding: RillServer) -> None:
    async with new_reader(embedding) as visitor:
        path = (await ask(visitor, "Hello", await begin(visitor))).path
        raw = await visitor.get(f"{path}?raw=1")

    assert raw.text == "Hello"
    assert HOST in raw.headers["content-security-policy"]


async def test_who_cannot_be_believed_is_told_so_in_the_frame(embedding: RillServer) -> None:
    async with new_reader(embedding) as visitor:
        forged = await visitor.get("/embed/support", params={"visitor": introduction("7")[:-2]}, headers=HTML)
        other = await visitor.get("/embed/members", params={"visitor": introduction("7")}, headers=HTML)
        unknown = await visitor.get("/embed/members", headers=HTML)
        program = await visitor.get("/embed/members", headers=JSON)
        known = await visitor.get("/embed/members", params={"visitor": introduction("7", "members")})

    assert [each.status_code for each in (forged, other, unknown, program, known)] == [403, 403, 401, 401, 303]
    assert "could not say who you are" in forged.text
    assert HOST in forged.headers["content-security-policy"]
    assert program.json()["cause"] == "not_signed_in"
    assert "embed.refused" in embedding.output
    assert SECRET not in embedding.output


async def test_an_operator_exports_what_visitors_said(embedding: RillServer) -> None:
    async with new_reader(embedding) as visitor, new_reader(embedding) as reader:
        visit = await begin(visitor, visitor=introduction("7", name="Ada"))
        await ask(visitor, "Mine", visit)
        await ask(visitor, "Somebody's", await begin(visitor))
        await ask(reader, "Of no embed")
    code, output, _ = await run(embedding, "conversations", "support")

    said = [json.loads(line) for line in output.splitlines()]
    assert code == 0
    assert [(each["visitor"] and each["visitor"]["name"], each["messages"][0]["text"]) for each in said] == [
        (None, "Somebody's"),
        ("Ada", "Mine"),
    ]
    assert all(each["system_prompt"] == "" for each in said)


async def test_an_operator_reads_what_visitors_said_at_an_address_that_ends(
    embedding: RillServer, upstream: ScriptedUpstream
) -> None:
    upstream.script = lambda exchange: exchange.reply("**Yes.**")
    async with new_reader(embedding) as visitor, new_reader(embedding) as operator:
        for number in (1, 2):
            visit = await begin(visitor, visitor=introduction(str(number), name=f"Visitor {number}"))
            await ask(visitor, f"Prompt {number}", visit)
        code, output, _ = await run(embedding, "page", "support", "--url", embedding.url)
        address = httpx.URL(output.strip())
        page = await operator.get(address)
        without = await operator.get(address.path)
        other = await operator.get(str(address).replace("/embed/support/", "/embed/other/"))

    dom = Dom(page.text).document
    assert code == 0
    assert [each.text for each in dom.select("summary bdi")] == ["Prompt 2", "Visitor 2", "Prompt 1", "Visitor 1"]
    assert [each.text for each in dom.select(".reply strong")] == ["Yes."] * 2
    assert not dom.select("script, form")
    assert "set-cookie" not in page.headers
    assert (without.status_code, other.status_code) == (404, 404)


async def run(server: RillServer, *arguments: str) -> tuple[int, str, str]:
    """Run `rill embed` as the operator of a server does; give what it returned and said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "webapp", "embed", *arguments),
        env={**server.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, problems = await process.communicate()
    return process.returncode or 0, output.decode(), problems.decode()


async def test_an_operator_adds_lists_and_switches_embeds_by_commands(embedding: RillServer, tmp_path: Path) -> None:
    async with new_reader(embedding) as visitor:
        added = await run(
            embedding, "add", "shop", "--origin", f"{HOST}/", "--greeting", "Hi", "--url", "https://chat.example"
        )
        assert (await visitor.get("/embed/shop")).status_code == 303
        listed = await run(embedding, "list")
        off = await run(embedding, "disable", "shop")
        assert (await visitor.get("/embed/shop")).status_code == 404
        on = await run(embedding, "enable", "shop")
        assert (await visitor.get("/embed/shop")).status_code == 303
        lines = await run(embedding, "snippet", "shop", "--url", "https://chat.example")

    assert [each[0] for each in (added, listed, off, on, lines)] == [0] * 5
    assert '<iframe src="https://chat.example/embed/shop"' in added[1]
    assert lines[1] == added[1]
    assert f"shop\ton\t{HOST}\n" in listed[1]
    assert "resting\toff\t\n" in listed[1]
    # What was there stays as it was.
    assert (tmp_path / "embeds.toml").read_text().startswith(FILE)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("add", "support"), "There is an embed support already"),
        (("add", "No Name"), "name cannot be used"),
        (("add", "new", "--origin", "shop.example"), "is no origin"),
        (("disable", "nothing"), "There is no embed nothing"),
        (("add", "new", "--assistant", "nobody"), 'no assistant with the id "nobody"'),
        (("conversations", "No Name"), "name cannot be used"),
        (("snippet", "nothing"), "There is no embed nothing"),
    ],
)
async def test_a_command_that_cannot_be_followed_says_why_and_changes_nothing(
    embedding: RillServer, tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    code, output, problems = await run(embedding, *arguments)

    assert (code, output) == (2, "")
    assert sentence in problems
    assert (tmp_path / "embeds.toml").read_text() == FILE


async def test_a_preview_shows_the_lines_to_copy(embedding: RillServer) -> None:
    async with new_reader(embedding) as operator:
        answer = await operator.get("/embed/support/preview")

    dom = Dom(answer.text).document
    lines = [pre.text for pre in dom.select("pre")]
    url = f"{embedding.url}/embed/support"
    assert [url in each for each in lines] == [True] * 3
    assert len(dom.select(f'iframe[src="{url}"]')) == 2
    assert lines[2].endswith(f'\n<div hx-get="{url}" hx-trigger="load"></div>')
    assert HOST in dom.text
    assert "set-cookie" not in answer.headers


async def test_no_log_has_a_visit_s_token(embedding: RillServer) -> None:
    async with new_reader(embedding) as visitor:
        visit = await begin(visitor)
        path = (await ask(visitor, "Mine", visit)).path
        async with socket(visitor, f"{path}/stream?page=p&since=0&switches=0") as feed:
            await feed.recv()
        await visitor.post(f"{path}/rating", data={"good": "99"})
        await visitor.get(f"{visit}/nothing")

    assert visit.removeprefix("/e/")[:20] not in embedding.output
