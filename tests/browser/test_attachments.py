"""Attaching files, as people do it: over the socket and without scripts."""

from __future__ import annotations

import asyncio

from playwright.async_api import Page, Route, expect

from tests.browser.chat import ask, has_ended, is_connected
from tests.browser.conftest import NewPage
from tests.fakes import RillServer, ScriptedUpstream
from tests.files import image


def upload(name: str, data: bytes) -> list[dict[str, object]]:
    return [{"name": name, "mimeType": "application/octet-stream", "buffer": data}]


async def test_files_are_chosen_shown_removed_and_sent(
    page: Page, server: RillServer, upstream: ScriptedUpstream
) -> None:
    await page.goto(server.url)
    field, chips = page.get_by_label("Attach files"), page.locator(".attached .chip")
    await field.set_input_files([*upload("one.txt", b"1"), *upload("two.txt", b"2")])  # type: ignore[arg-type]
    await expect(chips).to_have_count(2)
    await page.get_by_role("button", name="Remove one.txt").click()
    await expect(chips).to_have_count(1)
    await field.set_input_files(upload("bad.zip", b"PK\0"))  # type: ignore[arg-type]
    await expect(page.locator("#rill-notice")).to_contain_text("bad.zip")
    await page.reload()
    await expect(chips).to_have_count(1)
    await ask(page, "Look")
    await page.wait_for_url("**/c/*")
    await has_ended(page)
    assert upstream.exchanges[-1].prompt == '<file name="two.txt">\n2\n</file>\n\nLook'

    await is_connected(page, "websocket")
    await field.set_input_files(upload("picture.png", image(300, 200)))  # type: ignore[arg-type]
    await expect(chips).to_have_count(1)
    await ask(page, "And this?")
    await expect(page.locator('.end[data-state="finished"]')).to_have_count(2)
    await expect(chips).to_have_count(0)
    picture = page.get_by_role("img", name="picture.png")
    assert await picture.evaluate("each => each.decode().then(() => each.naturalWidth)") == 300
    await page.reload()
    await expect(picture).to_be_visible()


async def test_a_message_waits_for_what_is_being_attached_to_it(
    page: Page, server: RillServer, upstream: ScriptedUpstream
) -> None:
    arrived = asyncio.Event()

    async def slowly(route: Route) -> None:
        await arrived.wait()
        await route.continue_()

    await page.goto(server.url)
    await page.route("**/attachments", slowly)
    await page.get_by_label("Attach files").set_input_files(upload("one.txt", b"1"))  # type: ignore[arg-type]
    await expect(page.locator("#rill-attach.htmx-request progress")).to_be_visible()
    await ask(page, "Look")
    arrived.set()
    await expect(page.locator(".attached .chip")).to_have_count(1)
    await page.press("#rill-prompt", "Enter")
    await page.wait_for_url("**/c/*")
    await has_ended(page)

    assert upstream.exchanges[-1].prompt == '<file name="one.txt">\n1\n</file>\n\nLook'


async def test_so_it_is_without_scripts(new_page: NewPage, server: RillServer, upstream: ScriptedUpstream) -> None:
    page = await new_page(java_script_enabled=False)
    await page.goto(server.url)
    await expect(page.locator(".clip")).to_be_hidden()
    await page.get_by_label("Attach files").locator("visible=true").set_input_files(upload("one.txt", b"1"))  # type: ignore[arg-type]
    await page.fill("#rill-prompt", "Look")
    await page.click(".send")
    await has_ended(page)

    assert upstream.exchanges[-1].prompt == '<file name="one.txt">\n1\n</file>\n\nLook'
    await page.get_by_role("link", name="one.txt").click()
    await expect(page.locator("body")).to_have_text("1")
