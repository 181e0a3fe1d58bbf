"""A tour through every page and state, for whoever judges or pictures them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Page, expect

from tests.browser.chat import ask, has_ended
from tests.fakes import Exchange, RillServer, ScriptedUpstream, rill_server
from tests.files import picture

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


@asynccontextmanager
async def touring_server(folder: Path, upstream: ScriptedUpstream) -> AsyncIterator[RillServer]:
    """Start a server that has something to show on every page."""
    (folder / "assistants.toml").write_text(FILE)
    settings = {"RILL_ASSISTANTS": str(folder / "assistants.toml"), "RILL_MODELS": "big=Thorough,small=Fast"}
    endpoint = {"OPENAI_BASE_URL": upstream.base_url, "OPENAI_API_KEY": "k"}
    async with rill_server(folder, **endpoint, **settings, RILL_STYLEGUIDE="true") as server:
        yield server


async def thinks_then_answers(exchange: Exchange, go_on: asyncio.Event) -> None:
    await exchange.head()
    await exchange.think("What does the reader want to know about rivers?")
    await go_on.wait()
    await exchange.chunk(ANSWER)
    await exchange.finish()


Look = Callable[[str], Awaitable[None]]
FILES: Any = [
    {"name": "a.txt", "mimeType": "text/plain", "buffer": b"1"},
    {"name": "b.png", "mimeType": "image/png", "buffer": picture()},
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
    await page.locator("article.prompt button", has_text="Edit").click()
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
    await page.get_by_role("button", name="Language: English").click()
    await expect(page.get_by_role("button", name="Deutsch")).to_be_visible()
    await look("languages open")
    for state, address in {
        "actions": f"{server.url}/conversations/actions?of={path.rpartition('/')[2]}",
        "found": f"{server.url}/search?q=rivers",
        "nothing found": f"{server.url}/search?q=nothing",
        "archive": f"{server.url}/archive",
        "assistants": f"{server.url}/assistants",
        "new assistant": f"{server.url}/assistants/new",
        "with an assistant": f"{server.url}/?with=translator",
        "setup": f"{path}/setup",
        "to be shared": f"{path}/share",
        "nothing there": f"{server.url}/nothing",
        "style guide": f"{server.url}/styleguide",
    }.items():
        await page.goto(address)
        await look(state)
    await page.goto(path)
    await page.get_by_role("button", name="Earlier version").click()
    await has_ended(page)
    await page.goto(f"{path}/share")
    await page.get_by_role("button", name="Make a link").click()
    await expect(page.locator(".share .link")).to_be_visible()
    await look("a link")
    await page.locator(".share .link a").click()
    await page.wait_for_url("**/s/*")
    await look("shared")
