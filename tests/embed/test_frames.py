"""Chats in frames of other sites: without cookies, without scripts, in hosts that mean no good."""

from __future__ import annotations

from typing import Literal

import httpx
import pytest
from playwright.async_api import Browser, FrameLocator, Page, Request, expect

from tests.browser.conftest import NewPage
from tests.clients import Gated
from tests.embed.conftest import Host
from tests.embed.hosts import HTMX, page
from tests.fakes import ScriptedUpstream, network
from webapp.snippets import HTMX_CONFIG, snippets

HTMX_HEAD = f"{HTMX_CONFIG}<script src=htmx.js></script>"


def frame(url: str) -> str:
    return f'<iframe src="{url}" title="Support" width="380" height="560"></iframe>'


def line(url: str) -> str:
    return str(snippets(url, "", "", "").fragment).removeprefix(f"{HTMX_CONFIG}\n")


def chat(shown: Page) -> FrameLocator:
    return shown.frame_locator("iframe")


async def asks(shown: Page, prompt: str) -> None:
    await chat(shown).locator("#rill-prompt").fill(prompt)
    await shown.frames[-1].wait_for_load_state()  # Before that Enter is the browser's own, and breaks the line.
    await chat(shown).locator("#rill-prompt").press("Enter")


async def is_answered(shown: Page, text: str) -> None:
    await expect(chat(shown).locator("article.reply .text").last).to_have_text(text)
    await expect(chat(shown).locator("article.reply .end").last).to_have_attribute("data-state", "finished")


async def test_a_frame_streams_without_any_cookie(new_page: NewPage, host: Host, upstream: ScriptedUpstream) -> None:
    gated = Gated(upstream, "Half and ", "whole.")
    shown = await new_page()
    await shown.goto(host.has("index.html", page(frame(host.embed_url))))
    await asks(shown, "Where is it?")
    gated.let()
    await expect(chat(shown).locator("article.reply .text")).to_contain_text("Half")
    gated.let_all()
    await is_answered(shown, "Half and whole.")
    upstream.script = lambda exchange: exchange.reply("Again.")
    await expect(chat(shown).locator("#rill-composer")).to_have_attribute("data-transport", "websocket")
    await asks(shown, "And now?")
    await is_answered(shown, "Again.")

    assert await shown.context.cookies() == []
    # The host's styles have not come in.
    color = await chat(shown).locator("h1").evaluate("element => getComputedStyle(element).color")
    assert color != "rgb(255, 0, 0)"


async def test_a_frame_works_without_scripts(new_page: NewPage, host: Host, upstream: ScriptedUpstream) -> None:
    upstream.script = lambda exchange: exchange.reply("Yes.")
    shown = await new_page(java_script_enabled=False)
    await shown.goto(host.has("index.html", page(frame(host.embed_url))))
    for prompt in ("One", "Two"):
        await chat(shown).locator("#rill-prompt").fill(prompt)
        await chat(shown).locator("button.send").click()
        await expect(chat(shown).locator("article.prompt .text").last).to_have_text(prompt)
        await is_answered(shown, "Yes.")

    assert await shown.context.cookies() == []


async def test_a_host_that_keeps_the_visit_goes_on_after_a_reload(
    new_page: NewPage, host: Host, upstream: ScriptedUpstream
) -> None:
    """What a host's server does: it asks for a visit once, keeps it in its own session, and writes it into its page."""
    upstream.script = lambda exchange: exchange.reply("Yes.")
    async with httpx.AsyncClient(trust_env=False) as program:
        visit = (await program.get(host.embed_url, headers={"Accept": "application/json"})).json()["visit"]
    shown = await new_page()
    await shown.goto(host.has("index.html", page(frame(f"{host.embed_url}?visit={visit}"))))
    await asks(shown, "Mine")
    await is_answered(shown, "Yes.")

    await shown.reload()

    await expect(chat(shown).locator("article.prompt .text")).to_have_text("Mine")
    await is_answered(shown, "Yes.")


async def test_a_host_that_is_not_listed_gets_an_empty_frame(browser: Browser, host: Host) -> None:
    shown = await browser.new_page()
    await shown.goto(host.has("index.html", page(frame(f"{host.rill.url}/embed/other"))))
    await shown.wait_for_load_state("networkidle")

    assert [each.url for each in shown.frames[1:]] == ["chrome-error://chromewebdata/"]
    await shown.close()


async def test_our_own_pages_are_in_nobody_s_frame(browser: Browser, host: Host) -> None:
    shown = await browser.new_page()
    await shown.goto(host.has("index.html", page(frame(f"{host.rill.url}/"))))
    await shown.wait_for_load_state("networkidle")

    assert [each.url for each in shown.frames[1:]] == ["chrome-error://chromewebdata/"]
    await shown.close()


async def test_a_button_opens_it_by_keyboard(new_page: NewPage, host: Host, upstream: ScriptedUpstream) -> None:
    upstream.script = lambda exchange: exchange.reply("Yes.")
    lines = snippets(host.embed_url, "Ask us", "#0f6e6b", "#ffffff").button
    shown = await new_page(viewport={"width": 360, "height": 640})
    await shown.goto(host.has("index.html", page(str(lines))))
    await expect(shown.locator("iframe")).to_be_hidden()
    await shown.keyboard.press("Tab")
    await shown.keyboard.press("Enter")
    await expect(shown.locator("iframe")).to_be_in_viewport(ratio=1)
    await asks(shown, "Hi")
    await is_answered(shown, "Yes.")
    await shown.locator("summary").click()

    await expect(shown.locator("iframe")).to_be_hidden()


async def test_htmx_brings_it_in_by_one_line(new_page: NewPage, host: Host, upstream: ScriptedUpstream) -> None:
    upstream.script = lambda exchange: exchange.reply("Yes.")
    (host.folder / "htmx.js").write_text(HTMX)
    shown = await new_page()
    await shown.goto(host.has("index.html", page(line(host.embed_url), head=HTMX_HEAD)))
    await asks(shown, "Hi")

    await is_answered(shown, "Yes.")
    assert await shown.context.cookies() == []


async def test_htmx_of_a_host_that_is_not_listed_gets_nothing(browser: Browser, host: Host) -> None:
    (host.folder / "htmx.js").write_text(HTMX)
    shown = await browser.new_page()
    url = host.has("index.html", page(line(f"{host.rill.url}/embed/other"), head=HTMX_HEAD))
    async with shown.expect_event("requestfailed") as failed:
        await shown.goto(url)

    assert "/embed/other" in (await failed.value).url
    await expect(shown.locator("iframe")).to_have_count(0)
    await shown.close()


@pytest.mark.parametrize("sockets", ["refuse", "black-hole"])
async def test_a_frame_steps_down_where_sockets_do_not_get_through(
    new_page: NewPage, host: Host, upstream: ScriptedUpstream, sockets: Literal["refuse", "black-hole"]
) -> None:
    async with network(host.rill.url) as between:
        between.sockets = sockets
        shown = await new_page()
        await shown.goto(host.has("index.html", page(frame(f"{between.url}/embed/support"))))
        upstream.script = lambda exchange: exchange.reply("One.")
        await asks(shown, "One?")
        await is_answered(shown, "One.")
        gated = Gated(upstream, "Half and ", "whole.")
        await asks(shown, "Two?")
        gated.let()
        await expect(chat(shown).locator("article.reply .text").last).to_contain_text("Half")
        between.cut()
        gated.let_all()
        await is_answered(shown, "Half and whole.")

        assert await shown.context.cookies() == []


async def test_a_chat_weighs_less_than_forty_kilobytes_and_asks_nobody_else(new_page: NewPage, host: Host) -> None:
    """What comes over the network for a frame, until it can be written in; docs/embedding.md has the number."""
    shown = await new_page()
    requests: list[Request] = []
    shown.on("requestfinished", lambda request: requests.append(request))
    await shown.goto(host.has("index.html", page(frame(host.embed_url))))
    await expect(chat(shown).locator("#rill-prompt")).to_be_visible()
    await shown.wait_for_load_state("networkidle")

    theirs = [request for request in requests if not request.url.startswith((host.origin, "data:"))]
    sizes = [await request.sizes() for request in theirs]
    assert all(request.url.startswith(f"{host.rill.url}/") for request in theirs)
    assert len(theirs) <= 5
    assert 10_000 < sum(size["responseBodySize"] + size["responseHeadersSize"] for size in sizes) < 40_000
