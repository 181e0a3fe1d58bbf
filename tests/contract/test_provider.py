"""What every provider promises, run over a Python function and over an HTTP endpoint."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from typing import Protocol, cast

import pytest

from tests.fakes import Exchange, ScriptedUpstream, until
from webapp import errors
from webapp.domain import Chunk, FinishChunk, FinishReason, ModelKind, ModelState, TextChunk
from webapp.providers import ChatMessage, Provider
from webapp.providers.endpoint import EndpointProvider
from webapp.providers.function import FunctionProvider


class Source(Protocol):
    """Something that replies through a provider, and knows what became of its replies.

    A prompt "count 3" is answered with the chunks "1 ", "2 ", "3 "; "wait" begins and then waits for ever; "fail"
    fails after its first chunk.
    """

    provider: Provider
    seen: list[list[ChatMessage]]
    ended: int


class FunctionSource:
    """An async generator function, whose `finally` is what has to run."""

    def __init__(self) -> None:
        self.seen: list[list[ChatMessage]] = []
        self.ended = 0
        self.provider: Provider = FunctionProvider(self.reply)

    async def reply(self, messages: list[ChatMessage]) -> AsyncIterator[str]:
        self.seen.append(messages)
        word, _, number = messages[-1]["content"].partition(" ")
        try:
            if word == "count":
                for count in range(1, int(number) + 1):
                    await asyncio.sleep(0)
                    yield f"{count} "
            else:
                yield "Well, "
            if word == "fail":
                raise RuntimeError(f"no answer to {messages}")
            if word == "wait":
                await asyncio.Event().wait()
        finally:
            self.ended += 1


class EndpointSource:
    """A scripted model service, whose connection is what has to close."""

    def __init__(self, upstream: ScriptedUpstream) -> None:
        upstream.script = self._script
        self._upstream = upstream
        self.ended = 0
        self.provider: Provider = EndpointProvider(
            base_url=upstream.base_url,
            api_key="sk-test",
            model_name="scripted-1",
            kind=ModelKind.ENDPOINT,
            where="here",
            trust_env=False,
        )

    @property
    def seen(self) -> list[list[ChatMessage]]:
        return [exchange.body["messages"] for exchange in self._upstream.exchanges]

    async def _script(self, exchange: Exchange) -> None:
        word, _, number = exchange.prompt.partition(" ")
        if word == "count":
            await exchange.reply(*(f"{count} " for count in range(1, int(number) + 1)))
            return
        await exchange.head()
        await exchange.chunk("Well, ")
        if word == "fail":
            await exchange.event({"error": {"code": "out_of_memory"}})
            return
        await exchange.was_closed.wait()
        self.ended += 1


@pytest.fixture(params=["function", "endpoint"])
async def source(request: pytest.FixtureRequest, upstream: ScriptedUpstream) -> AsyncIterator[Source]:
    made: Source = FunctionSource() if request.param == "function" else EndpointSource(upstream)
    await made.provider.open()
    yield made
    await made.provider.close()


def stream(source: Source, prompt: str) -> AsyncGenerator[Chunk, None]:
    return source.provider.stream([ChatMessage(role="user", content=prompt)])


async def collect(chunks: AsyncGenerator[Chunk, None]) -> list[Chunk]:
    async with aclosing(chunks) as opened:
        return [chunk async for chunk in opened]


def text_of(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks if isinstance(chunk, TextChunk))


async def test_chunks_come_in_order_and_a_finish_at_the_end(source: Source) -> None:
    *chunks, end = await collect(stream(source, "count 20"))

    assert text_of(chunks) == "".join(f"{count} " for count in range(1, 21))
    assert end == FinishChunk(FinishReason.STOP)


async def test_the_whole_conversation_is_given_to_the_model_as_it_is(source: Source) -> None:
    messages = [
        ChatMessage(role="system", content="Be brief."),
        ChatMessage(role="user", content="Hello <&> 🐙"),
        ChatMessage(role="assistant", content="Hi"),
        ChatMessage(role="user", content="count 1"),
    ]

    await collect(source.provider.stream(messages))

    assert source.seen == [messages]


async def test_a_first_chunk_comes_before_the_reply_is_whole(source: Source) -> None:
    async with aclosing(stream(source, "wait")) as chunks:
        assert await anext(chunks) == TextChunk("Well, ")
        assert source.ended == 0


async def test_closing_the_generator_ends_the_work_at_its_source(source: Source) -> None:
    chunks = stream(source, "wait")
    await anext(chunks)
    assert source.ended == 0

    await chunks.aclose()

    await until(lambda: source.ended == 1, "the work to end", seconds=2)


async def test_cancelling_the_reading_task_ends_the_work_at_its_source(source: Source) -> None:
    got: list[Chunk] = []

    async def read() -> None:
        async with aclosing(stream(source, "wait")) as chunks:
            async for chunk in chunks:
                got.append(chunk)

    reading = asyncio.create_task(read())
    await until(lambda: got, "the first chunk")

    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading

    await until(lambda: source.ended == 1, "the work to end", seconds=2)


async def test_streams_at_the_same_time_do_not_mix(source: Source) -> None:
    replies = await asyncio.gather(*(collect(stream(source, f"count {count}")) for count in range(1, 21)))

    for count, chunks in enumerate(replies, start=1):
        assert text_of(chunks) == "".join(f"{number} " for number in range(1, count + 1))


async def test_ending_one_stream_leaves_the_others_alone(source: Source) -> None:
    left, stays = stream(source, "wait"), stream(source, "wait")
    await asyncio.gather(anext(left), anext(stays))

    await left.aclose()

    await until(lambda: source.ended == 1, "one to end", seconds=2)
    waiting = asyncio.ensure_future(anext(stays))
    await asyncio.wait([waiting], timeout=0.1)
    assert not waiting.done()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await stays.aclose()


async def test_a_failure_keeps_what_came_before_it_and_is_a_provider_error(source: Source) -> None:
    chunks = stream(source, "fail")
    assert await anext(chunks) == TextChunk("Well, ")

    with pytest.raises(errors.ProviderError) as raised:
        await anext(chunks)

    assert raised.value.sentence.endswith((".", "why."))
    assert "no answer to" not in f"{raised.value} {raised.value.detail} {raised.value.sentence}"


async def test_a_provider_that_works_says_so_and_says_what_it_is(source: Source) -> None:
    await source.provider.check()

    model = source.provider.model
    assert model.state is ModelState.READY
    assert model.name in {"reply", "scripted-1"}
    assert model.where


async def test_a_functions_last_words_are_said_before_its_stream_is_closed() -> None:
    source = FunctionSource()
    chunks = stream(source, "wait")
    await anext(chunks)

    await chunks.aclose()

    # At once, and not when Python happens to collect the generator.
    assert source.ended == 1


async def test_a_function_that_is_no_async_generator_is_refused_at_once() -> None:
    async def reply(messages: list[ChatMessage]) -> str:
        return "Hello"

    with pytest.raises(TypeError, match="async generator"):
        FunctionProvider(reply)  # type: ignore[arg-type]  # That is the point.


async def test_an_object_whose_call_is_an_async_generator_is_taken() -> None:
    class Parrot:
        async def __call__(self, messages: list[ChatMessage]) -> AsyncIterator[str]:
            yield messages[-1]["content"]

    provider = FunctionProvider(Parrot())

    chunks = await collect(provider.stream([ChatMessage(role="user", content="Hello")]))
    assert chunks == [TextChunk("Hello"), FinishChunk(FinishReason.STOP)]
    assert provider.model.name == "Parrot"


async def test_a_function_that_yields_no_text_has_failed() -> None:
    async def reply(messages: list[ChatMessage]) -> AsyncIterator[str]:
        yield b"bytes"  # type: ignore[misc]  # That is the point.

    with pytest.raises(errors.FunctionFailed) as raised:
        await collect(FunctionProvider(reply).stream([ChatMessage(role="user", content="Hello")]))

    assert raised.value.detail == "yielded bytes, not str"


async def test_a_function_may_change_the_messages_it_is_given() -> None:
    async def reply(messages: list[ChatMessage]) -> AsyncIterator[str]:
        messages[0]["content"] = "changed"
        messages.clear()
        yield "Hi"

    given = [ChatMessage(role="user", content="Hello")]
    await collect(FunctionProvider(reply).stream(given))

    assert given == [ChatMessage(role="user", content="Hello")]


async def test_a_connection_to_an_endpoint_is_used_again() -> None:
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        event = b'data: {"choices":[{"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while asked := await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(int(asked.lower().partition(b"content-length: ")[2].partition(b"\r")[0]))
                writer.write(head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(event), event))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    provider = EndpointProvider(
        base_url=url, api_key=None, model_name="m", kind=ModelKind.ENDPOINT, where="here", trust_env=False
    )
    for _ in range(5):
        chunks = await collect(provider.stream([ChatMessage(role="user", content="Hello")]))
        assert chunks == [TextChunk("Hi"), FinishChunk(FinishReason.STOP)]
    await provider.close()
    server.close()

    assert connections == 1


async def test_an_endpoint_whose_model_is_not_named_is_asked_for_its_first(upstream: ScriptedUpstream) -> None:
    provider = EndpointProvider(
        base_url=upstream.base_url, api_key=None, model_name=None, kind=ModelKind.ENDPOINT, where="here"
    )
    try:
        await collect(provider.stream([ChatMessage(role="user", content="Hello")]))
    finally:
        await provider.close()

    assert upstream.exchanges[0].body["model"] == "scripted-1"
    assert provider.model.name == "scripted-1"


async def test_what_had_come_before_a_connection_broke_is_not_lost(upstream: ScriptedUpstream) -> None:
    has_broken = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.head(Transfer_Encoding="chunked")
        for text in ("One", " two", " three"):
            event = json.dumps({"choices": [{"delta": {"content": text}}]}).encode()
            await exchange.raw(b"%x\r\ndata: %s\n\n\r\n" % (len(event) + 8, event))
            await asyncio.sleep(0)
        exchange.reset()
        has_broken.set()

    source = EndpointSource(upstream)
    upstream.script = script
    chunks, texts = stream(source, "Hello"), []

    async def read_slowly() -> None:
        async for chunk in chunks:
            texts.append(cast(TextChunk, chunk).text)
            await has_broken.wait()
            for _ in range(20):
                # Turns of the loop that both ends run in: the client has been told of the reset.
                await asyncio.sleep(0)

    with pytest.raises(errors.BrokenReply):
        await read_slowly()
    await source.provider.close()

    assert "".join(texts) == "One two three"
