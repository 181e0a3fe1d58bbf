"""Chats as markup in pages of other sites that have htmx: no frame, no cookie, no style that goes in or out."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from playwright.async_api import Browser, Locator, Page, Request, expect

from tests.browser.conftest import NewPage
from tests.browser.test_everyone import Judge
from tests.clients import Gated
from tests.embed.conftest import Host
from tests.embed.hosts import EXTENSIONS, VENDOR, older_htmx, page
from tests.fakes import ScriptedUpstream, network
from tests.files import picture
from webapp.snippets import HTMX_CONFIG, snippets

HEAD = f"{HTMX_CONFIG}<script src=htmx.js></script>"
THEIRS = "<p id=prompt>1</p><p id=m1>2</p><p id=status>3</p><p id=r2>4</p><form id=stop></form><p id=live class=box>5"
"""What a page may have that is called as ours was."""
HOSTILE = """<style>
* { color: red !important; font-size: 40px !important; letter-spacing: 3px !important; border-radius: 9px !important }
*::before, *::after { content: "x" !important; position: fixed !important }
html { font-size: 62.5%; line-height: 3; text-transform: uppercase; text-align: right; cursor: wait; word-spacing: 1em }
main, section, article, footer, header { display: none !important }
button { all: unset !important } textarea { opacity: 0.1; block-size: 3px !important } svg * { fill: lime !important }
.box, .top, .message, .end, .text { display: none; background: lime !important; visibility: hidden !important }
[hidden] { display: block !important } p { margin: 70px !important } a { pointer-events: none !important }
:root { --paper: red !important; --ink: red; --font: fantasy !important; --text: 3px !important }
@keyframes rill-waiting { from { margin: 30px } } @keyframes lost { to { margin: 40px } }
</style>"""
STYLES_OF_ALL = """root => {
  const unseen = "link, iframe, details:not([open]) > .menu, details:not([open]) > .menu *";
  return [root, ...root.querySelectorAll(`*:not(${unseen})`)].flatMap(element =>
    ["", "::before", "::after"].map(pseudo => {
      const style = getComputedStyle(element, pseudo || null);
      return [element.tagName + "." + (element.getAttribute("class") ?? "") + pseudo,
        Object.fromEntries([...style].map(name => [name, style.getPropertyValue(name)]))];
    }));
}"""
DRAWN = ("color", "fill", "stroke", "stroke-width", "opacity", "visibility", "display", "filter", "transform")
"""What shows of the shapes in a picture."""
SHAPES = ("path", "use", "symbol")
Styles = list[tuple[str, dict[str, str]]]
REPLY = """# A heading

Some *words*, `code` and a [link](https://example.com).[^1]

| A | B |
|---|--:|
| 1 | 2 |

> [!NOTE]
> Look.

```python
print("Hello")
```

1. One
   - two

$x^2$

[^1]: A note.
"""


def line(url: str) -> str:
    return str(snippets(url, "", "", "").fragment).removeprefix(f"{HTMX_CONFIG}\n")


async def opens(
    new_page: NewPage, host: Host, *, url: str = "", head: str = HEAD, body: str = "", script: str = EXTENSIONS
) -> Page:
    """Open a page of the host's that has the chat, or is to have it."""
    (host.folder / "htmx.js").write_text(script)
    shown = await new_page()
    await shown.goto(host.has("index.html", page(body + line(url or host.embed_url), head=head)))
    return shown


async def asks(shown: Page, prompt: str) -> None:
    await shown.locator("#rill-prompt").fill(prompt)
    await shown.locator("#rill-prompt").press("Enter")


async def is_answered(shown: Page, text: str) -> None:
    await expect(shown.locator("article.reply .text").last).to_have_text(text)
    await has_ended(shown)


async def opens_menu(shown: Page, message: Literal["prompt", "reply"]) -> None:
    # What comes first over the inset's socket closes a menu that was open before.
    await expect(shown.locator("#rill-fallback > *")).to_have_count(0)
    await shown.locator(f".{message} .more > summary").last.click()


async def has_ended(shown: Page) -> None:
    await expect(shown.locator("article.reply .end").last).to_have_attribute("data-state", "finished")


def differences(before: Styles, after: Styles) -> list[tuple[str, str, str, str | None]]:
    """Tell which styles are other ones, but for those that shapes have and nobody sees."""
    pairs = zip(before, after, strict=True)
    return [
        (name, key, value, other.get(key))
        for (name, one), (_, other) in pairs
        for key, value in one.items()
        if value != other.get(key) and (not name.startswith(SHAPES) or (key in DRAWN and "::" not in name))
    ]


async def html_of(elements: Locator) -> list[str]:
    return list(await elements.evaluate_all("all => all.map(element => element.outerHTML)"))


async def test_one_line_brings_a_chat_that_streams(new_page: NewPage, host: Host, upstream: ScriptedUpstream) -> None:
    gated = Gated(upstream, "Half and ", "whole.")
    shown = await opens(new_page, host, body=THEIRS)
    address, theirs = shown.url, await html_of(shown.locator("body > :not(div)"))
    await asks(shown, "Where is it?")
    gated.let()
    await expect(shown.locator("article.reply .text")).to_contain_text("Half")
    gated.let_all()
    await is_answered(shown, "Half and whole.")
    upstream.script = lambda exchange: exchange.reply("Again.")
    await asks(shown, "And now?")
    await is_answered(shown, "Again.")

    assert await shown.locator("article.message").count() == 4
    assert shown.url == address
    assert await shown.context.cookies() == []
    assert [frame.url for frame in shown.frames] == [address, ""]  # The frame that stands by has not loaded.
    assert await html_of(shown.locator("body > :not(div)")) == theirs


async def test_what_the_page_s_own_elements_inherit_is_not_for_the_chat(
    new_page: NewPage, host: Host, upstream: ScriptedUpstream
) -> None:
    upstream.script = lambda exchange: exchange.reply("Yes.")
    (host.folder / "htmx.js").write_text(EXTENSIONS)
    theirs = """hx-boost:inherited=true hx-headers:inherited='{"X-Token": "secret"}' hx-vals:inherited='{"own": "1"}'
        hx-confirm:inherited="Really?" hx-select:inherited=".none" hx-include:inherited="[name=own]" """
    head = HEAD.replace('"mode"', '"transitions": true, "mode"')
    # The line itself is the page's own, and inherits what the page says.
    loads = line(host.embed_url).replace("<div ", "<div hx-confirm='' hx-select='' ")
    body = f"<input name=own value=2><div {theirs}>{loads}</div>"
    shown = await new_page()
    requests: list[Request] = []
    shown.on("request", lambda request: requests.append(request))
    address = host.has("inherit.html", f"<!doctype html><title>Shop</title>{head}{body}")
    await shown.goto(address)
    await asks(shown, "Hi")
    await is_answered(shown, "Yes.")
    await shown.get_by_role("link", name="New").click()
    await expect(shown.locator("article.message")).to_have_count(0)

    assert shown.url == address
    own = [request for request in requests if "/i/" in request.url]
    assert len(own) >= 2
    assert [request.url for request in own if "x-token" in await request.all_headers()] == []
    assert [request.post_data for request in own if "own" in (request.post_data or "")] == []


async def test_all_that_can_be_done_is_done_within_the_page(
    new_page: NewPage, host: Host, upstream: ScriptedUpstream
) -> None:
    upstream.script = lambda exchange: exchange.reply(f"To {exchange.prompt}.")
    shown = await opens(new_page, host)
    address = shown.url
    await asks(shown, "One")
    await is_answered(shown, "To One.")

    await shown.get_by_role("button", name="Edit").click()
    await expect(shown.locator("#rill-prompt")).to_have_value("One")
    await asks(shown, "Two")
    await is_answered(shown, "To Two.")
    await shown.get_by_role("button", name="Earlier version").first.click()
    await is_answered(shown, "To One.")
    await shown.get_by_role("button", name="Try again").click()
    await expect(shown.locator(".siblings").last).to_contain_text("2 / 2")
    await has_ended(shown)
    await shown.get_by_role("button", name="Good reply").click()
    await expect(shown.get_by_role("button", name="Good reply")).to_have_attribute("aria-pressed", "true")
    await opens_menu(shown, "reply")
    await shown.get_by_role("button", name="Quote").last.click()
    await expect(shown.locator("#rill-prompt")).to_have_value("> To One.\n\n")
    await opens_menu(shown, "reply")
    async with shown.context.expect_page() as opened:
        await shown.get_by_role("link", name="View raw").click()
    await expect((await opened.value).locator("body")).to_have_text("To One.")

    gated = Gated(upstream, "Much ", "more")
    await asks(shown, "Three")
    gated.let()
    await expect(shown.locator("article.reply .text").last).to_contain_text("Much")
    await shown.get_by_role("button", name="Stop the reply").click()
    await expect(shown.locator("article.reply .end").last).to_have_attribute("data-state", "stopped")
    await shown.get_by_role("link", name="New").click()
    await expect(shown.locator("article.message")).to_have_count(0)
    upstream.script = lambda exchange: exchange.reply("Fresh.")
    await asks(shown, "Four")
    await is_answered(shown, "Fresh.")
    await expect(shown.locator("article.message")).to_have_count(2)
    await opens_menu(shown, "prompt")
    await shown.get_by_text("Delete, with what follows").first.click()
    await shown.get_by_role("button", name="Delete for good").first.click()
    await expect(shown.locator("article.message")).to_have_count(0)

    assert shown.url == address


async def test_what_is_opened_in_a_tab_of_its_own_is_the_chat(
    new_page: NewPage, host: Host, upstream: ScriptedUpstream
) -> None:
    upstream.script = lambda exchange: exchange.reply("Yes.")
    shown = await opens(new_page, host)
    await asks(shown, "Hi")
    await is_answered(shown, "Yes.")
    async with shown.context.expect_page() as opened:
        await shown.get_by_role("link", name="New").click(button="middle")
    tab = await opened.value
    await tab.locator("#rill-prompt").fill("And here?")
    await tab.get_by_role("button", name="Send").click()

    await is_answered(tab, "Yes.")
    await expect(tab.locator("main#rill-chat")).to_be_visible()
    await expect(shown.locator("article.prompt .text")).to_have_text("Hi")


async def test_files_and_pictures_come_from_the_chat(new_page: NewPage, host: Host, upstream: ScriptedUpstream) -> None:
    upstream.script = lambda exchange: exchange.reply("Nice.")
    shown = await opens(new_page, host)
    await shown.locator("input[type=file]").first.set_input_files(
        {"name": "cat.png", "mimeType": "image/png", "buffer": picture()}
    )
    await expect(shown.locator(".chip")).to_contain_text("cat.png")
    await asks(shown, "Look")
    await is_answered(shown, "Nice.")

    await expect(shown.locator(".picture img")).to_have_js_property("complete", True)  # Its value.
    assert await shown.locator(".picture img").evaluate("image => image.naturalWidth") > 0


@pytest.mark.parametrize("sockets", ["refuse", "black-hole"])
async def test_it_steps_down_where_sockets_do_not_get_through_and_loses_nothing(
    new_page: NewPage, host: Host, upstream: ScriptedUpstream, sockets: Literal["refuse", "black-hole"]
) -> None:
    async with network(host.rill.url) as between:
        between.sockets = sockets
        shown = await opens(new_page, host, url=f"{between.url}/embed/support")
        upstream.script = lambda exchange: exchange.reply("One.")
        await asks(shown, "One?")
        await is_answered(shown, "One.")
        gated = Gated(upstream, "Half and ", "whole.")
        await asks(shown, "Two?")
        gated.let()
        await expect(shown.locator("article.reply .text").last).to_contain_text("Half")
        between.cut()
        gated.let_all()
        await is_answered(shown, "Half and whole.")

        assert await shown.locator("article.message").count() == 4


async def test_it_goes_on_after_the_network_was_lost(new_page: NewPage, host: Host, upstream: ScriptedUpstream) -> None:
    async with network(host.rill.url) as between:
        shown = await opens(new_page, host, url=f"{between.url}/embed/support")
        gated = Gated(upstream, "Half and ", "whole.")
        await asks(shown, "Two?")
        gated.let()
        await expect(shown.locator("article.reply .text").last).to_contain_text("Half")
        between.cut()
        gated.let_all()

        await is_answered(shown, "Half and whole.")


async def test_no_style_goes_in(new_page: NewPage, host: Host, upstream: ScriptedUpstream) -> None:
    upstream.script = lambda exchange: exchange.reply(REPLY)
    seen: list[Styles] = []
    for styles in ("", HOSTILE):
        shown = await new_page()
        (host.folder / "htmx.js").write_text(EXTENSIONS)
        await shown.goto(host.has("plain.html", f"<!doctype html>{HEAD}{styles}<div>{line(host.embed_url)}</div>"))
        await asks(shown, "Show me")
        await has_ended(shown)
        await opens_menu(shown, "reply")
        await shown.locator("#rill-prompt").focus()
        await shown.mouse.move(0, 0)
        await expect(shown.locator("math").last).to_be_visible()
        seen.append(await shown.locator("#rill").evaluate(STYLES_OF_ALL))

    plain, hostile = seen
    assert [name for name, _ in plain] == [name for name, _ in hostile]
    assert len(plain) > 200
    assert differences(plain, hostile) == []


async def test_no_style_goes_out(new_page: NewPage, host: Host, upstream: ScriptedUpstream) -> None:
    upstream.script = lambda exchange: exchange.reply("Yes.")
    (host.folder / "htmx.js").write_text(EXTENSIONS)
    theirs = (
        f"<section id=theirs>{THEIRS}<h1>A</h1><button>B</button><a href=''>C</a><textarea></textarea>"
        "<div class='message reply embedded main'><p class=text>D<code>e</code></p><p class=pulse>F</p></div></section>"
    )
    shown = await new_page(viewport={"width": 1000, "height": 2000})  # Without a scroll bar.
    address = host.has("plain.html", f"<!doctype html>{HEAD}{theirs}<div>{line(host.embed_url)}</div>")
    await shown.route(f"{host.rill.url}/**", lambda route: route.abort())
    await shown.goto(address)
    before = await shown.locator("#theirs").evaluate(STYLES_OF_ALL)
    await shown.unroute(f"{host.rill.url}/**")
    await shown.goto(address)
    await asks(shown, "Hi")
    await is_answered(shown, "Yes.")

    after = await shown.locator("#theirs").evaluate(STYLES_OF_ALL)
    assert differences(before, after) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_in_it(new_page: NewPage, host: Host, upstream: ScriptedUpstream, scheme: str) -> None:
    upstream.script = lambda exchange: exchange.reply(REPLY)
    (host.folder / "htmx.js").write_text(EXTENSIONS)
    shown = await new_page()
    head = f"<title>Shop</title>{HEAD}<style>html {{ color-scheme: {scheme}; background: canvas }}</style>"
    body = f"<main><h1>Shop</h1>{line(host.embed_url)}</main>"
    await shown.goto(host.has("plain.html", f'<!doctype html><html lang="en">{head}<body>{body}</body></html>'))
    judge = Judge(shown)
    await expect(shown.locator("#rill-prompt")).to_be_visible()
    await judge.look("new")
    await asks(shown, "Show me")
    await has_ended(shown)
    await judge.look("answered")
    await opens_menu(shown, "reply")
    await judge.look("with its menu open")

    assert judge.found == []


async def test_it_is_as_dark_as_the_page(new_page: NewPage, host: Host) -> None:
    shown = await opens(new_page, host)
    root = shown.locator("#rill")
    await expect(root).to_have_css("background-color", "rgb(251, 251, 249)")
    await shown.evaluate("document.documentElement.style.colorScheme = 'dark'")
    await expect(root).to_have_css("background-color", "rgb(21, 25, 26)")
    await root.evaluate("root => root.dataset.theme = 'light'")
    await expect(root).to_have_css("background-color", "rgb(251, 251, 249)")


async def test_a_connection_that_is_lost_is_said_to_be(
    new_page: NewPage, host: Host, upstream: ScriptedUpstream
) -> None:
    upstream.script = lambda exchange: exchange.reply("Yes.")
    shown = await opens(new_page, host)
    await asks(shown, "Hi")
    await is_answered(shown, "Yes.")
    pulse = shown.locator("#rill-pulse")
    await expect(pulse).to_be_hidden()
    # What 25 s without a beat do; and at once, since the next beat hides it again.
    visibility = await shown.evaluate(
        """() => {
          const pulse = document.querySelector("#rill-pulse");
          pulse.getAnimations().forEach(animation => animation.currentTime = 26_000);
          return getComputedStyle(pulse).visibility;
        }"""
    )

    assert visibility == "visible"


async def test_a_page_with_an_older_htmx_gets_a_frame(
    new_page: NewPage, host: Host, upstream: ScriptedUpstream
) -> None:
    upstream.script = lambda exchange: exchange.reply("Yes.")
    shown = await opens(new_page, host, script=older_htmx())
    framed = shown.frame_locator("iframe")
    await framed.locator("#rill-prompt").fill("Hi")
    await framed.get_by_role("button", name="Send").click()

    await expect(framed.locator("article.reply .text")).to_have_text("Yes.")
    await expect(shown.locator("#rill")).to_have_count(0)


async def test_a_page_whose_htmx_trusts_only_its_own_shows_the_frame_that_stands_by(
    browser: Browser, host: Host, upstream: ScriptedUpstream
) -> None:
    upstream.script = lambda exchange: exchange.reply("Yes.")
    (host.folder / "htmx.js").write_text(EXTENSIONS + (VENDOR / "hx-csp.min.js").read_text())
    loads = line(host.embed_url).replace("<div ", "<div hx-nonce=theirs ")
    head = f"{HTMX_CONFIG}<script nonce=theirs src=htmx.js></script>"
    shown = await browser.new_page()
    await shown.goto(host.has("index.html", page(loads, head=head)))
    framed = shown.frame_locator("iframe")
    await framed.locator("#rill-prompt").fill("Hi")
    await framed.get_by_role("button", name="Send").click()

    await expect(framed.locator("article.reply .text")).to_have_text("Yes.")
    await expect(shown.locator("#rill > .main")).to_be_hidden()
    await shown.close()


async def test_pages_of_other_origins_get_nothing(new_page: NewPage, host: Host) -> None:
    (host.folder / "htmx.js").write_text(EXTENSIONS)
    shown = await new_page()
    async with shown.expect_event("requestfailed") as failed:
        await shown.goto(host.has("index.html", page(line(f"{host.rill.url}/embed/other"), head=HEAD)))

    assert "/embed/other" in (await failed.value).url
    await expect(shown.locator("#rill, iframe")).to_have_count(0)


async def test_an_embed_that_rests_says_so_in_the_page(new_page: NewPage, host: Host) -> None:
    host.embeds.write_text(host.embeds.read_text().replace("[support]", "[support]\nenabled = false"))
    shown = await opens(new_page, host)

    await expect(shown.frame_locator("iframe").locator("h1")).to_contain_text("There is no chat here")


async def test_it_weighs_less_than_twenty_five_kilobytes(new_page: NewPage, host: Host) -> None:
    """What comes over the network besides the page's own htmx; docs/embedding.md has the number."""
    (host.folder / "htmx.js").write_text(EXTENSIONS)
    shown = await new_page()
    requests: list[Request] = []
    shown.on("requestfinished", lambda request: requests.append(request))
    await shown.goto(host.has("index.html", page(line(host.embed_url), head=HEAD)))
    await expect(shown.locator("#rill-prompt")).to_be_visible()
    await shown.wait_for_load_state("networkidle")

    theirs = [request for request in requests if request.url.startswith(f"{host.rill.url}/")]
    sizes: list[Any] = [await request.sizes() for request in theirs]
    assert 5_000 < sum(size["responseBodySize"] + size["responseHeadersSize"] for size in sizes) < 25_000
