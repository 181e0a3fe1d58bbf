"""The tutorial's own client, on a page of another origin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.fakes import Exchange, ScriptedUpstream, rill_server

CLIENT = Path(__file__).with_name("tutorial_client.html").read_bytes()


@pytest.fixture
async def other_origin() -> AsyncIterator[str]:
    """A static server with the client's page, on a port of its own."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        found = request.startswith(b"GET /client")
        body = CLIENT if found else b""
        status = b"200 OK" if found else b"404 Not Found"
        head = b"HTTP/1.1 %s\r\nContent-Type: text/html\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
        writer.write(head % (status, len(body)) + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


async def test_the_tutorials_client_works_from_a_listed_origin(
    page: Page, tmp_path: Path, upstream: ScriptedUpstream, other_origin: str
) -> None:
    environ = {"OPENAI_BASE_URL": upstream.base_url, "RILL_ALLOWED_ORIGINS": other_origin}
    async with rill_server(tmp_path, **environ) as server:
        await page.goto(f"{other_origin}/client?server={server.url.replace('http', 'ws')}")
        await expect(page.locator("#state")).to_have_text("open")
        await page.fill("#prompt", "Hello")
        await page.click("#send")
        await expect(page.locator("#state")).to_have_text("done after 2")
        await expect(page.locator("#answer")).to_have_text("You said: Hello")
        await page.click("#nonsense")
        await expect(page.locator("#state")).to_contain_text("error: This message is not valid JSON.")

        async def refuse(exchange: Exchange) -> None:
            await exchange.json(429, {"error": {"message": "slow down", "code": "rate_limit"}})

        script, upstream.script = upstream.script, refuse
        await page.click("#send")
        await expect(page.locator("#state")).to_contain_text("error: The model service is busy")
        upstream.script = script

        await page.fill("#prompt", "Again")
        await page.click("#send")

        await expect(page.locator("#answer")).to_have_text("You said: Again")


async def test_the_tutorials_client_is_refused_from_any_other_origin(
    page: Page, tmp_path: Path, upstream: ScriptedUpstream, other_origin: str
) -> None:
    async with rill_server(tmp_path, OPENAI_BASE_URL=upstream.base_url) as server:
        await page.goto(f"{other_origin}/client?server={server.url.replace('http', 'ws')}")

        await expect(page.locator("#state")).to_have_text("closed")
