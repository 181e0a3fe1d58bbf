"""Picture every page and state, at three widths, light and dark: `python -m tests.screenshots [folder]`."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.async_api import Browser, async_playwright

from tests.browser.conftest import FLAGS
from tests.browser.install import installed
from tests.browser.tour import tour, touring_server
from tests.fakes import ROOT, ScriptedUpstream

SCREENS = {360: 740, 768: 1024, 1440: 900}
"""Widths and heights, in CSS pixels."""
QUALITY = 45
"""Enough to see what is wrong; the files are many."""


def emptied(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.webp"):
        old.unlink()
    return folder


async def main(folder: Path) -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=installed(), args=FLAGS)
        for width in SCREENS:
            for scheme in ("light", "dark"):
                await picture(browser, folder, width, scheme)
        await browser.close()


async def picture(browser: Browser, folder: Path, width: int, scheme: str) -> None:
    """Take the whole tour on one screen."""
    upstream = ScriptedUpstream()
    await upstream.start()
    size = {"width": width, "height": SCREENS[width]}
    with tempfile.TemporaryDirectory() as data:
        async with touring_server(Path(data), upstream) as server:
            context = await browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]  # They are those of Playwright.
            page, count = await context.new_page(), 0

            async def look(state: str) -> None:
                nonlocal count
                count += 1
                taken = Image.open(BytesIO(await page.screenshot()))
                name = f"{width}-{scheme}-{count:02}-{state.replace(', ', '-').replace(' ', '-')}.webp"
                taken.convert("RGB").save(folder / name, "WEBP", quality=QUALITY, method=6)

            await tour(page, server, upstream, look)
            await context.close()
    await upstream.stop()
    print(f"{width} px, {scheme}: {count} pictures")


if __name__ == "__main__":
    asyncio.run(main(emptied(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "screenshots")))
