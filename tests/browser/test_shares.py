"""A conversation is shared from its menu, with scripts and without, and read by somebody who was never here."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.chat import begin, has_ended
from tests.browser.conftest import NewPage
from tests.fakes import RillServer, ScriptedUpstream


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
async def test_a_link_is_made_read_and_taken_back(
    new_page: NewPage, server: RillServer, upstream: ScriptedUpstream, scripts: bool
) -> None:
    upstream.script = lambda exchange: exchange.reply("**Everything** flows.")
    page, elsewhere = await new_page(java_script_enabled=scripts), await new_page()
    if scripts:
        await begin(page, server.url)
    else:
        await page.goto(server.url)
        await page.fill("#rill-prompt", "Tell me.")
        await page.click("#rill-controls button")
    await has_ended(page)

    await page.get_by_role("button", name="Actions for").first.click()
    await page.get_by_role("link", name="Share", exact=True).click()
    await page.get_by_role("button", name="Make a link").click()
    link = page.locator(".share .link a")
    url = await link.get_attribute("href")
    assert url is not None
    await elsewhere.goto(url)
    await expect(elsewhere.locator("article.reply strong")).to_have_text("Everything")
    assert await elsewhere.context.cookies() == []

    await page.get_by_role("button", name="Take the link back").click()
    await expect(page.get_by_role("button", name="Make a link")).to_be_visible()
    await elsewhere.reload()
    await expect(elsewhere.get_by_role("heading")).to_contain_text("This link leads nowhere any more.")
