"""Replies as HTML in a real browser: streamed as they are loaded, and nothing in them acts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence

import pytest
from playwright.async_api import Browser, Page, Route, expect

from tests.browser.chat import begin, has_ended, is_connected, sees
from tests.browser.conftest import NewPage
from tests.fakes import ROOT, Exchange, RillServer, ScriptedUpstream
from tests.unit.markdown.samples import ANSWERS
from tests.unit.markdown.test_safety import CARRIERS, HTMX_DIALECT, PAYLOADS
from webapp.markdown import Dialect, MarkdownStream, render
from webapp.markdown.formulas import to_mathml
from webapp.rendering import partials

SAMPLES = {**ANSWERS, "styleguide": (ROOT / "templates" / "styleguide.md").read_text(encoding="utf-8")}
DIALECT = Dialect(formula=lambda source, is_display: to_mathml(source, display=is_display))

CONTENT = """() => {
  const copy = document.querySelector("article.reply .text").cloneNode(true)
  for (const element of copy.querySelectorAll("[id]"))
    if (/^rill-r\\d+(b|t|-)/.test(element.id)) element.removeAttribute("id")
  copy.normalize()
  return copy.innerHTML
}"""

WATCH = """() => {
  window.fired = []
  for (const name of ["alert", "confirm", "prompt", "print", "open"]) window[name] = () => void window.fired.push(name)
  document.addEventListener("securitypolicyviolation", event => window.fired.push(event.violatedDirective))
}"""

SWAP = """async ([html, swap]) => {
  await htmx.swap({text: html, swap, target: "#rill-live", sourceElement: document.querySelector("#rill-chat")})
  for (const element of document.querySelectorAll("#rill-live *"))
    for (const kind of ["mouseover", "focus", "click"])
      if (!(kind === "click" && element.closest("a")))
        element.dispatchEvent(new MouseEvent(kind, {bubbles: false, cancelable: true}))
}"""


def groups(texts: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (texts[at : at + size] for at in range(0, len(texts), size))


@pytest.mark.parametrize("name", SAMPLES)
async def test_a_reply_is_the_same_streamed_and_loaded(
    page: Page, server: RillServer, upstream: ScriptedUpstream, name: str
) -> None:
    source, chance = SAMPLES[name], random.Random(name)

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        at = 0
        while at < len(source):
            size = chance.randint(1, 60)
            await exchange.chunk(source[at : at + size])
            at += size
            await asyncio.sleep(0)
        await exchange.finish()

    upstream.script = script
    await begin(page, server.url)
    await has_ended(page)
    streamed = await page.evaluate(CONTENT)

    await page.reload()

    assert await page.evaluate(CONTENT) == streamed
    assert len(streamed) > len(source)


async def test_a_selection_above_the_end_survives_what_comes(
    page: Page, server: RillServer, upstream: ScriptedUpstream
) -> None:
    allowed = asyncio.Semaphore(0)

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.chunk("The first paragraph.\n\nThe second with **bold words** in it.\n\nAnd ")
        for number in range(30):
            await allowed.acquire()
            await exchange.chunk(f"word{number} *and* more\n\n- item\n\n```py\nx = {number}\n```\n\n")
        await exchange.finish()

    upstream.script = script
    await begin(page, server.url)
    await is_connected(page, "websocket")
    await sees(page, "bold words")
    select = """() => {
      const bold = document.querySelector("article.reply strong").firstChild
      getSelection().setBaseAndExtent(document.querySelector("article.reply p").firstChild, 4, bold, 4)
    }"""
    await page.evaluate(select)
    selected = await page.evaluate("getSelection().toString()")
    assert selected.startswith("first paragraph.")

    for _ in range(15):
        allowed.release()
    await sees(page, "word14")

    assert await page.evaluate("getSelection().toString()") == selected
    for _ in range(15):
        allowed.release()
    await has_ended(page)
    await expect(page.locator("article.reply pre .n").last).to_have_text("29")
    assert await page.evaluate("getSelection().toString()") == selected


class Judge:
    """A conversation's page that notes whatever content makes it do."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._requests: list[str] = []

    @classmethod
    async def opened(cls, page: Page, server: RillServer) -> Judge:
        await begin(page, server.url)
        await has_ended(page)
        await is_connected(page, "websocket")
        await page.evaluate(WATCH)
        judge = cls(page)
        await page.route("**/*", judge._refuse)
        return judge

    async def _refuse(self, route: Route) -> None:
        self._requests.append(route.request.url)
        await route.abort()

    async def shows(self, html: str, swap: str = "innerHTML") -> None:
        await self._page.evaluate(SWAP, [html, swap])

    async def seen(self) -> list[str]:
        """Give what fired and which requests went out, once everything that was swapped in had its turn."""
        await self._page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done, 50)))")
        return [*await self._page.evaluate("window.fired"), *self._requests]


async def test_raw_payloads_fire_so_the_judge_sees(browser: Browser, server: RillServer) -> None:
    context = await browser.new_context(bypass_csp=True)
    judge = await Judge.opened(await context.new_page(), server)
    raw = [text for text in PAYLOADS if "onerror=alert" in text and len(text) < 60][:40]

    for payload in [*raw, '<i hx-get="/x" hx-trigger="load" hx-nonce="x"></i>']:
        await judge.shows(f"<div>{payload}</div>")

    seen = await judge.seen()
    await context.close()
    assert seen.count("alert") > 10
    assert any(url.startswith(server.url) for url in seen)


@pytest.mark.parametrize("has_policy", [True, False], ids=["under the policy", "without it"])
async def test_no_payload_acts(new_page: NewPage, server: RillServer, has_policy: bool) -> None:
    judge = await Judge.opened(await new_page(bypass_csp=not has_policy), server)
    # Under the policy a violation counts too; without it, everything that could run would.
    payloads = [*HTMX_DIALECT, *(PAYLOADS[::6] if has_policy else PAYLOADS)]
    carriers = CARRIERS if has_policy else CARRIERS[:7]
    sources = [carrier.replace("{}", text) for text in payloads for carrier in carriers]

    for group in groups(sources, 300):
        await judge.shows("".join(f"<div>{render(source, prefix='x', dialect=DIALECT)}</div>" for source in group))

    assert await judge.seen() == []


async def test_no_payload_acts_while_it_streams(new_page: NewPage, server: RillServer) -> None:
    judge = await Judge.opened(await new_page(bypass_csp=True), server)
    chance = random.Random(7)
    sources = [
        chance.choice(CARRIERS).replace("{}", payload)
        for payload in [*chance.sample(PAYLOADS, 300), *chance.sample(HTMX_DIALECT, 100)]
    ]

    for group in groups(sources, 25):
        streams = [MarkdownStream(f"x{number}", dialect=DIALECT) for number in range(len(group))]
        shown = "".join(f"<div>{stream.html()}</div>" for stream in streams)
        await judge.shows(shown)
        for stream, source in zip(streams, group, strict=True):
            messages, at = [], 0
            while at < len(source):
                size = chance.randint(1, 30)
                stream.feed(source[at : at + size])
                messages.append(partials(stream.flush()))
                at += size
            messages.append(partials(stream.close()))
            for message in filter(None, messages):
                await judge.shows(message, "none")

    assert await judge.seen() == []
