"""Assistants, starter questions and drafts, as people use them: over the socket and without scripts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.chat import has_ended
from tests.browser.conftest import NewPage
from tests.fakes import RillServer, ScriptedUpstream, rill_server

FILE = """
starters = ["What is new?"]
[[assistants]]
name = "Translator"
system_prompt = "Translate."
starters = ["Where is the station?"]
"""


@pytest.fixture
async def offering(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[RillServer]:
    (tmp_path / "assistants.toml").write_text(FILE)
    endpoint = {"OPENAI_BASE_URL": upstream.base_url, "OPENAI_API_KEY": "k"}
    async with rill_server(tmp_path, **endpoint, RILL_ASSISTANTS=str(tmp_path / "assistants.toml")) as server:
        yield server


def told(upstream: ScriptedUpstream) -> list[str]:
    bodies: list[dict[str, Any]] = [each.body for each in upstream.exchanges if each.path.endswith("/completions")]
    return [f"{message['role']}: {message['content']}" for message in bodies[-1]["messages"]]


async def works(page: Page, offering: RillServer, upstream: ScriptedUpstream) -> None:
    """Begin with a starter question of an assistant's; make an assistant; set a conversation up."""
    await page.goto(offering.url)
    await page.get_by_role("link", name="Translator").click()
    await page.get_by_role("button", name="Where is the station?").click()
    await has_ended(page)
    assert told(upstream) == ["system: Translate.", "user: Where is the station?"]

    await page.goto(f"{offering.url}/assistants")
    await page.get_by_role("link", name="New assistant").click()
    await page.get_by_label("Name").fill("Editor")
    await page.get_by_role("textbox", name="System prompt").fill("Improve it.")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator(".greeting")).to_have_text("Editor")
    await page.get_by_role("textbox", name="Message").fill("I has a cat")
    await page.get_by_role("button", name="Send").click()
    await has_ended(page)
    assert told(upstream) == ["system: Improve it.", "user: I has a cat"]

    await page.get_by_role("link", name="System prompt and parameters").click()
    await page.get_by_role("textbox", name="System prompt").fill("Make it worse.")
    await page.get_by_role("button", name="Save").click()
    await page.get_by_role("textbox", name="Message").fill("Again")
    await page.get_by_role("button", name="Send").click()
    await expect(page.locator('.end[data-state="finished"]')).to_have_count(2)
    assert told(upstream)[0] == "system: Make it worse."


async def test_with_scripts(page: Page, offering: RillServer, upstream: ScriptedUpstream) -> None:
    await works(page, offering, upstream)


async def test_without_scripts(new_page: NewPage, offering: RillServer, upstream: ScriptedUpstream) -> None:
    await works(await new_page(java_script_enabled=False), offering, upstream)


@pytest.mark.parametrize("has_scripts", [True, False])
async def test_a_new_conversation_is_set_up_beside_its_first_prompt(
    new_page: NewPage, offering: RillServer, upstream: ScriptedUpstream, has_scripts: bool
) -> None:
    page = await new_page(java_script_enabled=has_scripts)
    await page.goto(offering.url)
    await page.get_by_text("System prompt and parameters").click()
    await page.get_by_role("textbox", name="System prompt").fill("Be brief.")
    await page.get_by_label("Temperature").fill("0.5")
    await page.get_by_role("textbox", name="Message").fill("Hello")
    await page.get_by_role("button", name="Send").click()
    await has_ended(page)

    assert told(upstream) == ["system: Be brief.", "user: Hello"]
    assert upstream.exchanges[-1].body["temperature"] == 0.5


async def test_what_was_written_survives_a_reload_until_it_is_sent(page: Page, offering: RillServer) -> None:
    await page.goto(offering.url)
    for prompt in ("A first thought", "A second thought"):
        async with page.expect_response("**/draft"):
            await page.locator("#rill-prompt").press_sequentially(prompt)
        await page.reload()
        await expect(page.locator("#rill-prompt")).to_have_value(prompt)
        await page.locator("#rill-prompt").press("Enter")
        await expect(page.locator("article.prompt .text").last).to_have_text(prompt)
        await expect(page.locator("#rill-prompt")).to_have_value("")
        await page.reload()
        await expect(page.locator("#rill-prompt")).to_have_value("")
        await expect(page.locator(".end").last).to_have_attribute("data-state", "finished")
