"""Prompts over HTTP: as a form, as JSON, through htmx; answered as a page, lines of JSON, events or fragments."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.clients import EVENTS, HTMX, LINES, EventStream, Gated, ask, asking, page_with
from tests.fakes import ScriptedUpstream

RUNNING = "A reply is still being written. Wait for it, or stop it first."
EMPTY = "The message is empty. Write something first."


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    return {"RILL_MAX_PROMPT_CHARS": "1000"}


@pytest.fixture
async def running(reader: httpx.AsyncClient, model: ScriptedUpstream) -> AsyncIterator[str]:
    """The path of a conversation in which a reply is being written."""
    gated = Gated(model, "So ", "far")
    async with asking(reader, "First") as (path, _):
        await gated.has_begun.wait()
        yield path
        gated.let_all()


async def test_a_form_is_answered_with_the_way_to_its_conversation(
    reader: httpx.AsyncClient, model: ScriptedUpstream
) -> None:
    answer = await reader.post("/messages", data={"prompt": "Hello <you>"})

    assert answer.status_code == 303
    assert re.fullmatch(r"/c/[\w-]{22}", answer.headers["location"])
    page = await page_with(reader, answer.headers["location"], 'data-state="finished"')
    assert "Hello &lt;you&gt;" in page
    assert "You said: Hello &lt;you&gt;" in page


async def test_a_further_form_goes_back_to_its_conversation(reader: httpx.AsyncClient) -> None:
    path = (await ask(reader)).path

    answer = await reader.post(f"{path}/messages", data={"prompt": "Again"})

    assert (answer.status_code, answer.headers["location"]) == (303, path)
    await page_with(reader, path, "You said: Again")


async def test_a_multipart_form_is_read_as_well(reader: httpx.AsyncClient) -> None:
    answer = await reader.post("/messages", files={"prompt": (None, "In parts")})

    await page_with(reader, answer.headers["location"], "You said: In parts")


@pytest.mark.parametrize("how", ["accept", "query"])
async def test_lines_of_json_tell_of_a_turn(reader: httpx.AsyncClient, model: ScriptedUpstream, how: str) -> None:
    path, headers = ("/messages", LINES) if how == "accept" else ("/messages?format=json", {})

    answer = await reader.post(path, json={"prompt": "Grüße"}, headers=headers)

    assert answer.headers["content-type"].partition(";")[0] == "application/x-ndjson"
    events = [json.loads(line) for line in answer.text.splitlines()]
    assert "".join(event["content"] for event in events[:-1]) == "You said: Grüße"
    assert {event["type"] for event in events[:-1]} == {"chunk"}
    assert events[-1] == {"type": "done", "state": "finished", "cause": None}


async def test_a_first_line_comes_before_the_model_has_finished(
    reader: httpx.AsyncClient, model: ScriptedUpstream
) -> None:
    gated = Gated(model, "One ", "two")
    async with asking(reader) as (_, events):
        gated.let()
        assert await anext(events) == {"type": "chunk", "content": "One "}

        gated.let_all()
        assert [event["type"] async for event in events] == ["chunk", "done"]


async def test_events_tell_of_a_turn_in_fragments_and_end_with_done(
    reader: httpx.AsyncClient, model: ScriptedUpstream
) -> None:
    gated = Gated(model, "One ", "two")
    async with reader.stream("POST", "/messages", data={"prompt": "Hello"}, headers=EVENTS) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        path, stream = answer.headers["location"], EventStream()
        got = []
        async for piece in answer.aiter_text():
            got += stream.feed(piece)
            if len(got) == 1:
                assert "One" not in got[0].data
            gated.let()

    *fragments, done = got
    assert (done.name, done.data) == ("done", f"{path}#rill-m2")
    assert all(event.data.startswith("<hx-partial") and not event.name for event in fragments)
    assert (fragments[0].id, fragments[1].id, fragments[-1].id) == ("2-0", "2-1", "2-2147483647")
    assert "One" in fragments[1].data
    assert "two" in "".join(event.data for event in fragments[2:])
    assert stream.rest == ""


async def test_a_further_turn_streams_only_itself(reader: httpx.AsyncClient) -> None:
    path = (await ask(reader, "First")).path

    answer = await reader.post(f"{path}/messages", json={"prompt": "Second"}, headers=EVENTS)

    assert "You said:" in answer.text
    assert "First" not in answer.text


async def test_htmx_is_sent_to_a_new_conversation(reader: httpx.AsyncClient) -> None:
    answer = await reader.post("/messages", data={"prompt": "Hello"}, headers=HTMX)

    assert answer.status_code == 201
    assert (await reader.get(answer.headers["hx-redirect"])).status_code == 200
    assert answer.text == ""


async def test_htmx_is_given_a_new_draft_for_a_stored_prompt(reader: httpx.AsyncClient) -> None:
    path = (await ask(reader)).path
    ids = []
    for prompt in ["Second", "Third"]:
        answer = await reader.post(f"{path}/messages", data={"prompt": prompt}, headers=HTMX)
        assert answer.status_code == 201
        assert answer.text.lstrip().startswith('<hx-partial id="rill-draft">')
        assert "Second" not in answer.text
        ids += re.findall(r'name="request_id" value="([^"]+)"', answer.text)
        await page_with(reader, path, f"You said: {prompt}")

    assert len(set(ids)) == 2


async def test_a_prompt_sent_again_by_the_page_steps_it_down(reader: httpx.AsyncClient) -> None:
    path = (await ask(reader)).path

    answer = await reader.post(f"{path}/messages?again=1", data={"prompt": "Through"}, headers=HTMX)

    assert 'data-transport="http"' in answer.text
    assert "hx-sse:connect" in answer.text


@pytest.mark.parametrize("body", ["data", "json"])
async def test_a_prompt_that_comes_twice_is_stored_once(
    reader: httpx.AsyncClient, model: ScriptedUpstream, body: str
) -> None:
    fields = {body: {"prompt": "Once", "request_id": "the-same"}}

    first = await reader.post("/messages", **fields, headers=LINES)  # type: ignore[arg-type]  # Chosen above.
    second = await reader.post("/messages", **fields, headers=LINES)  # type: ignore[arg-type]

    assert second.headers["location"] == first.headers["location"]
    assert second.text == '{"type": "chunk", "content": "You said: Once"}\n' + first.text.splitlines()[-1] + "\n"
    page = (await reader.get(first.headers["location"])).text
    assert page.count("message prompt") == 1
    assert len(model.exchanges) == 1


@pytest.mark.parametrize("body", ["data", "json"])
@pytest.mark.parametrize("is_first", [True, False])
async def test_prompts_that_come_at_the_same_time_are_stored_once(
    reader: httpx.AsyncClient, model: ScriptedUpstream, body: str, is_first: bool
) -> None:
    path = "" if is_first else (await ask(reader, "First")).path
    await reader.get("/")
    model.exchanges.clear()
    fields = {body: {"prompt": "Once", "request_id": "the-same"}}

    posts = [reader.post(f"{path}/messages", **fields, headers=LINES) for _ in range(8)]  # type: ignore[arg-type]
    answers = await asyncio.gather(*posts)

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert len(model.exchanges) == 1
    for answer in answers:
        events = [json.loads(line) for line in answer.text.splitlines()]
        assert "".join(event.get("content", "") for event in events) == "You said: Once"
    page = (await reader.get(answers[0].headers["location"])).text
    assert page.count("message prompt") == (1 if is_first else 2)


async def test_an_edited_prompt_under_the_same_request_id_is_another_prompt(
    reader: httpx.AsyncClient, model: ScriptedUpstream
) -> None:
    first = await ask(reader, "First", request_id="the-same")
    second = await ask(reader, "Edited", first.path, request_id="the-same")

    assert second.text == "You said: Edited"
    assert len(model.exchanges) == 2


@pytest.mark.parametrize("asker", ["page", "htmx", "lines", "events"])
async def test_a_second_prompt_has_to_wait_for_the_reply(
    reader: httpx.AsyncClient, model: ScriptedUpstream, running: str, asker: str
) -> None:
    headers = {"page": {}, "htmx": HTMX, "lines": LINES, "events": EVENTS}[asker]

    answer = await reader.post(f"{running}/messages", data={"prompt": "Too early"}, headers=headers)

    assert answer.status_code == 409
    is_refused(answer, asker, RUNNING)
    assert len(model.exchanges) == 1
    assert "Too early" not in (await reader.get(running)).text


def is_refused(answer: httpx.Response, asker: str, sentence: str) -> None:
    """Assert that a refusal is in its asker's form."""
    if asker == "page":
        assert answer.text.startswith("<!doctype html>")
        assert f'role="alert">{sentence}</div>' in answer.text
    elif asker == "htmx":
        assert answer.text.startswith("<hx-partial")
        assert f'<hx-partial id="rill-notice" hx-swap="textContent">{sentence}</hx-partial>' in answer.text
        assert 'id="rill-draft"' not in answer.text
    else:
        assert answer.json()["type"] == "error"
        assert answer.json()["message"] == sentence


async def test_a_refused_form_comes_back_with_what_was_written(
    reader: httpx.AsyncClient, model: ScriptedUpstream, running: str
) -> None:
    answer = await reader.post(f"{running}/messages", data={"prompt": "Too <early>"})

    assert re.search(r"<textarea[^>]*>\nToo &lt;early&gt;</textarea>", answer.text)
    # Going on to the streamed page by itself would throw it away again.
    assert 'http-equiv="refresh"' not in answer.text


@pytest.mark.parametrize("asker", ["page", "htmx", "lines", "events"])
@pytest.mark.parametrize("prompt", ["", "   ", "\n\t\r\n", "\x00\x01", "\u00a0\u2003"])
async def test_an_empty_prompt_is_refused_with_a_sentence(
    reader: httpx.AsyncClient, model: ScriptedUpstream, asker: str, prompt: str
) -> None:
    headers = {"page": {}, "htmx": HTMX, "lines": LINES, "events": EVENTS}[asker]

    answer = await reader.post("/messages", data={"prompt": prompt}, headers=headers)

    assert answer.status_code == 422
    is_refused(answer, asker, EMPTY)
    assert model.exchanges == []


@pytest.mark.parametrize("asker", ["page", "htmx", "lines"])
async def test_a_prompt_that_is_too_long_is_refused_with_a_sentence(
    reader: httpx.AsyncClient, model: ScriptedUpstream, asker: str
) -> None:
    headers = {"page": {}, "htmx": HTMX, "lines": LINES}[asker]

    answer = await reader.post("/messages", data={"prompt": "é" * 1001}, headers=headers)

    assert answer.status_code == 413
    sentence = "The message has 1,001 characters; at most 1,000 can be sent. Shorten it or send it in parts."
    is_refused(answer, asker, sentence)
    assert model.exchanges == []


async def test_a_prompt_of_just_the_right_length_is_taken_in_any_form(reader: httpx.AsyncClient) -> None:
    prompt = "🐙" * 1000
    for body in [{"data": {"prompt": prompt}}, {"json": {"prompt": prompt}}, {"files": {"prompt": (None, prompt)}}]:
        answer = await reader.post("/messages", **body, headers=LINES)  # type: ignore[arg-type]  # Any of the three.

        assert answer.status_code == 200
        told = [json.loads(line) for line in answer.text.splitlines()]
        assert prompt in "".join(line.get("content", "") for line in told)


PART = b'--x\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n'


async def chunked(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 65_536):
        yield body[start : start + 65_536]


@pytest.mark.parametrize("is_announced", [True, False])
@pytest.mark.parametrize(
    ("media_type", "begin", "cause"),
    [
        ("application/json", b'{"prompt": "', "body_too_large"),
        ("application/x-www-form-urlencoded", b"prompt=", "body_too_large"),
        # Files may come in it, so it may be larger.
        ("multipart/form-data; boundary=x", PART, "prompt_too_long"),
    ],
)
async def test_a_body_that_is_far_too_large_is_refused(
    reader: httpx.AsyncClient, model: ScriptedUpstream, is_announced: bool, media_type: str, begin: bytes, cause: str
) -> None:
    body = begin + b"x" * 200_000 + b"\r\n--x--\r\n"
    content = body if is_announced else chunked(body)

    answer = await reader.post("/messages", content=content, headers={**LINES, "Content-Type": media_type})

    assert answer.status_code == 413
    assert answer.json()["cause"] == cause
    assert model.exchanges == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"prompt"',
        b"{}",
        b'{"prompt": 7}',
        b'{"prompt": null}',
        b'{"prompt": ["x"]}',
        b"\xff\xfe",
        b"[" * 5000,
        b'{"prompt":' * 1500,
        b'{"prompt": "x", "n": ' + b"9" * 5000 + b"}",
    ],
)
async def test_json_without_a_prompt_is_refused(
    reader: httpx.AsyncClient, model: ScriptedUpstream, body: bytes
) -> None:
    answer = await reader.post("/messages", content=body, headers={**LINES, "Content-Type": "application/json"})

    assert answer.status_code == 400
    assert answer.json()["cause"] == "bad_request"
    assert model.exchanges == []


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        ("application/x-www-form-urlencoded", b"nothing=here"),
        ("application/x-www-form-urlencoded", b"&&&==="),
        ("multipart/form-data", b"no boundary"),
        ("multipart/form-data; boundary=x", b"not the boundary"),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="prompt"\r\n\r\ncut'),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="prompt"; filename="f"\r\n\r\nx\r\n--x--',
        ),
        ("multipart/form-data; boundary=x; charset=none", b"--x\r\n\r\n\r\n--x--"),
        ("text/plain", b"prompt=Hello"),
        ("", b""),
    ],
)
async def test_a_form_without_a_prompt_is_refused(
    reader: httpx.AsyncClient, model: ScriptedUpstream, media_type: str, body: bytes
) -> None:
    answer = await reader.post("/messages", content=body, headers={"Content-Type": media_type})

    assert answer.status_code == 400
    assert answer.text.startswith("<!doctype html>")
    assert model.exchanges == []


async def test_a_form_of_many_fields_is_refused(reader: httpx.AsyncClient) -> None:
    answer = await reader.post("/messages", data={f"field{number}": "x" for number in range(50)} | {"prompt": "Hi"})

    assert answer.status_code == 400


async def test_later_prompts_are_told_with_what_was_said_before(
    reader: httpx.AsyncClient, model: ScriptedUpstream
) -> None:
    path = (await ask(reader, "One")).path
    await ask(reader, "Two", path)

    await ask(reader, "Three", path)

    told = [(message["role"], message["content"]) for message in model.exchanges[-1].body["messages"]]
    assert told == [
        ("user", "One"),
        ("assistant", "You said: One"),
        ("user", "Two"),
        ("assistant", "You said: Two"),
        ("user", "Three"),
    ]


async def test_whoever_leaves_in_the_middle_finds_the_whole_reply_later(
    reader: httpx.AsyncClient, model: ScriptedUpstream
) -> None:
    gated = Gated(model, "One ", "two")
    async with asking(reader) as (path, events):
        gated.let()
        await anext(events)

    gated.let_all()

    assert "One two" in await page_with(reader, path, 'data-state="finished"')
