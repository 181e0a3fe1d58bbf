"""Model services that send too much, in the wrong form, or without an end; the rest is in `test_upstream_errors`."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from tests.clients import ask, new_reader
from tests.dom import Dom
from tests.fakes import Exchange, RillServer, Script, ScriptedUpstream, rill_server, until
from tests.faults.raw import GIVES_BACK, memory_bytes
from webapp import errors

SECONDS = 5.0
FLOOD_BYTES = 2_000_000_000
"""More than a machine would let a server keep."""
COST_BYTES = 100_000_000
MAX_REPLY_CHARS = 1_000_000
PARTLY = "Partly told"


@pytest.fixture(scope="module")
async def rill(
    tmp_path_factory: pytest.TempPathFactory, shared_upstream: ScriptedUpstream
) -> AsyncIterator[RillServer]:
    limits = {
        "RILL_FIRST_CHUNK_SECONDS": str(SECONDS),
        "RILL_SILENCE_SECONDS": str(SECONDS),
        "RILL_BUSY_RETRIES": "0",
        "RILL_MAX_REPLY_CHARS": str(MAX_REPLY_CHARS),
    }
    model = {"OPENAI_BASE_URL": shared_upstream.base_url, "OPENAI_API_KEY": "k", "RILL_MODEL": "scripted-1"}
    async with rill_server(tmp_path_factory.mktemp("rill"), **model, **limits, **GIVES_BACK) as running:
        yield running


@pytest.fixture
async def reader(rill: RillServer) -> AsyncIterator[httpx.AsyncClient]:
    async with new_reader(rill) as client:
        yield client


class Peak:
    """The most memory that a server had while something went on, beyond what it had before."""

    def __init__(self, server: RillServer) -> None:
        self._server = server
        self._before = memory_bytes(server)
        self.cost_bytes = 0

    async def __aenter__(self) -> Peak:
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._look()

    async def _watch(self) -> None:
        while True:
            self._look()
            await asyncio.sleep(0.01)

    def _look(self) -> None:
        self.cost_bytes = max(self.cost_bytes, memory_bytes(self._server) - self._before)


def event(text: str, **choice: object) -> bytes:
    body = {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None, **choice}]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


BEGUN = event("Partly ") + event("told")
FINISH = event("", finish_reason="stop") + b"data: [DONE]\n\n"


def gzipped(*pieces: bytes) -> tuple[bytes, ...]:
    """Compress pieces, so that each can be read as soon as it has come."""
    made = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
    return (*(made.compress(piece) + made.flush(zlib.Z_SYNC_FLUSH) for piece in pieces), made.flush())


def bomb(beginning: bytes, filling: bytes) -> Iterator[bytes]:
    """Compress a body of `FLOOD_BYTES`: about a thousandth of it is left."""
    made = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
    yield made.compress(beginning) + made.flush(zlib.Z_SYNC_FLUSH)
    block = filling * (1_000_000 // len(filling))
    for _ in range(FLOOD_BYTES // len(block)):
        if piece := made.compress(block):
            yield piece
    yield made.flush()


async def flood(exchange: Exchange, piece: bytes) -> None:
    """Send until the server has had enough."""
    for _ in range(FLOOD_BYTES // len(piece)):
        if exchange.was_closed.is_set():
            return
        await exchange.raw(piece)


def body(*pieces: bytes, status: int = 200, media_type: str = "text/event-stream", **headers: str) -> Script:
    async def script(exchange: Exchange) -> None:
        await exchange.head(status, media_type, **headers)
        for piece in pieces:
            await exchange.raw(piece)

    return script


def endless(beginning: bytes, piece: bytes, status: int = 200, **headers: str) -> Script:
    async def script(exchange: Exchange) -> None:
        await exchange.head(status, **headers)
        await exchange.raw(beginning)
        await flood(exchange, piece)

    return script


def endless_head(beginning: bytes, piece: bytes) -> Script:
    async def script(exchange: Exchange) -> None:
        await exchange.raw(beginning)
        await flood(exchange, piece)

    return script


def bombs(beginning: bytes, filling: bytes, status: int = 200) -> Script:
    async def script(exchange: Exchange) -> None:
        await exchange.head(status, Content_Encoding="gzip")
        for piece in bomb(beginning, filling):
            if exchange.was_closed.is_set():
                return
            await exchange.raw(piece)

    return script


async def redirects(exchange: Exchange) -> None:
    await exchange.head(307, Location=exchange.path)


def chunk_of(size: bytes, piece: bytes) -> bytes:
    return size + b"\r\n" + piece + b"\r\n"


@dataclass(frozen=True)
class Case:
    """What a service does, the text that is kept, and the cause that is told; of `None`, all is well."""

    script: Script
    cause: str | None
    kept: str = ""


GZIP = {"Content_Encoding": "gzip"}
CHUNKED = {"Transfer_Encoding": "chunked"}
WORDS = [f"word{number} " for number in range(40_000)] + ["end"]

CASES = {
    "plain bytes that are called compressed": Case(body(BEGUN, FINISH, **GZIP), "broken_reply"),
    "compression that is cut": Case(body(*gzipped(BEGUN)[:1], **GZIP), "broken_reply", PARTLY),
    "compression by bytes": Case(
        body(*(bytes([byte]) for byte in b"".join(gzipped(BEGUN, FINISH))), **GZIP), None, PARTLY
    ),
    "compression that nobody asked for": Case(
        body(zlib.compress(BEGUN + FINISH), Content_Encoding="br"), "empty_reply"
    ),
    "a compression that is none": Case(body(BEGUN, FINISH, Content_Encoding="rot13"), None, PARTLY),
    "much in little": Case(body(b"".join(gzipped(b"".join(map(event, WORDS)) + FINISH)), **GZIP), None, "".join(WORDS)),
    "a bomb in a line": Case(bombs(BEGUN + b"data: ", b"x"), "broken_reply", PARTLY),
    "a bomb of empty lines of data": Case(bombs(BEGUN, b"data:\n"), "broken_reply", PARTLY),
    "a bomb in an error": Case(bombs(b"", b"x", status=500), "endpoint_failed"),
    "an endless reply": Case(endless(b"", event("x" * 1000)), "too_large", "x" * MAX_REPLY_CHARS),
    "an endless event": Case(endless(BEGUN, b"data: " + b"x" * 1000 + b"\n"), "broken_reply", PARTLY),
    "an endless event of empty lines": Case(endless(BEGUN, b"data:\n" * 10_000), "broken_reply", PARTLY),
    "an endless error": Case(endless(b"", b"x" * 65_536, status=500), "endpoint_failed"),
    "an endless refusal": Case(endless(b"", b"x" * 65_536, status=401), "key_rejected"),
    "an endless redirect": Case(endless(b"", b"x" * 65_536, status=307, Location="/elsewhere"), "endpoint_unreachable"),
    "redirects without end": Case(redirects, "endpoint_unreachable"),
    "a head without end": Case(
        endless_head(b"HTTP/1.1 200 OK\r\n", b"X-More: " + b"x" * 1000 + b"\r\n"), "endpoint_unreachable"
    ),
    "a line without end in the head": Case(
        endless_head(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 1000), "endpoint_unreachable"
    ),
    "another protocol": Case(endless_head(b"SSH-2.0-OpenSSH_9.9\r\n", b"\x00" * 1000), "endpoint_unreachable"),
    "a body that is shorter than was said": Case(body(BEGUN, Content_Length="100000"), "broken_reply", PARTLY),
    "numbers that are none": Case(
        body(b'data: {"n": NaN, "m": -Infinity, "k": 1e999, "big": 99999999999999999999}\n\n' + BEGUN + FINISH),
        None,
        PARTLY,
    ),
    "a number of 5,000 digits": Case(body(BEGUN, b'data: {"n": %s}\n\n' % (b"9" * 5000)), "broken_reply", PARTLY),
    "bytes that are no text": Case(body(BEGUN, bytes(range(256)) * 100), "broken_reply", PARTLY),
    "lines that are no events": Case(
        body(b"\n\n\r\r\n:\ndata\n\nid: 1\nretry: x\nnonsense\n: data: {}\n\n" + BEGUN + FINISH), "broken_reply"
    ),
}

BREACHES = {
    # The HTTP client keeps all of them until the reply is given up: more memory than the cases above may cost.
    "heads without end": endless_head(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000),
    "a piece without a size": body(chunk_of(b"%x" % len(BEGUN), BEGUN), b"zz\r\n", **CHUNKED),
    "a piece of no size that there is": body(
        chunk_of(b"%x" % len(BEGUN), BEGUN), b"f" * 30 + b"\r\n", FINISH, **CHUNKED
    ),
    "a body that is longer than was said": body(BEGUN + FINISH, Content_Length=str(len(BEGUN))),
}


@pytest.mark.parametrize("name", BREACHES)
async def test_a_service_that_breaks_http_ends_the_reply_and_nothing_else(
    rill: RillServer, shared_upstream: ScriptedUpstream, reader: httpx.AsyncClient, name: str
) -> None:
    usual, shared_upstream.script = shared_upstream.script, BREACHES[name]

    told = await ask(reader)

    shared_upstream.script = usual
    # The HTTP client gives none of what the network brings together with the breach, so how much depends on that.
    assert told.text in {"", PARTLY}
    assert told.end.get("cause") in {"broken_reply", "endpoint_silent", "endpoint_unreachable"}
    assert (await ask(reader, "And now?")).text == "You said: And now?"
    assert "level=error" not in rill.output


@pytest.mark.parametrize("name", CASES)
async def test_a_reader_is_told_what_happened_and_keeps_what_was_written(
    rill: RillServer, shared_upstream: ScriptedUpstream, reader: httpx.AsyncClient, name: str
) -> None:
    case = CASES[name]
    usual, shared_upstream.script = shared_upstream.script, case.script

    async with Peak(rill) as peak:
        told = await ask(reader)

    shared_upstream.script = usual
    assert told.text == case.kept
    assert told.end.get("cause") == case.cause
    page = Dom((await reader.get(told.path)).text)
    assert page.text() == case.kept
    said = page.document.select("article.reply .why")
    assert [reason.text for reason in said] == ([errors.sentence(case.cause)] if case.cause else [])
    assert peak.cost_bytes < COST_BYTES
    assert (await ask(reader, "And now?")).text == "You said: And now?"
    assert "Traceback" not in rill.output
    assert "level=error" not in rill.output


async def test_a_model_that_sends_too_much_is_stopped(
    shared_upstream: ScriptedUpstream, reader: httpx.AsyncClient
) -> None:
    usual, shared_upstream.script = shared_upstream.script, CASES["an endless reply"].script

    await ask(reader)

    shared_upstream.script = usual
    await until(shared_upstream.exchanges[-1].was_closed.is_set, "the model's connection to be closed")


async def test_a_list_of_models_without_end_is_given_up(tmp_path: Path) -> None:
    async def serve(incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
        try:
            await incoming.readuntil(b"\r\n\r\n")
            outgoing.write(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"data": [')
            for _ in range(FLOOD_BYTES // 65_536):
                outgoing.write(b'{"id": "x"},' * 5461)
                await outgoing.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # Enough for the server, which is what it should say.
        finally:
            outgoing.close()

    service = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{service.sockets[0].getsockname()[1]}/v1"
    async with (
        service,
        rill_server(tmp_path, OPENAI_BASE_URL=url, OPENAI_API_KEY="k", **GIVES_BACK) as server,
        new_reader(server) as reader,
    ):
        async with Peak(server) as peak:
            told = await ask(reader)

        assert told.end["cause"] == "not_a_chat_endpoint"
        assert server.process is not None
        # It has asked at its start already.
        assert psutil.Process(server.process.pid).memory_info().rss < 3 * COST_BYTES
        assert peak.cost_bytes < COST_BYTES
