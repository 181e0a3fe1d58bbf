"""A real Chromium, and contexts in which any violation of the page's policy fails the test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright, expect

from tests.browser.install import FLAGS, installed

expect.set_options(timeout=20_000)

NewPage = Callable[..., Awaitable[Page]]
_VIOLATIONS = ("content security policy", "trustedtype", "trusted type", "trustedhtml", "[hx-csp]")


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Chromium as Playwright installed it, or as the system has it."""
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=installed(), args=FLAGS)
        yield launched
        await launched.close()


@pytest.fixture
async def new_page(browser: Browser) -> AsyncIterator[NewPage]:
    """Open a page in a browser context of its own (another reader), with Playwright's context options."""
    contexts: list[BrowserContext] = []
    problems: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if any(word in message.text.lower() for word in _VIOLATIONS):
            problems.append(message.text)

    async def new(**options: Any) -> Page:
        context = await browser.new_context(**options)
        context.set_default_timeout(20_000)
        contexts.append(context)
        context.on("console", note)
        context.on("weberror", lambda error: problems.append(str(error.error)))
        return await context.new_page()

    yield new
    for context in contexts:
        await context.close()
    assert problems == []


@pytest.fixture
async def page(new_page: NewPage) -> Page:
    return await new_page()
