"""What can be done to messages, as people do it: thoughts read, replies rated, quoted, deleted, code selected."""

from __future__ import annotations

from playwright.async_api import Locator, Page, expect

from tests.browser.chat import begin, has_ended
from tests.browser.conftest import NewPage
from tests.fakes import Exchange, RillServer, ScriptedUpstream, until


async def test_thoughts_are_open_while_they_come_and_closed_by_the_answer(
    page: Page, server: RillServer, upstream: ScriptedUpstream
) -> None:
    may_answer: list[bool] = []

    async def thinks(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.think("First <this>, ")
        await exchange.think("then that.")
        await until(lambda: bool(may_answer), "the test to let it answer")
        await exchange.chunk("The answer")
        await exchange.finish()

    upstream.script = thinks
    await begin(page, server.url)
    await expect(page.locator("details.thoughts p")).to_be_visible()
    await expect(page.locator("details.thoughts p")).to_have_text("First <this>, then that.")
    may_answer.append(True)

    await has_ended(page)
    await expect(page.locator("details.thoughts p")).to_be_hidden()
    await expect(page.locator("article.reply .text")).to_have_text("The answer")
    await page.get_by_text("Thoughts").click()
    await expect(page.locator("details.thoughts p")).to_be_visible()


async def deletes(message: Locator) -> None:
    """In two steps: where the menu opens, the second tap of two is on what deletes."""
    await expect(message.get_by_role("button", name="Delete")).to_be_hidden()
    await message.get_by_text("Delete, with what follows").click()
    await message.get_by_role("button", name="Delete").click()


async def rates_and_deletes(page: Page, kept: str = "") -> None:
    """`kept` is what is written before another message is quoted; drafts are kept by htmx alone."""
    await page.get_by_role("button", name="Bad reply").click()
    await expect(page.get_by_role("button", name="Bad reply")).to_have_attribute("aria-pressed", "true")
    await page.get_by_role("textbox", name="Comment on the reply").fill("Too short")
    async with page.expect_response("**/rating"):
        await page.get_by_role("button", name="Save").click()
    other = await page.context.new_page()
    await other.goto(page.url)
    await expect(other.get_by_role("textbox", name="Comment on the reply")).to_have_value("Too short")
    await other.close()
    await page.get_by_role("button", name="Bad reply").click()
    await expect(page.locator(".comment")).to_have_count(0)
    if kept:
        await page.locator("#rill-prompt").fill(kept.strip())
    await page.locator("article.reply summary", has_text="⋯").click()
    await page.get_by_role("button", name="Quote").last.click()
    await expect(page.get_by_role("textbox", name="Message")).to_have_value(f"{kept}> One\n> two\n\n")
    await page.locator("#rill-prompt").fill("And?")
    await page.locator(".send").click()
    await expect(page.locator("article.message")).to_have_count(4)
    await expect(page.locator('.end[data-state="finished"]')).to_have_count(2)
    await page.locator("article.prompt").last.locator(".more > summary").click()
    await deletes(page.locator("article.prompt").last)
    await expect(page.locator("article.message")).to_have_count(2)


async def test_a_reply_is_rated_quoted_and_deleted(page: Page, server: RillServer, upstream: ScriptedUpstream) -> None:
    upstream.script = lambda exchange: exchange.reply("One\ntwo")
    await begin(page, server.url)
    await has_ended(page)

    await rates_and_deletes(page, "Mine\n\n")


async def test_so_it_is_without_scripts(new_page: NewPage, server: RillServer, upstream: ScriptedUpstream) -> None:
    upstream.script = lambda exchange: exchange.reply("One\ntwo")
    page = await new_page(java_script_enabled=False)
    await page.goto(server.url)
    await page.fill("#rill-prompt", "Tell me.")
    await page.click(".send")
    await expect(page.locator('.end[data-state="finished"]')).to_be_attached()

    await rates_and_deletes(page)


async def test_deleting_the_first_message_leaves_for_a_new_conversation(page: Page, server: RillServer) -> None:
    await begin(page, server.url)
    await has_ended(page)
    url = page.url
    await page.locator("article.prompt .more > summary").click()
    await deletes(page.locator("article.prompt"))
    await expect(page.get_by_role("button", name="Undo")).to_be_visible()
    await page.get_by_role("button", name="Undo").click()

    await expect(page).to_have_url(url)
    await expect(page.locator("article.message")).to_have_count(2)
