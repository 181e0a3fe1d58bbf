"""Choosing a model, as people do it: over the socket, by form, and without scripts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.browser.chat import ask, has_ended, is_connected
from tests.browser.conftest import NewPage
from tests.fakes import RillServer, ScriptedUpstream, rill_server


@pytest.fixture
async def offering(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[RillServer]:
    settings = {"OPENAI_BASE_URL": upstream.base_url, "OPENAI_API_KEY": "k", "RILL_MODELS": "big=Thorough,small=Fast"}
    async with rill_server(tmp_path, **settings) as server:
        yield server


def asked(upstream: ScriptedUpstream) -> list[str]:
    return [exchange.body["model"] for exchange in upstream.exchanges if exchange.path.endswith("/completions")]


async def tries_with(page: Page, label: str, *, versions: int) -> None:
    await page.locator("article.reply summary", has_text="⋯").last.click()
    await page.get_by_role("button", name=f"Try with {label}").last.click()
    await expect(page.locator("article.reply .siblings").last).to_contain_text(f"{versions} / {versions}")


async def test_a_model_is_chosen_and_stays(page: Page, offering: RillServer, upstream: ScriptedUpstream) -> None:
    await page.goto(offering.url)
    await page.get_by_role("combobox", name="Model").select_option("Fast")
    await ask(page)
    await page.wait_for_url("**/c/*")
    await has_ended(page)
    await is_connected(page, "websocket")
    await expect(page.get_by_role("combobox", name="Model")).to_have_value("small")
    await page.get_by_role("combobox", name="Model").select_option("Thorough")
    await ask(page, "And?")
    await expect(page.locator('.end[data-state="finished"]')).to_have_count(2)
    await tries_with(page, "Fast", versions=2)
    await expect(page.locator('.end[data-state="finished"]')).to_have_count(2)

    await expect(page.locator(".took")).to_contain_text(["small", "small"])
    assert asked(upstream) == ["small", "big", "small"]


async def test_so_it_is_without_scripts(new_page: NewPage, offering: RillServer, upstream: ScriptedUpstream) -> None:
    page = await new_page(java_script_enabled=False)
    await page.goto(offering.url)
    await page.get_by_role("combobox", name="Model").select_option("Fast")
    await page.fill("#rill-prompt", "Hello")
    await page.click(".send")
    await expect(page.locator('.end[data-state="finished"]')).to_be_attached()
    await tries_with(page, "Thorough", versions=2)

    assert asked(upstream) == ["small", "big"]
