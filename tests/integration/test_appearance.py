"""Themes that readers choose, and what an operator makes of the page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from PIL import Image

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

        assert len(about["icons"]) == 1
        assert answer.headers["content-type"] == "application/manifest+json"
        assert (about["name"], about["start_url"], about["display"]) == ("Ask <Acme>", "/", "standalone")
        assert icon.headers["content-type"] == about["icons"][0]["type"]


async def test_it_has_a_picture_for_home_screens(server: RillServer) -> None:
    async with new_reader(server) as reader:
        (link,) = Dom((await reader.get("/")).text).document.select("link[rel=apple-touch-icon]")
        icons = (await reader.get("/manifest.webmanifest")).json()["icons"]
        pictures = [await reader.get(icon["src"]) for icon in icons]

    assert [icon["purpose"] for icon in icons] == ["any", "maskable"]
    assert [picture.headers["content-type"] for picture in pictures] == [icon["type"] for icon in icons]
    assert str(link.attrs["href"]) == icons[1]["src"]
    width, height = Image.open(BytesIO(pictures[1].content)).size
    assert f"{width}x{height}" == icons[1]["sizes"]


@pytest.mark.parametrize(("suffix", "found"), [("png", 1), ("webp", 0)])
async def test_a_logo_is_that_picture_if_home_screens_can_show_it(
    tmp_path: Path, upstream: ScriptedUpstream, suffix: str, found: int
) -> None:
    logo = tmp_path / f"logo.{suffix}"
    Image.new("RGB", (64, 64), "red").save(logo)
    settings = {"OPENAI_BASE_URL": upstream.base_url, "OPENAI_API_KEY": "k", "RILL_LOGO": str(logo)}
    async with rill_server(tmp_path, **settings) as server, new_reader(server) as reader:
        links = Dom((await reader.get("/")).text).document.select("link[rel=apple-touch-icon]")
        pictures = [await reader.get(str(link.attrs["href"])) for link in links]

    assert [picture.content for picture in pictures] == [logo.read_bytes()] * found


async def test_search_engines_learn_what_is_theirs_to_read(server: RillServer) -> None:
    async with new_reader(server) as reader:
        robots = (await reader.get("/robots.txt")).text
        (about,) = Dom((await reader.get("/")).text).document.select("meta[name=description]")

    assert robots.startswith("User-agent: *\nDisallow: /search\n")
    assert str(about.attrs["content"]).startswith("Ask Rill something")
