"""Trying again, editing, going on and paging through versions, as people do it, with scripts and without."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from tests.browser.chat import begin, has_ended, is_connected, sees
from tests.browser.conftest import NewPage
from tests.fakes import Network, RillServer, ScriptedUpstream, network


async def has_texts(page: Page, *texts: str) -> None:
    await expect(page.locator("article.message .text")).to_have_text(list(texts))


async def do(page: Page, name: str) -> None:
    await page.get_by_role("button", name=name).last.click()


async def edits(page: Page, prompt: str) -> None:
    """Edit the first message."""
    await page.get_by_role("button", name="Edit").first.click()
    await expect(page.locator("#rill-prompt")).to_be_focused()
    await page.fill("#rill-prompt", prompt)
    await page.click(".send")


async def goes_through_branches(page: Page, upstream: ScriptedUpstream) -> None:
    """Try a cut reply again, go on from it, edit the prompt, and page back to the first version of each."""
    await has_texts(page, "Tell me.", "First")
    upstream.script = lambda exchange: exchange.reply("Second", reason="length")
    await do(page, "Try again")
    await has_texts(page, "Tell me.", "Second")
    await expect(page.locator(".siblings")).to_contain_text("2 / 2")
    upstream.script = lambda exchange: exchange.reply(" and more")
    await do(page, "Continue")
    await has_texts(page, "Tell me.", "Second and more")
    await expect(page.locator(".siblings")).to_contain_text("3 / 3")
    await do(page, "Earlier version")
    await has_texts(page, "Tell me.", "Second")
    await do(page, "Earlier version")
    await has_texts(page, "Tell me.", "First")
    upstream.script = lambda exchange: exchange.reply("Other")
    await edits(page, "Tell me all.")
    await has_texts(page, "Tell me all.", "Other")
    await expect(page.locator("article.prompt .siblings")).to_contain_text("2 / 2")
    await page.locator("article.prompt").get_by_role("button", name="Earlier version").click()
    await has_texts(page, "Tell me.", "Second and more")
    await expect(page.locator("article.reply .siblings")).to_contain_text("3 / 3")


async def test_branches_over_a_websocket(page: Page, server: RillServer, upstream: ScriptedUpstream) -> None:
    upstream.script = lambda exchange: exchange.reply("First")
    await begin(page, server.url)
    await is_connected(page, "websocket")

    await goes_through_branches(page, upstream)


async def test_branches_where_websockets_do_not_get_through(
    page: Page, server: RillServer, upstream: ScriptedUpstream
) -> None:
    upstream.script = lambda exchange: exchange.reply("First")
    between: Network
    async with network(server.url) as between:
        between.sockets = "refuse"
        await begin(page, between.url)
        await is_connected(page, "http")

        await goes_through_branches(page, upstream)


async def test_branches_without_scripts(new_page: NewPage, server: RillServer, upstream: ScriptedUpstream) -> None:
    upstream.script = lambda exchange: exchange.reply("First")
    page = await new_page(java_script_enabled=False)
    await page.goto(server.url)
    await page.fill("#rill-prompt", "Tell me.")
    await page.click(".send")
    await has_ended(page)

    await goes_through_branches(page, upstream)


@pytest.mark.parametrize("way", ["Enter", "button"])
async def test_an_edit_shows_in_another_tab_whose_draft_is_left_alone(
    page: Page, server: RillServer, upstream: ScriptedUpstream, way: str
) -> None:
    upstream.script = lambda exchange: exchange.reply("First")
    await begin(page, server.url)
    await is_connected(page, "websocket")
    await has_ended(page)
    other = await page.context.new_page()
    await other.goto(page.url)
    await is_connected(other, "websocket")
    await other.fill("#rill-prompt", "A draft")
    await page.bring_to_front()
    await page.get_by_role("button", name="Edit").click()
    await is_connected(page, "websocket")
    await page.fill("#rill-prompt", "Tell me all.")
    upstream.script = lambda exchange: exchange.reply("Other")

    await (page.press("#rill-prompt", "Enter") if way == "Enter" else page.click(".send"))

    await sees(page, "Other")
    await expect(page.locator(".editing")).to_have_count(0)
    await other.bring_to_front()
    await has_texts(other, "Tell me all.", "Other")
    await expect(other.locator("#rill-prompt")).to_have_value("A draft")
