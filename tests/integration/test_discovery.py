"""What counts as a model server on this machine, and what does not."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest

from webapp.domain import ModelKind
from webapp.providers.discovery import CANDIDATES, Candidate, discover


def answer(body: bytes, status: str = "200 OK", media_type: str = "application/json") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def models(*names: str) -> bytes:
    return answer(json.dumps({"object": "list", "data": [{"id": name} for name in names]}).encode())


class FakeServer:
    """Gives one fixed answer to any request, or none; remembers what was asked."""

    def __init__(self, reply: bytes | None) -> None:
        self.reply = reply
        self.requests: list[bytes] = []
        self.port = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            if self.reply is not None:
                writer.write(self.reply)
                await writer.drain()
            await reader.read()
        writer.close()


@contextlib.asynccontextmanager
async def serving(reply: bytes | None) -> AsyncIterator[FakeServer]:
    fake = FakeServer(reply)
    server = await asyncio.start_server(fake.talk, "127.0.0.1", 0)
    fake.port = server.sockets[0].getsockname()[1]
    try:
        yield fake
    finally:
        server.close()
        await server.wait_closed()


async def found_name(*replies: bytes | None, timeout_seconds: float = 5.0) -> str | None:
    """Discover among servers that give these answers, in this order of preference."""
    async with contextlib.AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(serving(reply)) for reply in replies]
        provider = await discover(timeout_seconds, [Candidate(server.port, "Fake") for server in servers])
        if provider is None:
            return None
        await provider.close()
        return provider.model.name


async def test_a_model_server_is_found_with_its_first_model() -> None:
    async with serving(models("qwen3:8b", "llama3")) as server:
        provider = await discover(5.0, [Candidate(server.port, "Ollama")])

        assert provider is not None
        await provider.check()
        assert provider.model.kind is ModelKind.DISCOVERED
        assert provider.model.name == "qwen3:8b"
        assert provider.model.where == "Ollama on this machine"
        await provider.close()
    assert server.requests[0].startswith(b"GET /v1/models ")


async def test_the_order_of_the_candidates_is_the_preference() -> None:
    assert await found_name(models("first"), models("second")) == "first"


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(answer(b"not found", "404 Not Found", "text/plain"), id="rill itself"),
        pytest.param(answer(b"<!doctype html><title>Hello</title>", media_type="text/html"), id="a web page"),
        pytest.param(answer(b"", "302 Found\r\nLocation: /v1/models/"), id="a redirect"),
        pytest.param(models(), id="no models"),
        pytest.param(answer(b'{"data": null}'), id="null"),
        pytest.param(answer(b'{"data": [{"id": 7}, {"id": ""}]}'), id="no names"),
        pytest.param(answer(b'["a", "list"]'), id="a list"),
        pytest.param(answer(b"[" * 100_000), id="nested deeply"),
        pytest.param(answer(b"\xff\xfe"), id="not text"),
        pytest.param(models("nomic-embed-text:latest"), id="embeddings only"),
        pytest.param(answer(b'{"data": [{"id": "' + b"x" * 1_100_000 + b'"}]}'), id="endless"),
        pytest.param(b"SSH-2.0-OpenSSH_9.9\r\n", id="another protocol"),
        pytest.param(b"", id="nothing yet"),
    ],
)
async def test_what_is_no_model_server_is_passed_over(other: bytes) -> None:
    assert await found_name(other, models("right"), timeout_seconds=1.0) == "right"
    assert await found_name(other, timeout_seconds=0.3) is None


async def test_a_server_that_is_slow_is_passed_over() -> None:
    assert await found_name(None, models("quick"), timeout_seconds=0.3) == "quick"


async def test_a_model_for_embeddings_is_passed_over() -> None:
    assert await found_name(models("text-embedding-nomic-embed-text-v1.5", "gemma-3")) == "gemma-3"


async def test_a_port_where_nothing_listens_is_passed_over() -> None:
    async with serving(None) as server:
        closed = Candidate(server.port, "Nobody")

    assert await discover(5.0, [closed]) is None


async def test_an_excluded_port_is_not_asked() -> None:
    async with serving(models("mine")) as server:
        found = await discover(5.0, [Candidate(server.port, "Rill")], frozenset({server.port}))

    assert found is None
    assert server.requests == []


async def test_a_proxy_from_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(models("from the proxy")) as proxy, serving(models("direct")) as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        provider = await discover(5.0, [Candidate(server.port, "Ollama")])

        assert provider is not None
        await provider.check()
        await provider.close()
    assert proxy.requests == []


def test_the_usual_ports_are_those_of_the_design() -> None:
    assert [candidate.port for candidate in CANDIDATES] == [11434, 1234, 8080, 8000]
