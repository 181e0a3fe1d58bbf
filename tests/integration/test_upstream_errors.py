"""Every failure of a model service becomes a sentence in the transcript, and keeps what was written before it."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import httpx
import pytest
import turbohtml

from tests.clients import ask, new_reader, page_with
from tests.fakes import RillServer, ScriptedUpstream, rill_server, until
from tests.integration.faults import ENDLESS, FAULTS, KEY, MAX_REPLY_CHARS, PROMPT, Fault
from webapp import errors
from webapp.domain import FinishChunk, FinishReason, ModelKind, TextChunk
from webapp.providers import ChatMessage
from webapp.providers.endpoint import EndpointProvider, Timeouts

CANARY = "canary-prompt-7731"
SECONDS = 2.0
BY_NAME = [pytest.param(fault, id=fault.name) for fault in FAULTS]


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    return {
        "RILL_MODEL": "scripted-1",
        "RILL_FIRST_CHUNK_SECONDS": str(SECONDS),
        "RILL_SILENCE_SECONDS": str(SECONDS),
        "RILL_MAX_REPLY_CHARS": str(MAX_REPLY_CHARS),
        "RILL_LOG_LEVEL": "debug",
    }


@pytest.fixture
async def endpoint(upstream: ScriptedUpstream) -> AsyncIterator[EndpointProvider]:
    async with opened(upstream.base_url) as provider:
        yield provider


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[EndpointProvider]:
    timeouts = Timeouts(connect=SECONDS, first_chunk=SECONDS, silence=SECONDS, idle=0.1)
    provider = EndpointProvider(
        base_url=url,
        api_key=KEY,
        model_name="scripted-1",
        kind=ModelKind.ENDPOINT,
        where="here",
        timeouts=timeouts,
        trust_env=False,
    )
    try:
        yield provider
    finally:
        await provider.close()


async def outcome(provider: EndpointProvider) -> tuple[str, str | None, str]:
    """Give the text that came, what became of the reply in the words of `Message.cause`, and the log's detail."""
    text, finish = "", None
    try:
        async with asyncio.timeout(20), aclosing(provider.stream([ChatMessage(role="user", content=PROMPT)])) as chunks:
            async for chunk in chunks:
                if isinstance(chunk, TextChunk):
                    text += chunk.text
                if isinstance(chunk, FinishChunk):
                    finish = chunk.reason
    except errors.ProviderError as error:
        return text, error.cause, f"{error} {error.detail} {error.sentence}"
    if finish in {None, FinishReason.STOP} and not text:
        return text, "empty_reply", ""
    if finish is None:
        return text, "broken_reply", ""
    return text, None if finish is FinishReason.STOP else finish.value, ""


@pytest.mark.parametrize("fault", BY_NAME)
async def test_an_endpoint_names_the_cause(
    endpoint: EndpointProvider, upstream: ScriptedUpstream, fault: Fault
) -> None:
    upstream.script = fault.script

    text, cause, said = await outcome(endpoint)

    assert (text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"), cause) == (fault.kept, fault.cause)
    assert CANARY not in said
    assert KEY not in said
    assert len(upstream.exchanges) == 1
    assert fault.logged in said


async def test_a_refused_connection_is_an_unreachable_endpoint(upstream: ScriptedUpstream) -> None:
    await upstream.stop()
    async with opened(upstream.base_url) as provider:
        assert (await outcome(provider))[:2] == ("", "endpoint_unreachable")


async def test_an_unknown_host_is_an_unreachable_endpoint() -> None:
    async with opened("http://no-such-host.invalid/v1") as provider:
        assert (await outcome(provider))[:2] == ("", "endpoint_unreachable")


async def test_a_connection_without_a_request_is_closed_before_the_endpoint_does() -> None:
    """A request that meets the endpoint's own closing is lost."""
    body = b'data: {"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: {len(body)}\r\n\r\n"
    was_closed = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head.encode() + body)
        while await reader.read(65_536):
            pass
        was_closed.set()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, opened(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1") as provider:
        assert (await outcome(provider))[:2] == ("Hi", None)
        async with asyncio.timeout(4):  # The SDK's client would keep it for 5.
            await was_closed.wait()


def reply_articles(page: str) -> list[str]:
    return re.findall(r'<article id="rill-m\d+" class="message reply".*?</article>', page, re.S)


def text_of(article: str) -> str:
    (text,) = turbohtml.parse_fragment(article, "body").select(".text")
    return text.text


async def shows(reader: httpx.AsyncClient, path: str, fault: Fault, key: str = KEY) -> None:
    """Assert that the transcript shows what a fault has to become."""
    page = (await reader.get(path)).text
    (article,) = reply_articles(page)
    assert text_of(article) == fault.kept
    state = "failed" if fault.is_failure else "finished"
    assert f'data-state="{state}"' in article
    assert ("Retry</button>" in article) == fault.is_failure
    if fault.cause is None:
        assert 'class="why"' not in article
    else:
        assert str(html.escape(errors.sentence(fault.cause), quote=False)) in html.unescape(article)
    assert CANARY not in article
    assert key not in page


@pytest.mark.parametrize("fault", BY_NAME)
async def test_the_transcript_says_what_happened(
    rill: RillServer, model: ScriptedUpstream, reader: httpx.AsyncClient, fault: Fault
) -> None:
    model.script = fault.script
    logged_before = len(rill.output)

    told = await ask(reader, PROMPT)

    assert told.text == fault.kept
    if fault.is_failure:
        assert told.end == {
            "type": "error",
            "cause": fault.cause,
            "message": errors.sentence(str(fault.cause)),
        }
    else:
        assert told.end == {"type": "done", "state": "finished", "cause": fault.cause}
    await shows(reader, told.path, fault)
    await until(lambda: "turn.ended" in rill.output[logged_before:], "the log")
    logged = rill.output[logged_before:]
    assert fault.logged in logged
    if fault.is_failure:
        assert f"cause={fault.cause}" in logged
    assert KEY not in rill.output
    assert CANARY not in rill.output
    assert "Traceback" not in rill.output
    assert len(model.exchanges) == (3 if fault.is_asked_again else 1)


async def test_a_reply_that_grows_too_long_is_kept_so_far_and_the_model_is_stopped(
    model: ScriptedUpstream, reader: httpx.AsyncClient
) -> None:
    model.script = ENDLESS.script

    told = await ask(reader, PROMPT)

    assert told.end == {"type": "done", "state": "finished", "cause": "too_large"}
    await shows(reader, told.path, ENDLESS)
    await until(model.exchanges[0].was_closed.is_set, "the connection to close", 2)


async def test_a_retry_after_a_failure_answers_in_its_place(model: ScriptedUpstream, reader: httpx.AsyncClient) -> None:
    well = model.script
    model.script = FAULTS[0].script
    path = (await ask(reader, "Hello")).path
    article = reply_articles((await reader.get(path)).text)[0]
    number = re.search(r'name="reply" value="(\d+)"', article)
    assert number is not None
    model.script = well

    answer = await reader.post(f"{path}/turn/retry", data={"reply": number[1]})

    assert answer.status_code == 303
    await until(lambda: len(model.exchanges) == 2, "a second request")
    (article,) = reply_articles(await page_with(reader, path, 'data-state="finished"'))
    assert text_of(article) == "You said: Hello"
    assert model.exchanges[1].body["messages"] == [{"role": "user", "content": "Hello"}]


@pytest.mark.parametrize("where", ["refused", "unknown host"])
async def test_a_server_whose_model_is_not_there_starts_and_says_so(tmp_path: Path, where: str) -> None:
    gone = ScriptedUpstream()
    await gone.start()
    await gone.stop()
    url = gone.base_url if where == "refused" else "http://no-such-host.invalid/v1"
    async with rill_server(tmp_path, OPENAI_BASE_URL=url, OPENAI_API_KEY=KEY) as server, new_reader(server) as reader:
        told = await ask(reader, PROMPT)

        assert told.end["cause"] == "endpoint_unreachable"
        await shows(reader, told.path, Fault(where, gone.script, "endpoint_unreachable"))
        assert (await reader.get("/readyz")).status_code == 503
        assert (await reader.get("/healthz")).status_code == 200
    assert "model.not_ready" in server.output
    assert KEY not in server.output
    assert CANARY not in server.output
