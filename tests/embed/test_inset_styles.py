"""The style sheet of insets, measured: as in a frame of ours, whatever the page says, on the screen and on paper."""

from __future__ import annotations

import json
from itertools import zip_longest

from playwright.async_api import Frame, Locator, Page, expect

from tests.browser.conftest import NewPage
from tests.embed.conftest import Host
from tests.embed.hosts import EXTENSIONS
from tests.embed.test_insets import HEAD, asks, has_ended, line
from tests.fakes import ScriptedUpstream

REPLY = r"""# A heading

Some *words*, `code`, ~~gone~~, a [link](https://example.com) and
$\frac{\mathrm{d}x}{\mathrm d t} = \dfrac12 + \sum_{i=0}^n \text{if } \mathbf{A} \quad \bra{x}$.[^1]

| A | B |
|---|--:|
| 1 | 2 |

> [!WARNING]
> Mind.

> Said

```python
def f(x: int) -> str:  # comment
    return "Hello"
```

1. One
   - two

     loose
2. x

- [x] done

---

![picture](https://example.com/x.png)

$$\begin{cases} \frac{a}{b} & \text{if } x > 0 \\ \sqrt[3]{x} & \color{red}{y} \end{cases} \qquad
\displaystyle\int_0^\infty \boxed{x} \, \cancel{y}
\begin{array}{l|r} a & \textstyle\sum_1^2 \\ \hline \scriptstyle b \end{array}$$

مرحبا بالعالم

[^1]: A note.
"""
HOSTILE = """<style>
div div * { direction: rtl; unicode-bidi: bidi-override !important; font: 40px fantasy !important; zoom: 2 !important }
div div * { --ink: lime; --gap: 3rem; --paper: pink !important; --text: 40px; max-width: 3px !important }
section, p, li { --line: red; --small: 40px; background: lime !important }
div div *, div div ::before, div div ::after { transition: all 9s !important; animation: spin 1s infinite !important }
div div *, div div ::before, div div ::after { opacity: 0 !important } @keyframes spin { to { rotate: 1turn } }
html { font-size: 62.5%; letter-spacing: 4px; quotes: none; tab-size: 2; text-shadow: 0 0 3px red; hyphens: auto;
  font-feature-settings: "smcp"; -webkit-text-stroke: 1px; list-style: square; visibility: hidden }
main, svg *, math * { display: none !important } button { all: unset !important }
details > * { float: right !important } ::placeholder { opacity: 0.1 !important; direction: rtl }
::marker { color: lime !important; content: "x" !important }
::file-selector-button { margin: 50px } textarea { max-height: 3px !important; field-sizing: fixed !important }
</style>"""
"""The chat stands in two of `<div>`: how wide and how large that is, is for the page to say."""
STYLES = """root => {
  const parts = element => element.matches("svg *") ? [""] : ["", "::before", "::after",
    ...(element.matches("li, summary") ? ["::marker"] : []), ...(element.matches("textarea") ? ["::placeholder"] : []),
    ...(element.matches("input") ? ["::file-selector-button"] : [])];
  const unseen = "noscript *, annotation, details:not([open]) > .menu, details:not([open]) > .menu *";
  return JSON.stringify([...root.querySelectorAll(`*:not(${unseen})`)].flatMap(element =>
    parts(element).map(part => {
      const style = getComputedStyle(element, part || null);
      return [element.tagName + "." + (element.getAttribute("class") ?? "") + part,
        Object.fromEntries([...style].filter(key => !key.startsWith("--")).map(key =>
          [key, style.getPropertyValue(key)]))];
    })));
}"""
KNOWN = {"animation-name", "color-scheme", "max-block-size", "max-height", "-webkit-locale"}
"""What has a name of its own in an inset, follows the page, or is measured by the frame's own window or language."""
Styles = list[tuple[str, dict[str, str]]]


async def converses(shown: Page | Frame) -> None:
    """Have a reply with nearly all that one can have, and the menu of it open."""
    await shown.locator("#rill-prompt").fill("Show me")
    await shown.locator("#rill-prompt").press("Enter")
    await expect(shown.locator("article.reply .end").last).to_have_attribute("data-state", "finished")
    # What comes first over the socket closes a menu that was open before.
    await expect(shown.locator("#rill-fallback > *")).to_have_count(0)
    # By the element, not by the mouse, which would stay over it.
    await shown.locator(".reply .more > summary").last.evaluate("summary => summary.click()")
    await shown.locator("#rill-prompt").focus()


async def styles_of(chat: Locator) -> Styles:
    found: Styles = json.loads(await chat.evaluate(STYLES, timeout=60_000))
    assert len(found) > 500
    return found


def differences(one: Styles, other: Styles) -> set[tuple[str, str, str, str | None]]:
    return {
        (name, key, value, styles.get(key))
        for (name, wanted), (found, styles) in zip_longest(one, other, fillvalue=("", {}))
        for key, value in [("name", name), *wanted.items()]
        if (value != found if key == "name" else value != styles.get(key))
    }


async def inset(new_page: NewPage, host: Host, *, head: str = "") -> Page:
    (host.folder / "htmx.js").write_text(EXTENSIONS)
    shown = await new_page(viewport={"width": 700, "height": 900})
    start = f"<!doctype html><html lang=en><meta charset=utf-8>{HEAD}{head}<body style='margin: 0'>"
    await shown.goto(host.has("inset.html", f"{start}<div>{line(host.embed_url)}</div>"))
    return shown


async def test_it_looks_as_in_a_frame(new_page: NewPage, host: Host, upstream: ScriptedUpstream) -> None:
    upstream.script = lambda exchange: exchange.reply(REPLY)
    shown = await inset(new_page, host)
    await converses(shown)
    framed = await new_page(viewport={"width": 700, "height": 900})
    frame = f"<iframe src='{host.embed_url}?as=frame' style='width: 698px; height: 606px; border: 1px solid'></iframe>"
    await framed.goto(host.has("framed.html", f"<!doctype html><body style='margin: 0'>{frame}"))
    await converses(framed.frames[1])

    other = differences(
        await styles_of(framed.frames[1].locator("main")), await styles_of(shown.locator("#rill > .main"))
    )
    assert {each for each in other if each[1] not in KNOWN} == set()


async def test_nothing_of_the_page_s_comes_in(new_page: NewPage, host: Host, upstream: ScriptedUpstream) -> None:
    upstream.script = lambda exchange: exchange.reply(REPLY)
    seen: list[Styles] = []
    for head in ("", HOSTILE):
        shown = await inset(new_page, host, head=head)
        await converses(shown)
        seen.append(await styles_of(shown.locator("#rill > .main")))

    assert differences(*seen) == set()


async def test_each_text_has_its_own_direction_in_a_page_that_has_one_for_all(
    new_page: NewPage, host: Host, upstream: ScriptedUpstream
) -> None:
    upstream.script = lambda exchange: exchange.reply("Yes.")
    shown = await inset(new_page, host, head="<style>* { direction: rtl !important }</style>")
    prompt = shown.locator("#rill-prompt")
    await expect(prompt).to_have_css("direction", "ltr")
    await prompt.fill("مرحبا")
    await expect(prompt).to_have_css("direction", "rtl")
    await prompt.press("Enter")
    await has_ended(shown)

    await expect(shown.locator(".prompt .text")).to_have_css("direction", "rtl")
    await expect(shown.locator(".reply .text")).to_have_css("direction", "ltr")
    await expect(shown.locator("#rill")).to_have_css("direction", "ltr")


async def test_all_of_it_is_printed_on_white_paper(new_page: NewPage, host: Host, upstream: ScriptedUpstream) -> None:
    upstream.script = lambda exchange: exchange.reply("A paragraph.\n\n" * 60)
    shown = await inset(new_page, host, head="<style>:root { color-scheme: dark }</style>")
    await asks(shown, "Much")
    await has_ended(shown)
    root = shown.locator("#rill")
    await expect(root).to_have_css("background-color", "rgb(21, 25, 26)")
    await expect(root).to_have_css("height", "608px")
    await shown.emulate_media(media="print")

    await expect(root).to_have_css("background-color", "rgb(251, 251, 249)")
    assert await root.evaluate("root => root.clientHeight") > 2000
    assert await shown.locator(".scroller").evaluate("scroller => scroller.scrollHeight - scroller.clientHeight") <= 0


async def test_it_fits_a_narrow_page_and_a_low_window(
    new_page: NewPage, host: Host, upstream: ScriptedUpstream
) -> None:
    upstream.script = lambda exchange: exchange.reply(REPLY)
    shown = await inset(new_page, host)
    await converses(shown)
    await shown.locator("#rill-prompt").fill("Line\n" * 20)
    ends = "chat => [chat, chat.querySelector('.bottom')].map(each => each.getBoundingClientRect().bottom)"
    for width, height in [(320, 700), (700, 300)]:
        await shown.set_viewport_size({"width": width, "height": height})
        end, of_composer = await shown.locator("#rill").evaluate(ends)

        assert of_composer <= end
        assert await shown.evaluate("document.documentElement.scrollWidth") <= width
        assert await shown.locator(".scroller").evaluate("scroller => scroller.clientHeight") > 50
