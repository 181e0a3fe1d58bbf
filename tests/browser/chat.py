"""What a person does and sees in the chat, in a few words for the tests."""

from __future__ import annotations

import asyncio

from playwright.async_api import Page, expect

from tests.fakes import Exchange, ScriptedUpstream

WORDS = [f"word{number} <&> {number}\n\n" if number % 7 == 0 else f"word{number} " for number in range(60)]


def bare(text: str) -> str:
    """Give what is the same in Markdown and in the page that it makes: all but white space."""
    return "".join(text.split())


WHOLE = bare("".join(WORDS))


class Paced:
    """A reply of `WORDS` whose words come when the test lets them."""

    def __init__(self, upstream: ScriptedUpstream) -> None:
        self._allowed = asyncio.Semaphore(0)
        upstream.script = self._script

    async def _script(self, exchange: Exchange) -> None:
        await exchange.head()
        for word in WORDS:
            await self._allowed.acquire()
            if exchange.was_closed.is_set():
                self._allowed.release()
                return
            await exchange.chunk(word)
        await exchange.finish()

    @staticmethod
    async def whole(exchange: Exchange) -> None:
        """Answer with all words at once."""
        await exchange.reply(*WORDS)

    def let(self, words: int) -> None:
        for _ in range(words):
            self._allowed.release()

    def let_all(self) -> None:
        self.let(len(WORDS))


async def ask(page: Page, prompt: str = "Tell me.") -> None:
    await page.fill("#rill-prompt", prompt)
    await page.press("#rill-prompt", "Enter")


async def begin(page: Page, url: str) -> None:
    """Ask the first prompt and wait for the conversation's own page."""
    await page.goto(url)
    await ask(page)
    await page.wait_for_url("**/c/*")


async def reply_text(page: Page) -> str:
    """Give the text of the latest reply without its white space."""
    return bare(await page.locator("article.reply .text").last.text_content() or "")


async def sees(page: Page, text: str) -> None:
    await expect(page.locator("article.reply .text").last).to_contain_text(text)


async def has_ended(page: Page, state: str = "finished") -> None:
    await expect(page.locator("article.reply .end").last).to_have_attribute("data-state", state)


async def is_connected(page: Page, transport: str) -> None:
    await expect(page.locator("#rill-composer")).to_have_attribute("data-transport", transport)
