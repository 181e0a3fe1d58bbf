"""The list of conversations, as people use it: live in every tab, by mouse and keyboard, with scripts and without."""

from __future__ import annotations

import json

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.chat import Paced, ask, begin, has_ended
from tests.browser.conftest import NewPage
from tests.fakes import RillServer, ScriptedUpstream
from tests.unit.test_imports import CHATGPT


@pytest.fixture
async def second(page: Page) -> Page:
    """Another tab of the same reader."""
    return await page.context.new_page()


def listed(page: Page, title: str) -> Locator:
    return page.locator("#rill-listing li", has_text=title)


def titles(page: Page) -> Locator:
    return page.locator("#rill-listing li a")


async def opens_actions(page: Page, title: str) -> Locator:
    await page.get_by_role("button", name=f"Actions for {title}").click()
    menu = listed(page, title).locator("details[open]")
    await expect(menu).to_be_visible()
    return menu


async def access(page: Page, key: str) -> None:
    """Press an access key; Playwright's own keyboard leaves out the event that browsers find them by."""
    session = await page.context.new_cdp_session(page)
    event = {"modifiers": 1, "key": key, "code": f"Key{key.upper()}", "text": key, "unmodifiedText": key}
    await session.send("Input.dispatchKeyEvent", {"type": "rawKeyDown", **event})
    await session.send("Input.dispatchKeyEvent", {"type": "char", **event})
    await session.send("Input.dispatchKeyEvent", {"type": "keyUp", **event})
    await session.detach()


async def has_conversations(page: Page, server: RillServer, *prompts: str) -> None:
    """Ask each prompt in a conversation of its own; the page shows the last."""
    for prompt in prompts:
        await page.goto(server.url)
        await ask(page, prompt)
        await page.wait_for_url("**/c/*")
        await has_ended(page)


async def test_a_running_reply_shows_in_every_tab(
    page: Page, second: Page, server: RillServer, upstream: ScriptedUpstream
) -> None:
    await second.goto(server.url)
    await has_conversations(page, server, "Other")
    await expect(titles(second)).to_have_text(["Other"])
    paced = Paced(upstream)

    await page.goto(server.url)
    await ask(page, "Slowly")
    for each in (page, second):
        await expect(titles(each)).to_have_text(["Slowly", "Other"])
        await expect(listed(each, "Slowly").get_by_role("img", name="Answering")).to_be_visible()
    paced.let_all()

    for each in (page, second):
        await expect(each.locator("#rill-listing .busy")).to_have_count(0)
    await expect(listed(page, "Slowly").locator("a")).to_have_attribute("aria-current", "page")


async def test_a_conversation_is_renamed_in_place_in_every_tab(page: Page, second: Page, server: RillServer) -> None:
    await has_conversations(page, server, "First words")
    await second.goto(page.url)

    menu = await opens_actions(page, "First words")
    await expect(menu.locator("summary")).to_be_focused()
    await menu.get_by_role("textbox", name="Title").fill("A <b>name</b>")
    await page.keyboard.press("Enter")

    for each in (page, second):
        await expect(titles(each)).to_have_text(["A <b>name</b>"])
        await expect(each.locator("h1")).to_have_text("A <b>name</b>")
        await expect(each).to_have_title("A <b>name</b> – Rill")


async def test_pinned_archived_and_deleted_ones_leave_their_place_in_every_tab(
    page: Page, second: Page, server: RillServer
) -> None:
    await has_conversations(page, server, "One", "Two", "Three", "Four")
    await second.goto(server.url)

    await (await opens_actions(page, "One")).get_by_role("button", name="Pin").click()
    for each in (page, second):
        await expect(each.locator("#rill-pinned li a")).to_have_text(["One"])
        await expect(titles(each)).to_have_text(["One", "Four", "Three", "Two"])
    await (await opens_actions(page, "Two")).get_by_role("button", name="Archive").click()
    for each in (page, second):
        await expect(titles(each)).to_have_text(["One", "Four", "Three"])
    await (await opens_actions(page, "Three")).get_by_role("button", name="Delete").click()
    for each in (page, second):
        await expect(titles(each)).to_have_text(["One", "Four"])
    await page.get_by_role("button", name="Undo").click()

    for each in (page, second):
        await expect(titles(each)).to_have_text(["One", "Four", "Three"])
    await second.get_by_role("link", name="Archive").click()
    await expect(second.locator("#found li a")).to_have_text(["Two"])
    await second.get_by_role("button", name="Take out of the archive").click()
    await expect(second.locator("#found li")).to_have_count(0)
    await expect(titles(second)).to_have_text(["One", "Four", "Three", "Two"])


async def test_the_conversation_on_the_page_can_be_deleted_while_it_is_answered_and_brought_back(
    page: Page, server: RillServer, upstream: ScriptedUpstream
) -> None:
    paced = Paced(upstream)
    await begin(page, server.url)
    paced.let(5)
    url = page.url

    await (await opens_actions(page, "Tell me.")).get_by_role("button", name="Delete").click()
    await expect(page).to_have_url(f"{server.url}/?deleted={url.rpartition('/')[2]}")
    await expect(titles(page)).to_have_count(0)
    assert (await page.request.get(url)).status == 404
    await page.get_by_role("button", name="Undo").click()

    await expect(page).to_have_url(url)
    await expect(page.locator(".why")).to_have_text("Stopped.")


async def test_a_list_grows_as_it_is_scrolled(page: Page, server: RillServer) -> None:
    await page.goto(server.url)
    for number in range(45):
        # Each ends before the next begins, as the list goes by what was changed last.
        await page.request.post(f"{server.url}/messages?format=json", form={"prompt": f"Prompt {number}"})
    await page.reload()
    await expect(titles(page)).to_have_count(40)

    await page.locator("#rill-older").scroll_into_view_if_needed()

    await expect(titles(page)).to_have_text([f"Prompt {number}" for number in reversed(range(45))])
    await expect(page.locator("#rill-older")).to_have_count(0)
    await expect(page.locator(".group h2:visible")).to_have_text(["Last 24 hours"])


async def test_what_was_written_is_found_and_shown_in_its_place(
    page: Page, server: RillServer, upstream: ScriptedUpstream
) -> None:
    upstream.script = lambda exchange: exchange.reply("Guilds **declined** because of <transport>.")
    await has_conversations(page, server, "Why?")
    upstream.script = lambda exchange: exchange.reply("Something else")
    await has_conversations(page, server, "And?")

    await access(page, "s")
    await expect(page.get_by_role("searchbox")).to_be_focused()
    await page.keyboard.type("transp decl")
    await page.keyboard.press("Enter")

    await expect(page).to_have_url(f"{server.url}/search?q=transp+decl")
    await expect(page.locator("#found li")).to_have_count(1)
    await expect(page.locator("#found mark")).to_have_text(["declined", "transport"])
    await page.get_by_role("link", name="Why?").last.click()
    assert page.url.endswith("#rill-m2")
    await expect(page.locator("article.reply .text")).to_have_text("Guilds declined because of <transport>.")


async def test_keys_lead_through_the_conversations(page: Page, server: RillServer) -> None:
    await has_conversations(page, server, "One", "Two", "Three")

    await access(page, "j")
    await expect(page.locator("h1")).to_have_text("Two")
    await access(page, "j")
    await expect(page.locator("h1")).to_have_text("One")
    await access(page, "k")
    await expect(page.locator("h1")).to_have_text("Two")
    await access(page, "m")
    await expect(page.locator("#rill-prompt")).to_be_focused()
    await access(page, "h")
    await expect(page.get_by_role("button", name="Close")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(page.locator("#keys")).to_be_hidden()
    await access(page, "n")
    await expect(page.locator("h1")).to_have_text("New conversation")


async def test_a_key_stops_the_reply(page: Page, server: RillServer, upstream: ScriptedUpstream) -> None:
    paced = Paced(upstream)
    await begin(page, server.url)
    paced.let(3)
    await expect(page.get_by_role("button", name="Stop the reply")).to_be_visible()

    await access(page, "x")

    await expect(page.locator(".why")).to_have_text("Stopped.")


async def test_everything_can_be_done_without_scripts(new_page: NewPage, server: RillServer) -> None:
    page = await new_page(java_script_enabled=False)
    await page.goto(server.url)
    for prompt in ("One", "Two"):
        await page.goto(server.url)
        await page.fill("#rill-prompt", prompt)
        await page.click(".send")
        await expect(page.locator('.end[data-state="finished"]')).to_be_attached()

    async def does(title: str, name: str) -> None:
        await page.get_by_role("button", name=f"Actions for {title}").click()
        await page.locator("main").get_by_role("button", name=name, exact=True).click()

    await page.get_by_role("button", name="Actions for One").click()
    await page.locator("main").get_by_role("textbox", name="Title").fill("Renamed")
    await page.locator("main").get_by_role("button", name="Rename").click()
    await expect(titles(page)).to_have_text(["Two", "Renamed"])
    await does("Renamed", "Pin")
    await expect(page.locator("#rill-pinned li a")).to_have_text(["Renamed"])
    await does("Two", "Archive")
    await expect(titles(page)).to_have_text(["Renamed"])
    await page.get_by_role("link", name="Archive").click()
    await page.get_by_role("button", name="Take out of the archive").click()
    await expect(titles(page)).to_have_text(["Renamed", "Two"])
    await does("Two", "Delete")
    await expect(titles(page)).to_have_text(["Renamed"])
    await page.get_by_role("button", name="Undo").click()
    await expect(titles(page)).to_have_text(["Renamed", "Two"])
    await expect(page.locator("h1")).to_have_text("Two")


async def test_conversations_are_imported_without_scripts(new_page: NewPage, server: RillServer) -> None:
    page = await new_page(java_script_enabled=False)
    await page.goto(f"{server.url}/archive")
    body = json.dumps(CHATGPT).encode()
    await page.set_input_files("#import", {"name": "c.json", "mimeType": "application/json", "buffer": body})
    await page.get_by_role("button", name="Import", exact=True).click()

    await expect(page.get_by_role("alert")).to_have_text("1 conversation was imported.")
    await titles(page).first.click()
    await expect(page.locator("article.reply")).to_contain_text("Water runs.")
