"""A conversation over a WebSocket, as a program sees it."""

from __future__ import annotations

import asyncio
import html
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from markupsafe import escape
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.clients import Gated, ask, asking, new_reader, page_with, socket
from tests.fakes import RillServer, ScriptedUpstream, until

MAX_PROMPT_CHARS = 1000


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    return {
        "RILL_FLUSH_MS": "0",
        "RILL_MAX_PROMPT_CHARS": str(MAX_PROMPT_CHARS),
        "RILL_ALLOWED_ORIGINS": "http://tutorial.example:5500",
        "RILL_ALLOWED_HOSTS": "chat.example",
    }


class Open:
    """An open socket of a conversation, and every frame that came down it."""

    def __init__(self, websocket: Any) -> None:
        self._websocket = websocket
        self.frames: list[str] = []

    async def frame(self) -> str:
        async with asyncio.timeout(10):
            frame = await self._websocket.recv()
        assert isinstance(frame, str)
        assert frame.startswith("<hx-partial"), frame
        self.frames.append(frame)
        return frame

    async def comes(self, text: str) -> str:
        """Read frames until one has a text in it."""
        while text not in (frame := await self.frame()):
            pass
        return frame

    async def says(self, text: str) -> None:
        """Read frames until the text in those that come from now on has a text in it, however it is cut."""
        first = len(self.frames)
        while text not in "".join(map(text_of, self.frames[first:])):
            await self.frame()

    async def send(self, frame: str | bytes) -> None:
        await self._websocket.send(frame)

    async def prompt(self, prompt: str, **fields: object) -> None:
        await self.send(json.dumps({"prompt": prompt, **fields, "headers": {"HX-Request": "true"}}))


def text_of(frame: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", frame))


@asynccontextmanager
async def opened(reader: httpx.AsyncClient, path: str, **options: Any) -> AsyncIterator[Open]:
    """Open a conversation's socket and read its first frame."""
    async with socket(reader, f"{path}/stream", **options) as websocket:
        made = Open(websocket)
        await made.frame()
        yield made


@pytest.fixture
async def path(reader: httpx.AsyncClient) -> str:
    """A conversation with one turn that has ended."""
    return (await ask(reader, "First")).path


async def test_the_first_frame_changes_the_composer_and_shows_the_conversation(
    reader: httpx.AsyncClient, path: str
) -> None:
    async with opened(reader, path) as chat:
        (first,) = chat.frames

    assert 'data-transport="websocket" hx-ws:send' in first
    assert '<hx-partial id="rill-fallback"><div id="rill-fallback" hidden></div></hx-partial>' in first
    assert "You said: First" in first


async def test_a_prompt_goes_up_and_its_reply_comes_down(
    reader: httpx.AsyncClient, model: ScriptedUpstream, path: str
) -> None:
    gated = Gated(model, "One ", "<two>")
    async with opened(reader, path) as chat:
        await chat.prompt("Second <&>", request_id="r2")
        began = await chat.comes('id="rill-m4"')
        gated.let()
        one = await chat.comes("One")
        gated.let()
        two = await chat.comes("&lt;two&gt;")
        gated.let_all()
        ended = await chat.comes('data-state="finished"')

    assert "Second &lt;&amp;&gt;" in began
    block = "<p id=rill-r4b1>One<i id=rill-r4-2></i></p>"
    assert one == f"<hx-partial id=rill-r4-1>{block}<i id=rill-r4-3></i></hx-partial>"
    assert two == "<hx-partial id=rill-r4-2> &lt;two&gt;<i id=rill-r4-4></i></hx-partial>"
    assert ended.startswith('<hx-partial hx-target="#rill-r4 :is(i[id], template)" hx-swap="delete"></hx-partial>')


async def test_an_acknowledgement_brings_an_empty_draft_with_the_next_request_id(
    reader: httpx.AsyncClient, path: str
) -> None:
    ids = []
    async with opened(reader, path) as chat:
        for prompt in ["Second", "Third"]:
            await chat.prompt(prompt)
            draft = await chat.comes('<hx-partial id="rill-draft">')
            assert re.search(r"<textarea[^>]*>\s*</textarea>", draft)
            ids += re.findall(r'name="request_id" value="([^"]+)"', draft)
            await chat.says(f"You said: {prompt}")

    assert len(set(ids)) == 2


async def test_a_prompt_that_comes_twice_is_acknowledged_twice_and_stored_once(
    reader: httpx.AsyncClient, model: ScriptedUpstream, path: str
) -> None:
    async with opened(reader, path) as one, opened(reader, path) as other:
        for chat in [one, other, one]:
            await chat.prompt("Once", request_id="the-same")
        await one.comes('<hx-partial id="rill-draft">')
        await one.comes('<hx-partial id="rill-draft">')
        await other.comes('<hx-partial id="rill-draft">')

    page = await page_with(reader, path, "You said: Once")
    assert page.count("message prompt") == 2
    assert [exchange.prompt for exchange in model.exchanges] == ["First", "Once"]


async def test_prompts_that_a_page_queued_while_it_was_away_begin_one_turn(
    reader: httpx.AsyncClient, model: ScriptedUpstream, path: str
) -> None:
    Gated(model, "One")
    async with opened(reader, path) as chat:
        for number in range(5):
            await chat.prompt(f"Prompt {number}", request_id=f"r{number}")
        for _ in range(4):
            await chat.comes("A reply is still being written.")

    assert len(model.exchanges) == 2


BAD_FRAMES = {
    "empty": ("", "This message is not valid JSON."),
    "text": ("Hello", "This message is not valid JSON."),
    "cut": ('{"prompt": "x"', "This message is not valid JSON."),
    "binary": (b'{"prompt": "x"}', "This message is not valid JSON."),
    "deep": ("[" * 4000, "This message is not valid JSON."),
    "number": ("42", 'This message has no "prompt" text in it.'),
    "null": ("null", 'This message has no "prompt" text in it.'),
    "list": ('["prompt"]', 'This message has no "prompt" text in it.'),
    "no prompt": ("{}", 'This message has no "prompt" text in it.'),
    "a number as prompt": ('{"prompt": 42}', 'This message has no "prompt" text in it.'),
    "empty prompt": ('{"prompt": ""}', "The message is empty. Write something first."),
    "blank prompt": ('{"prompt": " \\n\\t"}', "The message is empty. Write something first."),
    "a number as request id": (
        '{"prompt": "x", "request_id": 17}',
        'The "request_id" of this request cannot be used.',
    ),
    "a long request id": (
        json.dumps({"prompt": "x", "request_id": "r" * 65}),
        'The "request_id" of this request cannot be used.',
    ),
    "one attachment": (
        '{"prompt": "x", "attachments": "a1"}',
        'The "attachments" of this request cannot be used.',
    ),
    "attachments that are no ids": (
        '{"prompt": "x", "attachments": [{"id": "a1"}]}',
        'The "attachments" of this request cannot be used.',
    ),
    "a list as model": ('{"prompt": "x", "model": ["a"]}', 'The "model" of this request cannot be used.'),
    "long prompt": (json.dumps({"prompt": "é" * 1001}), "The message has 1,001 characters; at most 1,000 can be sent."),
}


@pytest.mark.parametrize("name", BAD_FRAMES)
async def test_a_bad_frame_is_refused_with_a_sentence_and_the_socket_stays_usable(
    reader: httpx.AsyncClient, model: ScriptedUpstream, path: str, name: str
) -> None:
    frame, sentence = BAD_FRAMES[name]
    async with opened(reader, path) as chat:
        await chat.send(frame)

        refusal = await chat.frame()

        assert f'<hx-partial id="rill-notice" hx-swap="textContent">{escape(sentence)}' in refusal
        assert 'id="rill-draft"' not in refusal
        await chat.prompt("Still here?")
        await chat.says("You said: Still here?")
    assert len(model.exchanges) == 2


async def test_the_longest_prompt_fits_into_a_frame_however_it_is_written(reader: httpx.AsyncClient, path: str) -> None:
    async with opened(reader, path) as chat:
        await chat.send(json.dumps({"prompt": "字" * MAX_PROMPT_CHARS, "headers": {"x": "y" * 2000}}))

        await chat.says("You said: " + "字" * MAX_PROMPT_CHARS)


async def test_a_frame_that_is_far_too_large_ends_the_socket_and_not_the_server(
    reader: httpx.AsyncClient, model: ScriptedUpstream, path: str
) -> None:
    async with opened(reader, path) as chat:
        await chat.send("x" * 1_000_000)
        with pytest.raises(ConnectionClosed) as closed:
            await chat.comes("never")

    assert closed.value.rcvd is None or closed.value.rcvd.code == 1009
    assert (await ask(reader, "And then?", path)).text == "You said: And then?"


async def test_leaving_in_the_middle_lets_the_turn_run_to_its_end(
    reader: httpx.AsyncClient, model: ScriptedUpstream, path: str
) -> None:
    gated = Gated(model, "One ", "two")
    async with opened(reader, path) as chat:
        await chat.prompt("Second")
        gated.let()
        await chat.comes("One")

    gated.let_all()

    await page_with(reader, path, "<p>One two</p></div>")
    assert not model.exchanges[-1].was_closed.is_set()


async def test_a_socket_that_opens_in_the_middle_shows_the_reply_so_far_and_follows_it(
    reader: httpx.AsyncClient, model: ScriptedUpstream
) -> None:
    gated = Gated(model, "One ", "two ", "three")
    async with asking(reader) as (path, events):
        gated.let(2)
        await anext(events)
        await anext(events)
        async with opened(reader, path) as chat:
            assert "<p id=rill-r2b1>One two<i id=rill-r2-4></i></p>" in chat.frames[0]
            gated.let_all()
            assert await chat.comes("three") == "<hx-partial id=rill-r2-5>three</hx-partial>"


async def test_all_pages_of_a_conversation_see_a_prompt_and_only_its_sender_an_acknowledgement(
    reader: httpx.AsyncClient, path: str
) -> None:
    async with opened(reader, path) as one, opened(reader, path) as other:
        await one.prompt("Second")
        await one.comes('<hx-partial id="rill-draft">')
        await other.says("You said: Second")

    assert not any('id="rill-draft"' in frame for frame in other.frames)


def sent_from(origin: str | None, **headers: str) -> dict[str, Any]:
    return {"origin": origin, "headers": headers}


@pytest.mark.parametrize("path_of", ["conversation", "tutorial"])
class TestOrigins:
    """A page of another site's must not open sockets with a reader's cookie."""

    async def url(self, path_of: str, path: str) -> str:
        return f"{path}/stream" if path_of == "conversation" else "/chat"

    @pytest.mark.parametrize("origin", ["own", None, "http://tutorial.example:5500", "HTTP://Tutorial.Example:5500"])
    async def test_own_listed_and_no_origins_are_let_in(
        self, reader: httpx.AsyncClient, path: str, path_of: str, origin: str | None
    ) -> None:
        asked = str(reader.base_url).rstrip("/") if origin == "own" else origin

        async with socket(reader, await self.url(path_of, path), **sent_from(asked)) as websocket:
            await websocket.send("{}")
            assert await websocket.recv()

    @pytest.mark.parametrize(
        "origin",
        [
            "http://evil.example",
            "https://tutorial.example:5500",
            "http://tutorial.example",
            "http://tutorial.example:5500.evil.example",
            "http://127.0.0.1",
            "http://localhost:1",
            "null",
            "file://",
            "",
            "http://[",
        ],
    )
    async def test_foreign_origins_are_refused_at_the_handshake(
        self, reader: httpx.AsyncClient, path: str, path_of: str, origin: str
    ) -> None:
        with pytest.raises(InvalidStatus) as refused:
            async with socket(reader, await self.url(path_of, path), **sent_from(origin)):
                pass

        assert refused.value.response.status_code == 403

    async def test_a_browser_that_says_that_another_site_asks_is_refused(
        self, reader: httpx.AsyncClient, path: str, path_of: str
    ) -> None:
        for site in ["cross-site", "same-site"]:
            with pytest.raises(InvalidStatus) as refused:
                async with socket(reader, await self.url(path_of, path), headers={"Sec-Fetch-Site": site}):
                    pass

            assert refused.value.response.status_code == 403


async def test_another_readers_conversation_is_refused_at_the_handshake(stranger: httpx.AsyncClient, path: str) -> None:
    for url in [f"{path}/stream", "/c/no-such-conversation-0/stream"]:
        with pytest.raises(InvalidStatus) as refused:
            async with socket(stranger, url):
                pass

        assert refused.value.response.status_code == 404


async def test_a_socket_at_an_address_without_one_is_refused(reader: httpx.AsyncClient) -> None:
    for url in ["/", "/nothing", "/messages"]:
        with pytest.raises(InvalidStatus) as refused:
            async with socket(reader, url):
                pass

        assert refused.value.response.status_code in {403, 404}


async def test_a_server_that_ends_closes_its_sockets_so_that_pages_come_back(
    server: RillServer, upstream: ScriptedUpstream
) -> None:
    gated = Gated(upstream, "One ", "two")
    async with new_reader(server) as reader:
        path = (await reader.post("/messages", data={"prompt": "Hello"})).headers["location"]
        gated.let()
        async with opened(reader, path) as chat, socket(reader, "/chat") as tutorial:
            # The first server waits two seconds for its running reply, and some more is for a busy machine.
            async with asyncio.timeout(2 + 5):
                ending = asyncio.create_task(server.end())
                with pytest.raises(ConnectionClosed) as closed:
                    await chat.comes("never")
                with pytest.raises(ConnectionClosed) as tutorial_closed:
                    await tutorial.recv()
                await ending

    # With any of these, htmx comes back by itself (FAULTS, W1); 1012 says why.
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012
    assert tutorial_closed.value.rcvd is not None
    assert tutorial_closed.value.rcvd.code == 1012
    await until(upstream.exchanges[0].was_closed.is_set, "the connection to the model to close", 1)
