"""Seeded bad luck in a real browser: whatever befalls its connections, the page becomes what a fresh load gives.

The same as `tests/faults/test_feed_property.py` with htmx itself. `RILL_LUCK_SEED` is the first seed; a failure names
its own.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from random import Random

import pytest
from playwright.async_api import Page, expect

from tests.browser.chat import WHOLE, WORDS, Paced, bare, begin, has_ended, reply_text
from tests.browser.conftest import NewPage
from tests.dom import Dom
from tests.fakes import Network, RillServer, ScriptedUpstream, network

FIRST_SEED = int(os.environ.get("RILL_LUCK_SEED", "1"))
BATCHES, BATCH = 6, 4
EVENTS = 8


@pytest.mark.timeout(300)
@pytest.mark.parametrize("batch", range(BATCHES))
async def test_a_page_becomes_what_a_fresh_load_gives(
    batch: int, new_page: NewPage, server: RillServer, upstream: ScriptedUpstream
) -> None:
    for seed in range(FIRST_SEED + batch * BATCH, FIRST_SEED + (batch + 1) * BATCH):
        async with network(server.url) as between:
            luck = Luck(Random(seed), await new_page(), between, Paced(upstream))
            try:
                await luck.run()
            except AssertionError as error:
                raise AssertionError(f"RILL_LUCK_SEED={seed}: {', '.join(luck.told)}\n{error}") from error


@dataclass
class Luck:
    """One reader, and what a seed lets happen to the connections of their tabs."""

    chance: Random
    page: Page
    between: Network
    paced: Paced
    told: list[str] = field(default_factory=list)
    let: int = 0

    async def run(self) -> None:
        await begin(self.page, self.between.url)
        tabs = [self.page]
        if self.chance.random() < 0.4:
            tabs.append(await self.page.context.new_page())
            await tabs[1].goto(self.page.url)
        for _ in range(EVENTS):
            await self._happen(self.chance.choice(tabs))
        await self._get_well()
        self.paced.let_all()
        for tab in tabs:
            await has_ended(tab)
            assert await reply_text(tab) == WHOLE
        streamed = [Dom(await tab.content()).transcript() for tab in tabs]
        await self.page.goto(self.page.url)
        fresh = Dom(await self.page.content()).transcript()
        for transcript in streamed:
            assert transcript == fresh

    async def _happen(self, tab: Page) -> None:
        what = self.chance.choice(
            ["write", "write", "write", "cut", "cut sockets", "freeze", "ladder", "offline", "reload", "leave", "read"]
        )
        self.told.append(what)
        match what:
            case "write":
                words = self.chance.randrange(1, 9)
                self.let += words
                self.paced.let(words)
            case "cut":
                self.between.cut()
            case "cut sockets":
                self.between.cut_sockets()
            case "freeze":
                self.between.freeze()
            case "ladder":
                self.between.sockets = self.chance.choice(["refuse", "pass", "black-hole"])
            case "offline":
                await tab.context.set_offline(True)
            case "reload":
                await self._get_well()
                await tab.reload()
            case "leave":
                await self._get_well()
                url = tab.url
                await tab.goto("about:blank")
                await tab.goto(url)
            case "read":
                await self._get_well()
                await self._reads_what_was_written(tab)

    async def _reads_what_was_written(self, tab: Page) -> None:
        written = bare("".join(WORDS[: self.let]))

        async def is_shown() -> None:
            # The last word may wait for the next one: it could be the beginning of something.
            shown = await reply_text(tab)
            assert written.startswith(shown) or shown == written, f"{shown!r} of {written!r}"

        await is_shown()
        if self.let > 1:
            await expect(tab.locator("article.reply .text").last).to_contain_text(
                f"word{min(self.let, len(WORDS)) - 2}"
            )
        await is_shown()

    async def _get_well(self) -> None:
        self.between.thaw()
        self.between.sockets = "pass" if self.between.sockets == "black-hole" else self.between.sockets
        await self.page.context.set_offline(False)
