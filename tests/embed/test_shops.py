"""Sites in FastAPI and Django that have a chat of another origin's in their pages: each example is run, and visited."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import expect

from tests.browser.conftest import NewPage
from tests.embed.hosts import running
from tests.fakes import ScriptedUpstream, rill_server

SECRET = "k" * 40


@asynccontextmanager
async def shop(name: str, folder: Path, upstream: ScriptedUpstream) -> AsyncIterator[str]:
    """Run a chat, and an example that has it in its pages; give the example's origin, which is another site."""
    file = folder / "embeds.toml"
    settings = {"OPENAI_BASE_URL": upstream.base_url, "RILL_EMBEDS": str(file)}
    async with (
        rill_server(folder, OPENAI_API_KEY="k", **settings) as chat,
        running(name, folder, CHAT_URL=chat.url, CHAT_SECRET=SECRET) as site,
    ):
        origin = site.url.replace("127.0.0.1", "localhost")
        file.write_text(f'[support]\norigins = ["{origin}"]\nsecret = "{SECRET}"\ntitle = "Support"\n')
        yield origin


async def test_a_shop_in_fastapi_says_who_its_customer_is(
    new_page: NewPage, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    upstream.script = lambda exchange: exchange.reply("On its way.")
    async with shop("examples.shop_fastapi", tmp_path, upstream) as site:
        phone, laptop, stranger = await new_page(), await new_page(), await new_page()
        await phone.goto(f"{site}/login/ada")
        await phone.locator("#rill-prompt").fill("Where is my lamp?")
        await phone.locator("#rill-prompt").press("Enter")
        await expect(phone.locator("article.reply .text")).to_have_text("On its way.")
        await laptop.goto(f"{site}/login/ada")
        await stranger.goto(site)

        await expect(laptop.locator("article.prompt .text")).to_have_text("Where is my lamp?")
        await expect(stranger.locator("#rill-prompt")).to_be_visible()
        assert await stranger.locator("article").count() == 0
        assert {cookie["name"] for cookie in await phone.context.cookies()} == {"session"}
    system = upstream.exchanges[0].body["messages"][0]
    assert system["role"] == "system"
    assert system["content"].endswith("\nName: ada")


async def test_a_shop_in_django_keeps_the_visit_in_its_own_session(
    new_page: NewPage, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    upstream.script = lambda exchange: exchange.reply("Yes.")
    async with shop("examples.shop_django", tmp_path, upstream) as site:
        shown = await new_page(java_script_enabled=False)
        await shown.goto(site)
        framed = shown.frame_locator("iframe")
        await framed.locator("#rill-prompt").fill("Is it open?")
        await framed.get_by_role("button", name="Send").click()
        await expect(framed.locator("article.reply .text")).to_have_text("Yes.")
        await shown.goto("about:blank")
        await shown.goto(site)

        await expect(framed.locator("article.prompt .text")).to_have_text("Is it open?")
        await expect(framed.locator("article.reply .text")).to_have_text("Yes.")
        assert {cookie["name"] for cookie in await shown.context.cookies()} == {"sessionid"}
