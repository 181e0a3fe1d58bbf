"""Images in replies: links by default, copies through this server from hosts that the operator lists."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.clients import ask, new_reader
from tests.fakes import ScriptedUpstream, rill_server
from webapp import errors
from webapp.images import MAX_IMAGE_BYTES, Images

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


class ImageHost:
    """A web server of somebody else's; `answer` writes the response to each request."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.answer: Callable[[asyncio.StreamWriter], Awaitable[None]] = self.image
        self.port = 0

    async def image(self, writer: asyncio.StreamWriter, body: bytes = PNG, status: str = "200 OK") -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nLocation: /elsewhere\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        try:
            await self.answer(writer)
        except ConnectionError:
            pass  # The other side had enough, as it should of too large an image.
        finally:
            writer.close()


@pytest.fixture
async def host() -> AsyncIterator[ImageHost]:
    made = ImageHost()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()


@asynccontextmanager
async def listing(*hosts: str) -> AsyncIterator[Images]:
    images = Images(hosts)
    yield images
    await images.close()


async def test_an_image_of_a_listed_host_is_shown_through_this_server(
    tmp_path: Path, upstream: ScriptedUpstream, host: ImageHost
) -> None:
    listed, other = f"http://127.0.0.1:{host.port}/a.png?b=c", "https://elsewhere.example/a.png"
    upstream.script = lambda exchange: exchange.reply(f"![A heron]({listed}) and ![a crane]({other})")
    environ = {"OPENAI_BASE_URL": upstream.base_url, "RILL_IMAGE_HOSTS": f"127.0.0.1:{host.port}"}
    async with rill_server(tmp_path, **environ) as server, new_reader(server) as reader:
        path = (await ask(reader)).path
        page = (await reader.get(path)).text
        assert host.heads == []

        (source,) = re.findall(r'<img src="\.\.(/image\?url=[^"]*)" alt="A heron"', page)
        answer = await reader.get(source)
        refused = await reader.get("/image", params={"url": other})

    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, PNG, "image/png")
    assert "sandbox" in answer.headers["content-security-policy"]
    assert refused.status_code == 404
    assert '<a class="image" href="https://elsewhere.example/a.png"' in page
    (head,) = host.heads
    assert head.startswith("GET /a.png?b=c HTTP/1.1\r\n")
    assert "cookie" not in head.lower()
    assert "referer" not in head.lower()


@pytest.mark.parametrize("body", [b"<svg onload=alert(1)>", b"<!doctype html>", b"", b"PNG"])
async def test_what_is_no_image_is_not_passed_on(host: ImageHost, body: bytes) -> None:
    host.answer = lambda writer: host.image(writer, body)
    async with listing("127.0.0.1") as images:
        with pytest.raises(errors.ImageUnavailable):
            await images.fetch(f"http://127.0.0.1:{host.port}/")


@pytest.mark.parametrize("status", ["302 Found", "404 Not Found", "500 Oh"])
async def test_another_status_is_no_image_and_no_redirect_is_followed(host: ImageHost, status: str) -> None:
    host.answer = lambda writer: host.image(writer, PNG, status)
    async with listing("127.0.0.1") as images:
        with pytest.raises(errors.ImageUnavailable):
            await images.fetch(f"http://127.0.0.1:{host.port}/")

    assert len(host.heads) == 1


async def test_an_image_that_is_too_large_is_let_go(host: ImageHost) -> None:
    host.answer = lambda writer: host.image(writer, PNG + bytes(MAX_IMAGE_BYTES))
    async with listing("127.0.0.1") as images:
        with pytest.raises(errors.ImageUnavailable):
            await images.fetch(f"http://127.0.0.1:{host.port}/")


async def test_a_listed_name_that_means_a_private_address_is_refused(host: ImageHost) -> None:
    async with listing("localhost") as images:
        with pytest.raises(errors.ImageUnavailable) as caught:
            await images.fetch(f"http://localhost:{host.port}/")

    assert caught.value.detail == "localhost is no public host"
    assert host.heads == []


@pytest.mark.parametrize(
    "url",
    [
        "", "x", "file:///etc/passwd", "http://user@ok.example/", "http://ok.example@evil.example/", "//ok.example/",
        "http://ok.example:x/", "http://[::1", "http://ok.example.evil.example/", f"http://ok.example/{'x' * 2_048}",
    ],
)  # fmt: skip
async def test_an_address_of_no_listed_host_is_not_found(url: str) -> None:
    async with listing("ok.example") as images:
        assert images.source(url) is None
        with pytest.raises(errors.NotFound):
            await images.fetch(url)


@pytest.mark.parametrize(
    ("first", "media_type"),
    [
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBP", "image/webp"),
        (b"\x00\x00\x00\x20ftypavif", "image/avif"),
    ],
)
async def test_an_image_is_known_by_its_first_bytes(host: ImageHost, first: bytes, media_type: str) -> None:
    host.answer = lambda writer: host.image(writer, first + bytes(50))
    async with listing("127.0.0.1") as images:
        assert (await images.fetch(f"http://127.0.0.1:{host.port}/")).media_type == media_type
