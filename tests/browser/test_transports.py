"""The three transports and the ladder between them, in a real browser."""

from __future__ import annotations

import signal

from playwright.async_api import Page, expect

from tests.browser.chat import WHOLE, WORDS, Paced, ask, bare, begin, has_ended, is_connected, reply_text, sees
from tests.browser.conftest import NewPage
from tests.fakes import RillServer, ScriptedUpstream, network, until


async def test_a_reply_streams_over_the_websocket(page: Page, server: RillServer, upstream: ScriptedUpstream) -> None:
    paced = Paced(upstream)
    await begin(page, server.url)
    await is_connected(page, "websocket")
    paced.let(10)
    await sees(page, "word9")
    assert "word10" not in await reply_text(page)
    await expect(page.locator("#rill-status")).to_have_text("Answering")

    paced.let_all()

    await has_ended(page)
    assert await reply_text(page) == WHOLE
    await expect(page.locator("#rill-status")).to_have_text("Done")


async def test_prompts_go_up_the_socket_and_keep_their_context(
    page: Page, server: RillServer, upstream: ScriptedUpstream
) -> None:
    sent: list[str | bytes] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(frame)))
    await begin(page, server.url)
    await has_ended(page)
    await is_connected(page, "websocket")

    await ask(page, "And then?")

    await expect(page.locator("article.reply")).to_have_count(2)
    await has_ended(page)
    assert any("And then?" in str(frame) for frame in sent)
    told = [message["content"] for message in upstream.exchanges[-1].body["messages"]]
    assert told == ["Tell me.", "You said: Tell me.", "And then?"]
    await expect(page.locator("#rill-prompt")).to_have_value("")
    await expect(page.locator("#rill-prompt")).to_be_focused()


async def test_refused_sockets_step_down_to_sse_without_a_reload(
    page: Page, server: RillServer, upstream: ScriptedUpstream
) -> None:
    paced = Paced(upstream)
    async with network(server.url) as between:
        between.sockets = "refuse"
        await begin(page, between.url)
        paced.let(20)
        await sees(page, "word19")
        await is_connected(page, "http")

        paced.let_all()

        await has_ended(page)
        assert await reply_text(page) == WHOLE
        assert between.handshakes > 0


async def test_a_black_holed_socket_steps_down_to_sse(
    page: Page, server: RillServer, upstream: ScriptedUpstream
) -> None:
    paced = Paced(upstream)
    async with network(server.url) as between:
        between.sockets = "black-hole"
        await begin(page, between.url)
        paced.let(20)
        await sees(page, "word19")

        paced.let_all()

        await has_ended(page)
        assert await reply_text(page) == WHOLE


async def test_a_broken_socket_loses_and_repeats_nothing_and_comes_back(
    page: Page, server: RillServer, upstream: ScriptedUpstream
) -> None:
    paced = Paced(upstream)
    async with network(server.url) as between:
        await begin(page, between.url)
        await is_connected(page, "websocket")
        paced.let(10)
        await sees(page, "word9")
        between.sockets = "refuse"
        await page.fill("#rill-prompt", "what I was typing")

        between.cut_sockets()
        await is_connected(page, "http")
        paced.let(10)
        await sees(page, "word19")
        assert await reply_text(page) == bare("".join(WORDS[:20]))
        between.sockets = "pass"
        await is_connected(page, "websocket")
        await expect(page.locator("#rill-fallback > *")).to_have_count(0)
        paced.let_all()

        await has_ended(page)
        assert await reply_text(page) == WHOLE
        await expect(page.locator("#rill-prompt")).to_have_value("what I was typing")


async def test_several_cuts_in_one_reply_lose_and_repeat_nothing(
    page: Page, server: RillServer, upstream: ScriptedUpstream
) -> None:
    paced = Paced(upstream)
    async with network(server.url) as between:
        await begin(page, between.url)
        for step in range(5):
            await is_connected(page, "websocket")
            seen = between.handshakes
            paced.let(8)
            between.cut()
            paced.let(2)
            await until(lambda seen=seen: between.handshakes > seen, "another handshake")
            await sees(page, f"word{step * 10 + 9}")

        paced.let_all()

        await has_ended(page)
        # Of two transports at once, one may tell of the end before the other has told all of the text.
        await sees(page, "word59")
        assert await reply_text(page) == WHOLE


async def test_a_menu_that_is_open_stays_so_when_the_connection_comes_back(
    page: Page, server: RillServer, upstream: ScriptedUpstream
) -> None:
    upstream.script = Paced.whole
    async with network(server.url) as between:
        await begin(page, between.url)
        await has_ended(page)
        await is_connected(page, "websocket")
        seen = between.handshakes
        await page.locator("article.reply summary", has_text="⋯").click()
        await page.evaluate("document.querySelector('#rill-pulse').dataset.seen = ''")

        between.cut_sockets()
        await until(lambda: between.handshakes > seen, "another handshake")
        await expect(page.locator("#rill-pulse[data-seen]")).to_have_count(0)

        await expect(page.get_by_role("link", name="View raw")).to_be_visible()


async def test_a_server_that_is_killed_mid_reply_leaves_the_text_and_a_retry(
    page: Page, server: RillServer, upstream: ScriptedUpstream
) -> None:
    paced = Paced(upstream)
    await begin(page, server.url)
    await is_connected(page, "websocket")
    paced.let(10)
    await sees(page, "word9")

    await server.restart(signal.SIGKILL)

    await has_ended(page, "interrupted")
    await expect(page.get_by_role("button", name="Retry")).to_be_visible()
    await is_connected(page, "websocket")
    await page.get_by_role("button", name="Retry").click()
    paced.let_all()
    await has_ended(page)
    assert await reply_text(page) == WHOLE


async def test_a_half_open_socket_is_noticed_and_the_prompt_arrives_once(
    page: Page, server: RillServer, upstream: ScriptedUpstream
) -> None:
    async with network(server.url) as between:
        await begin(page, between.url)
        await has_ended(page)
        await is_connected(page, "websocket")
        between.freeze_sockets()

        await ask(page, "Through the hole.")

        await expect(page.locator("article.prompt")).to_have_count(2)
        await has_ended(page)
        await expect(page.locator("#rill-prompt")).to_have_value("")
        between.thaw()
        await expect(page.locator("article.prompt")).to_have_count(2)
        assert [exchange.prompt for exchange in upstream.exchanges] == ["Tell me.", "Through the hole."]


async def test_a_hidden_tab_lets_go_and_catches_up_when_it_is_shown(
    page: Page, server: RillServer, upstream: ScriptedUpstream
) -> None:
    paced = Paced(upstream)
    await begin(page, server.url)
    await is_connected(page, "websocket")
    paced.let(10)
    await sees(page, "word9")

    await _set_hidden(page, True)
    paced.let(20)
    await until(lambda: len(upstream.exchanges) == 1, "the upstream")
    await _set_hidden(page, False)

    await sees(page, "word29")
    assert await reply_text(page) == bare("".join(WORDS[:30]))
    paced.let_all()
    await has_ended(page)
    assert await reply_text(page) == WHOLE


async def _set_hidden(page: Page, is_hidden: bool) -> None:
    """Say to the page what the browser says when its tab is left or shown."""
    await page.evaluate(
        """hidden => {
            Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
            const state = hidden ? "hidden" : "visible";
            Object.defineProperty(document, "visibilityState", {value: state, configurable: true});
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        is_hidden,
    )


async def test_the_back_button_returns_to_a_live_page(
    page: Page, server: RillServer, upstream: ScriptedUpstream
) -> None:
    paced = Paced(upstream)
    await begin(page, server.url)
    paced.let(10)
    await sees(page, "word9")
    await page.goto(f"{server.url}/")
    paced.let(10)

    await page.go_back()

    await sees(page, "word19")
    await is_connected(page, "websocket")
    paced.let_all()
    await has_ended(page)
    assert await reply_text(page) == WHOLE


async def test_a_network_that_falls_silent_is_said_and_mended_without_a_reload(
    page: Page, server: RillServer, upstream: ScriptedUpstream
) -> None:
    # The page's patience is an animation of 25 seconds, which the browser can run faster.
    session = await page.context.new_cdp_session(page)
    await session.send("Animation.enable")
    await session.send("Animation.setPlaybackRate", {"playbackRate": 10})
    paced = Paced(upstream)
    async with network(server.url) as between:
        await begin(page, between.url)
        await is_connected(page, "websocket")
        paced.let(10)
        await sees(page, "word9")
        between.freeze_sockets()
        paced.let(10)

        await is_connected(page, "http")
        await sees(page, "word19")
        await expect(page.locator("#rill-pulse")).to_be_hidden()
        between.thaw()
        paced.let_all()

        await has_ended(page)
        assert await reply_text(page) == WHOLE


async def test_without_scripts_the_reply_appears_as_it_is_written(
    new_page: NewPage, server: RillServer, upstream: ScriptedUpstream
) -> None:
    paced = Paced(upstream)
    page = await new_page(java_script_enabled=False)
    await page.goto(server.url)
    await page.fill("#rill-prompt", "Tell me.")
    await page.click(".send", no_wait_after=True)
    await page.wait_for_url("**/c/*", wait_until="commit")
    paced.let(10)
    await sees(page, "word7")
    assert "word10" not in await reply_text(page)

    paced.let_all()

    await page.wait_for_load_state()
    assert await reply_text(page) == WHOLE
    await expect(page.locator("#rill-prompt")).to_be_visible()
    await page.reload()
    assert await reply_text(page) == WHOLE


async def test_without_scripts_stop_and_retry_are_forms(
    new_page: NewPage, server: RillServer, upstream: ScriptedUpstream
) -> None:
    paced = Paced(upstream)
    page = await new_page(java_script_enabled=False)
    await page.goto(server.url)
    await page.fill("#rill-prompt", "Tell me.")
    await page.click(".send", no_wait_after=True)
    await page.wait_for_url("**/c/*", wait_until="commit")
    paced.let(10)
    await sees(page, "word7")

    await page.click(".early button", no_wait_after=True)

    await has_ended(page, "stopped")
    await upstream.exchanges[0].was_closed.wait()
    assert await reply_text(page) == bare("".join(WORDS[:10]))
    paced.let_all()
    await page.get_by_role("button", name="Try again").click()
    await page.wait_for_load_state()
    assert await reply_text(page) == WHOLE
    await expect(page.locator(".early")).to_be_hidden()
    assert [exchange.prompt for exchange in upstream.exchanges] == ["Tell me.", "Tell me."]


async def test_scripts_off_later_still_stream_at_the_same_address(
    new_page: NewPage, server: RillServer, upstream: ScriptedUpstream
) -> None:
    paced = Paced(upstream)
    with_scripts = await new_page()
    await begin(with_scripts, server.url)
    paced.let(10)
    await sees(with_scripts, "word9")
    without = await new_page(java_script_enabled=False, storage_state=await with_scripts.context.storage_state())

    await without.goto(with_scripts.url, wait_until="commit")

    await sees(without, "word7")
    paced.let(10)
    await sees(without, "word14")
    assert without.url == with_scripts.url
    paced.let_all()
    await without.wait_for_load_state()
    assert await reply_text(without) == WHOLE


async def test_without_scripts_a_refused_prompt_comes_back_with_its_page(new_page: NewPage, server: RillServer) -> None:
    page = await new_page(java_script_enabled=False)
    await page.goto(server.url)
    await page.fill("#rill-prompt", "x" * 40_000)

    await page.click(".send")

    await expect(page.locator("#rill-notice")).to_contain_text("at most 32,000 can be sent")
    assert await page.input_value("#rill-prompt") == "x" * 40_000
    await page.fill("#rill-prompt", "Short.")
    await page.click(".send", no_wait_after=True)
    # The page streams the reply in itself: it has loaded when the reply is whole, and only the next one says so.
    await page.wait_for_url("**/c/*")
    assert await reply_text(page) == "Yousaid:Short."
    await page.reload()
    await has_ended(page)
