"""Long conversations open like short ones; what stands before comes as one scrolls up, without a jump."""

from __future__ import annotations

import asyncio

from playwright.async_api import Page, Route, expect

from tests.browser.chat import ask, has_ended
from tests.browser.conftest import NewPage
from tests.clients import ask as ask_as_program
from tests.clients import new_reader
from tests.fakes import RillServer, ScriptedUpstream

TURNS = 60
PLACE = "element => element.getBoundingClientRect().top"
UP = """async () => {
  const scroller = document.querySelector(".scroller"), frame = () => new Promise(requestAnimationFrame);
  // As with a wheel: each message has its true size before it comes into view.
  for (let calm = 0; calm < 5; await frame()) {
    const top = scroller.clientHeight - scroller.scrollHeight + 60, goal = Math.max(scroller.scrollTop - 200, top);
    calm = Math.abs(scroller.scrollTop - goal) < 1 ? calm + 1 : 0;
    scroller.scrollTop = goal;
  }
}"""


async def open_long_conversation(page: Page, server: RillServer, upstream: ScriptedUpstream, query: str = "") -> None:
    """Make one of sixty turns, and open it in the browser as its reader."""
    upstream.script = lambda exchange: exchange.reply("A reply.\n\n" + "It has some words in it. " * 20)
    async with new_reader(server) as reader:
        path = ""
        for number in range(TURNS):
            path = (await ask_as_program(reader, f"Prompt {number}", path)).path
        await page.context.add_cookies(
            [{"name": name, "value": value, "url": server.url} for name, value in reader.cookies.items()]
        )
    await page.goto(f"{server.url}{path}{query}")


async def test_earlier_messages_come_as_one_scrolls_up_and_nothing_jumps(
    page: Page, server: RillServer, upstream: ScriptedUpstream
) -> None:
    may_come = asyncio.Semaphore(0)

    async def hold(route: Route) -> None:
        await may_come.acquire()
        await route.continue_()

    await page.route("**/messages?before=*", hold)
    await open_long_conversation(page, server, upstream)
    messages = page.locator("article.message")
    await expect(messages).to_have_count(40)
    await expect(page.locator("article.prompt").last).to_be_in_viewport()

    for count in (80, 120):
        first = page.locator(f"#{await messages.first.get_attribute('id')}")
        await page.evaluate(UP)
        await expect(page.locator("#rill-earlier")).to_be_in_viewport()
        place = await first.evaluate(PLACE)
        may_come.release()
        await expect(messages).to_have_count(count)
        assert abs(await first.evaluate(PLACE) - place) <= 1

    await expect(page.locator("#rill-earlier")).to_have_count(0)
    await expect(messages.first).to_contain_text("Prompt 0")
    numbers = await messages.evaluate_all("found => found.map(element => Number(element.id.slice('rill-m'.length)))")
    assert numbers == list(range(1, 2 * TURNS + 1))


async def test_what_is_asked_in_a_long_conversation_is_answered_there(
    page: Page, server: RillServer, upstream: ScriptedUpstream
) -> None:
    await open_long_conversation(page, server, upstream)
    await ask(page, "And now?")
    await has_ended(page)
    await expect(page.locator("article.message")).to_have_count(42)

    await page.reload()
    await expect(page.locator("article.message")).to_have_count(40)
    await expect(page.locator("article.prompt").last).to_contain_text("And now?")


async def test_a_link_to_an_earlier_message_shows_it(
    page: Page, server: RillServer, upstream: ScriptedUpstream
) -> None:
    await open_long_conversation(page, server, upstream, "?at=11#rill-m11")

    await expect(page.locator("article.message")).to_have_count(120)  # Those before it have come into view, too.
    await expect(page.locator("#rill-m11")).to_be_in_viewport()


async def test_earlier_messages_are_a_link_without_scripts(
    new_page: NewPage, server: RillServer, upstream: ScriptedUpstream
) -> None:
    page = await new_page(java_script_enabled=False)
    await open_long_conversation(page, server, upstream)
    await expect(page.locator("article.message")).to_have_count(40)

    await page.get_by_role("link", name="Earlier messages").click()
    await expect(page.locator("article.message")).to_have_count(80)
    await page.get_by_role("link", name="Earlier messages").click()
    await expect(page.locator("article.message")).to_have_count(120)
    await expect(page.get_by_role("link", name="Earlier messages")).to_have_count(0)
