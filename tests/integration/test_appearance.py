"""Themes that readers choose, and what an operator makes of the page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.clients import LINES, ask, new_reader
from tests.dom import Dom
from tests.fakes import RillServer, ScriptedUpstream, rill_server

LOGO = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><rect width="1" height="1"/></svg>'


@pytest.fixture
async def branded(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[RillServer]:
    (tmp_path / "logo.svg").write_text(LOGO)
    own = tmp_path / "templates" / "partials"
    own.mkdir(parents=True)
    (own / "keys.html").write_text("{# Context: none. #}\n<p id=own>Our own</p>\n")
    settings = {
        "RILL_NAME": "Ask <Acme>",
        "RILL_LOGO": str(tmp_path / "logo.svg"),
        "RILL_ACCENT": "#ffcc00",
        "RILL_FOOTER": "Answers may be wrong. Call 555.",
        "RILL_TEMPLATES": str(tmp_path / "templates"),
    }
    endpoint = {"OPENAI_BASE_URL": upstream.base_url, "OPENAI_API_KEY": "k"}
    async with rill_server(tmp_path, **endpoint, **settings) as server:
        yield server


async def style(reader: httpx.AsyncClient, path: str = "/") -> str:
    (link,) = Dom((await reader.get(path)).text).document.select("link[rel=stylesheet]")
    return (await reader.get(str(link.attrs["href"]))).text


async def test_a_reader_chooses_a_theme_and_comes_back_to_the_same_page(server: RillServer) -> None:
    async with new_reader(server) as reader:
        path = (await ask(reader)).path
        assert "prefers-color-scheme" in await style(reader)
        for theme in ("dark", "light"):
            answer = await reader.post("/theme", data={"theme": theme, "from": path.removeprefix("/c/")})
            assert (answer.status_code, answer.headers["location"]) == (303, path)
            assert f"color-scheme: {theme};" in await style(reader, path)
            pressed = Dom((await reader.get("/")).text).document.select(".theme [aria-pressed=true]")
            assert [button.text for button in pressed] == [theme.title()]
        assert (await reader.post("/theme", data={"theme": ""})).headers["location"] == "/"
        assert "prefers-color-scheme" in await style(reader)
        await reader.post("/theme", data={"theme": '"><script>'}, headers=LINES)
        assert "prefers-color-scheme" in await style(reader)


async def test_the_page_looks_as_its_operator_says(branded: RillServer) -> None:
    async with new_reader(branded) as reader:
        page = Dom((await reader.get("/")).text).document
        (brand,) = page.select(".brand")
        (logo,) = page.select(".brand img")
        served = await reader.get(str(logo.attrs["src"]))
        css = await style(reader)

        assert brand.text.strip() == "Ask <Acme>"
        assert page.select("title")[0].text == "Ask <Acme>"
        assert (served.text, served.headers["content-type"]) == (LOGO, "image/svg+xml")
        assert page.select(".brand-line")[0].text == "Answers may be wrong. Call 555."
        assert page.select("#own")[0].text == "Our own"
        assert "#ffcc00" in css.rpartition("prefers-color-scheme")[2]
        assert "#ffcc00" not in css.rpartition("prefers-color-scheme")[0].rpartition(":root")[2]


async def test_the_page_can_be_installed(branded: RillServer) -> None:
    async with new_reader(branded) as reader:
        (link,) = Dom((await reader.get("/")).text).document.select("link[rel=manifest]")
        answer = await reader.get(str(link.attrs["href"]))
        about = answer.json()
        icon = await reader.get(about["icons"][0]["src"])

        assert answer.headers["content-type"] == "application/manifest+json"
        assert (about["name"], about["start_url"], about["display"]) == ("Ask <Acme>", "/", "standalone")
        assert icon.headers["content-type"] == about["icons"][0]["type"]
