"""A Chromium that blocks every third-party cookie, a host on another site, and the chat that it may have."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright

from tests.browser.conftest import new_page  # noqa: F401  # A fixture.
from tests.browser.install import FLAGS, installed
from tests.embed.hosts import static_host
from tests.fakes import RillServer, ScriptedUpstream, rill_server


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Chromium without third-party cookies."""
    flags = [*FLAGS, "--test-third-party-cookie-phaseout"]
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=installed(), args=flags)
        yield launched
        await launched.close()


@dataclass(frozen=True)
class Host:
    """A site that serves the files of a folder, and the chat beside it."""

    origin: str
    folder: Path
    rill: RillServer
    embeds: Path

    @property
    def embed_url(self) -> str:
        return f"{self.rill.url}/embed/support"

    def has(self, name: str, page: str) -> str:
        """Put a page on the site; give its address."""
        (self.folder / name).write_text(page)
        return f"{self.origin}/{name}"


@pytest.fixture
async def host(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[Host]:
    folder, embeds = tmp_path / "host", tmp_path / "embeds.toml"
    folder.mkdir()
    async with static_host(folder) as origin:
        embeds.write_text(f'[support]\norigins = ["{origin}"]\ntitle = "Support"\n[other]\n')
        settings = {"OPENAI_BASE_URL": upstream.base_url, "OPENAI_API_KEY": "k", "RILL_EMBEDS": str(embeds)}
        async with rill_server(tmp_path, **settings) as server:
            yield Host(origin, folder, server, embeds)
