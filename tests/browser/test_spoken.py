"""The page in other languages: chosen by keyboard, mirrored where the script goes from right to left."""

from __future__ import annotations

from playwright.async_api import Page, expect

from tests.browser.chat import ask, has_ended
from tests.browser.conftest import NewPage
from tests.browser.test_everyone import Judge
from tests.fakes import RillServer, ScriptedUpstream
from tests.spoken import say_in

OVERFLOW = "document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth"


async def test_a_language_is_chosen_by_keyboard_and_the_conversation_stays(
    page: Page, server: RillServer, upstream: ScriptedUpstream
) -> None:
    upstream.script = lambda exchange: exchange.reply("Rivers flow.")
    await page.goto(server.url)
    await ask(page, "Tell me of rivers")
    await page.wait_for_url("**/c/*")
    await has_ended(page)
    address = page.url

    await page.get_by_role("button", name="Language: English").press("Enter")
    await page.get_by_role("button", name="Français").press("Enter")

    await expect(page.locator("html")).to_have_attribute("lang", "fr")
    assert page.url == address
    await expect(page.locator("article.reply")).to_contain_text("Rivers flow.")
    await ask(page, "Et les lacs ?")
    await expect(page.locator('.end[data-state="finished"]')).to_have_count(2)
    await expect(page.locator("article.reply .end button").last).to_be_attached()
    await expect(page.get_by_role("button", name=say_in("fr", "Good reply"))).to_have_count(2)
    await expect(page.get_by_role("status").filter(has_text=say_in("fr", "Done"))).to_be_attached()


async def test_the_page_is_mirrored_in_arabic(
    new_page: NewPage, server: RillServer, upstream: ScriptedUpstream
) -> None:
    upstream.script = lambda exchange: exchange.reply("الأنهار تجري.\n\nRivers flow.")
    page = await new_page(locale="ar", bypass_csp=True, viewport={"width": 1280, "height": 800})
    judge = Judge(page)
    await page.goto(server.url)
    await judge.look("new")
    await ask(page, "حدثني عن الأنهار")
    await page.wait_for_url("**/c/*")
    await has_ended(page)

    sides = await page.locator("#conversations").bounding_box()
    assert sides is not None
    assert sides["x"] > 640
    await judge.look("answered")
    await page.set_viewport_size({"width": 320, "height": 640})
    assert await page.evaluate(OVERFLOW) == 0
    await page.locator(".top .drawer").click()
    await judge.look("drawer open on a phone")
    assert judge.found == []
