"""Rill as a part of other apps: each example is run as its first lines say, and used as a person does."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from playwright.async_api import expect

from tests.browser.chat import ask, has_ended, is_connected, sees
from tests.browser.conftest import NewPage
from tests.clients import LINES
from tests.embed.hosts import running
from tests.fakes import ScriptedUpstream, rill_server

SLOW = """
import asyncio
from starlette.applications import Starlette
from starlette.routing import Mount
from webapp import create_app

async def reply(messages):
    yield "The beginning.\\n\\n"
    await asyncio.Event().wait()
    yield "The end."

app = Starlette(routes=[Mount("/assistant", create_app(reply))])
"""


@pytest.mark.parametrize("name", ["examples.fastapi_app", "examples.django_app"])
async def test_an_app_s_own_users_chat_below_its_path(new_page: NewPage, tmp_path: Path, name: str) -> None:
    async with running(name, tmp_path) as app:
        ada, bob = await new_page(), await new_page()
        await ada.goto(f"{app.url}/assistant/")
        await expect(ada.get_by_role("heading")).to_have_text("Sign in first, and come back then.")
        for page, user in ((ada, "ada"), (bob, "bob")):
            await page.goto(f"{app.url}/login/{user}")
            await page.goto(f"{app.url}/assistant/")
        await ask(ada, "Hello")
        await ada.wait_for_url("**/assistant/c/*")
        await has_ended(ada)
        await sees(ada, "You said: Hello")
        await is_connected(ada, "websocket")
        await ask(ada, "Again")
        await sees(ada, "You said: Again")

        answer = await bob.goto(ada.url)
        assert answer is not None
        assert answer.status == 404
        elsewhere = await new_page()
        await elsewhere.goto(f"{app.url}/login/ada")
        await elsewhere.goto(f"{app.url}/assistant/")
        await expect(elsewhere.locator("#rill-listing")).to_contain_text("Hello")
        names = {cookie["name"] for cookie in await ada.context.cookies()}
        assert not [each for each in names if "rill_reader" in each]
    assert "Traceback" not in app.output
    assert app.process.returncode == 0


async def test_a_page_of_the_app_has_the_chat_by_an_include(new_page: NewPage, tmp_path: Path) -> None:
    async with running("examples.fastapi_app", tmp_path) as app:
        page = await new_page()
        await page.goto(f"{app.url}/")
        await expect(page.locator("#rill")).to_contain_text("Sign in first, and come back then.")
        await page.goto(f"{app.url}/login/ada")
        await page.goto(f"{app.url}/")
        await ask(page, "Hello")
        await has_ended(page)
        await sees(page, "You said: Hello")
        await ask(page, "Again")
        await sees(page, "You said: Again")

        await page.reload()
        await sees(page, "You said: Again")
        assert page.url == f"{app.url}/"
        await page.goto(f"{app.url}/assistant/")
        await expect(page.locator("#rill-listing li")).to_have_count(1)
    assert "Traceback" not in app.output


async def test_two_chats_stand_side_by_side(new_page: NewPage, tmp_path: Path) -> None:
    async with running("examples.two_chats", tmp_path) as app:
        page = await new_page()
        for path, answer in (("sales", "Buy two."), ("support", "Turn it off and on again."), ("sales", "Buy two.")):
            await page.goto(f"{app.url}/{path}/")
            await ask(page, f"Hello, {path}")
            await page.wait_for_url(f"**/{path}/c/*")
            await has_ended(page)
            await sees(page, answer)

        await expect(page.locator("#rill-listing li")).to_have_count(2)
        paths = {cookie["path"] for cookie in await page.context.cookies() if "rill_reader" in cookie["name"]}
        assert paths == {"/sales", "/support"}
    assert "Traceback" not in app.output


async def test_what_was_said_is_there_when_the_app_around_it_starts_again(tmp_path: Path) -> None:
    """Nobody runs the lifespan of a mounted app, so it has to see its beginning and its end by itself."""
    async with (
        running("examples.fastapi_app", tmp_path) as app,
        httpx.AsyncClient(base_url=app.url, trust_env=False, follow_redirects=True) as reader,
    ):
        await reader.get("/login/ada")
        answer = await reader.post("/assistant/messages", json={"prompt": "Keep this"}, headers=LINES)
        path = answer.headers["location"]
    async with (
        running("examples.fastapi_app", tmp_path) as app,
        httpx.AsyncClient(base_url=app.url, trust_env=False, follow_redirects=True) as reader,
    ):
        await reader.get("/login/ada")
        page = await reader.get(path)

    assert "You said: Keep this" in page.text


async def test_a_running_reply_is_kept_as_far_as_it_is_when_the_app_around_it_ends(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    async with (
        running("slow", tmp_path) as app,
        httpx.AsyncClient(base_url=app.url, trust_env=False) as reader,
        reader.stream("POST", "/assistant/messages", json={"prompt": "Hi"}, headers=LINES) as answer,
    ):
        path, cookies = answer.headers["location"], answer.cookies
        async for line in answer.aiter_lines():
            if "beginning" in line:
                break
    async with (
        running("slow", tmp_path) as app,
        httpx.AsyncClient(base_url=app.url, trust_env=False, cookies=cookies) as reader,
    ):
        whole = (await reader.get(f"{path}/export?as=json")).json()

    said = whole["messages"][-1]
    assert (said["state"], said["text"].strip()) == ("interrupted", "The beginning.")


async def test_behind_a_proxy_that_takes_its_path_away(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    settings = {"OPENAI_BASE_URL": upstream.base_url, "OPENAI_API_KEY": "k", "RILL_ROOT_PATH": "/chat"}
    async with (
        rill_server(tmp_path, **settings) as server,
        httpx.AsyncClient(base_url=server.url, trust_env=False) as reader,
    ):
        page = await reader.get("/")
        urls = re.findall(r'(?:href|action|src|hx-[a-z:]+)="(/[^"]*)"', page.text)
        cookie = page.headers["set-cookie"]
        static = next(url for url in urls if url.endswith(".css"))
        asked = await reader.post("/messages", json={"prompt": "Hi"}, headers=LINES)

        assert (await reader.get(static.removeprefix("/chat"))).status_code == 200
    assert urls
    assert not [url for url in urls if not url.startswith("/chat/")]
    assert "Path=/chat;" in cookie
    assert asked.headers["location"].startswith("/chat/c/")
