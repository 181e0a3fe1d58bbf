"""What readers do: several tabs, several browsers, stopping, sending twice, making mistakes."""

from __future__ import annotations

from playwright.async_api import Page, expect

from tests.browser.chat import WHOLE, WORDS, Paced, ask, bare, begin, has_ended, is_connected, reply_text, sees
from tests.browser.conftest import NewPage
from tests.fakes import Exchange, RillServer, ScriptedUpstream, network, until


async def test_a_reload_in_mid_reply_shows_it_so_far_and_goes_on(
    page: Page, server: RillServer, upstream: ScriptedUpstream
) -> None:
    paced = Paced(upstream)
    await begin(page, server.url)
    paced.let(20)
    await sees(page, "word19")

    await page.reload()

    assert await reply_text(page) == bare("".join(WORDS[:20]))
    paced.let_all()
    await has_ended(page)
    assert await reply_text(page) == WHOLE


async def test_a_second_tab_shows_the_reply_so_far_and_follows_it(
    page: Page, server: RillServer, upstream: ScriptedUpstream
) -> None:
    paced = Paced(upstream)
    await begin(page, server.url)
    paced.let(20)
    await sees(page, "word19")
    second = await page.context.new_page()
    await second.goto(page.url)
    assert await reply_text(second) == bare("".join(WORDS[:20]))

    paced.let_all()

    for tab in (page, second):
        await has_ended(tab)
        assert await reply_text(tab) == WHOLE
    await ask(second, "Again.")
    await expect(page.locator("article.prompt")).to_have_count(2)


async def test_another_browser_cannot_open_a_conversation(
    page: Page, new_page: NewPage, server: RillServer, upstream: ScriptedUpstream
) -> None:
    await begin(page, server.url)
    await has_ended(page)
    stranger = await new_page()

    response = await stranger.goto(page.url)

    assert response is not None
    assert response.status == 404
    await expect(stranger.locator("h1")).to_have_text("There is no such conversation in this browser.")
    await stranger.goto(server.url)
    await expect(stranger.locator("nav li")).to_have_count(0)


async def test_stop_ends_the_reply_at_the_model_and_keeps_what_was_written(
    page: Page, server: RillServer, upstream: ScriptedUpstream
) -> None:
    paced = Paced(upstream)
    await begin(page, server.url)
    await is_connected(page, "websocket")
    paced.let(10)
    await sees(page, "word9")

    await page.click(".stop")

    await has_ended(page, "stopped")
    await upstream.exchanges[0].was_closed.wait()
    assert await reply_text(page) == bare("".join(WORDS[:10]))
    await expect(page.locator("#rill-status")).to_have_text("Stopped")
    await expect(page.locator(".send")).to_be_visible()


async def test_enter_sends_and_shift_enter_breaks_the_line(
    page: Page, server: RillServer, upstream: ScriptedUpstream
) -> None:
    await page.goto(server.url)
    await page.type("#rill-prompt", "one")
    await page.press("#rill-prompt", "Shift+Enter")
    await page.type("#rill-prompt", "two")
    await page.press("#rill-prompt", "Enter")

    await has_ended(page)

    assert upstream.exchanges[0].prompt == "one\ntwo"


async def test_five_clicks_send_one_prompt(page: Page, server: RillServer, upstream: ScriptedUpstream) -> None:
    await page.goto(server.url)
    await page.fill("#rill-prompt", "Once, please.")
    await page.evaluate("for (let i = 0; i < 5; i++) document.querySelector('.send').click()")
    await has_ended(page)
    await is_connected(page, "websocket")
    await page.fill("#rill-prompt", "And once more.")

    await page.evaluate("for (let i = 0; i < 5; i++) document.querySelector('.send').click()")

    await expect(page.locator("article.reply")).to_have_count(2)
    await has_ended(page)
    assert [exchange.prompt for exchange in upstream.exchanges] == ["Once, please.", "And once more."]


async def test_an_empty_prompt_is_refused_with_a_sentence(page: Page, server: RillServer) -> None:
    await page.goto(server.url)
    await page.press("#rill-prompt", "Enter")
    await expect(page.locator("#rill-notice")).to_have_text("The message is empty. Write something first.")
    await begin(page, server.url)
    await is_connected(page, "websocket")
    await has_ended(page)

    await ask(page, "   ")

    await expect(page.locator("#rill-notice")).to_have_text("The message is empty. Write something first.")
    await ask(page, "Not empty.")
    await expect(page.locator("#rill-notice")).to_be_empty()


async def test_an_overlong_prompt_is_refused_and_kept(page: Page, server: RillServer) -> None:
    await begin(page, server.url)
    await is_connected(page, "websocket")
    await has_ended(page)
    for length in (40_000, 500_000):
        text = "x" * length

        await page.evaluate("text => { document.querySelector('#rill-prompt').value = text }", text)
        await page.press("#rill-prompt", "Enter")

        await expect(page.locator("#rill-notice")).to_contain_text("far too" if length > 100_000 else "40,000")
        assert await page.input_value("#rill-prompt") == text
    await ask(page, "Short.")
    await expect(page.locator("article.reply")).to_have_count(2)


async def test_the_composer_is_cleared_only_when_the_prompt_is_stored(
    page: Page, server: RillServer, upstream: ScriptedUpstream
) -> None:
    async with network(server.url) as between:
        await begin(page, between.url)
        await has_ended(page)
        await is_connected(page, "websocket")
        between.freeze()
        between.freeze_sockets()

        await ask(page, "Held back.")
        await page.wait_for_timeout(300)

        await expect(page.locator("#rill-prompt")).to_have_value("Held back.")
        between.thaw()
        await expect(page.locator("#rill-prompt")).to_have_value("")
        await expect(page.locator("article.prompt")).to_have_count(2)


async def test_a_prompt_while_a_reply_runs_is_refused_and_kept(
    page: Page, server: RillServer, upstream: ScriptedUpstream
) -> None:
    paced = Paced(upstream)
    await begin(page, server.url)
    await is_connected(page, "websocket")

    await ask(page, "Too early.")

    await expect(page.locator("#rill-notice")).to_contain_text("A reply is still being written")
    await expect(page.locator("#rill-prompt")).to_have_value("Too early.")
    paced.let_all()
    await has_ended(page)
    await page.press("#rill-prompt", "Enter")
    await expect(page.locator("article.prompt")).to_have_count(2)


async def test_an_upstream_error_is_said_and_can_be_retried(
    page: Page, server: RillServer, upstream: ScriptedUpstream
) -> None:
    async def broken(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.chunk("Halfof")
        exchange.reset()

    upstream.script = broken
    await begin(page, server.url)
    await has_ended(page, "failed")
    await expect(page.locator(".end")).to_contain_text("broke before the reply was whole")
    assert await reply_text(page) == "Halfof"
    upstream.script = Paced.whole

    await page.get_by_role("button", name="Retry").click()

    await has_ended(page)
    assert await reply_text(page) == WHOLE
    await expect(page.locator("article.reply")).to_have_count(1)


async def test_hostile_text_is_shown_as_text(page: Page, server: RillServer, upstream: ScriptedUpstream) -> None:
    hostile = (
        '<script>document.title="X"</script><img src=x onerror=document.title="X">'
        '<hx-partial id="rill-chat">gone</hx-partial><i hx-get="/" hx-trigger="load"></i><!--reply--></div></article>'
    )

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        for start in range(0, len(hostile), 5):
            await exchange.chunk(hostile[start : start + 5])
        await exchange.finish()

    upstream.script = script
    await begin(page, server.url)

    await has_ended(page)

    assert await reply_text(page) == bare(hostile)
    await page.reload()
    assert await reply_text(page) == bare(hostile)
    assert "X" not in await page.title()


async def test_the_list_shows_conversations_newest_first(page: Page, server: RillServer) -> None:
    for prompt in ("First one", "Second one"):
        await page.goto(server.url)
        await ask(page, prompt)
        await page.wait_for_url("**/c/*")
        await has_ended(page)

    await page.goto(server.url)

    await expect(page.locator("nav li a")).to_have_text(["Second one", "First one"])


async def test_the_first_load_is_light(page: Page, server: RillServer) -> None:
    sizes: list[int] = []
    session = await page.context.new_cdp_session(page)
    await session.send("Network.enable")
    session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))

    await page.goto(server.url)
    await until(lambda: len(sizes) >= 4, "the icon")

    assert len(sizes) <= 8
    assert sum(sizes) < 40_960
