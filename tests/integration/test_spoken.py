"""Readers are spoken to in their language, over each transport, whatever others speak at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.clients import HTMX, LINES, ask, following, new_reader, socket
from tests.dom import Dom
from tests.fakes import Exchange, RillServer, ScriptedUpstream
from tests.spoken import say_in
from webapp.languages import LANGUAGES

GERMAN = {"Accept-Language": "de-DE,de;q=0.9,en;q=0.5"}


async def first_with(text: str, frames: AsyncIterator[str]) -> str:
    """Give the first frame with a text in it, and all that follows in it."""
    return await anext(frame async for frame in frames if text in frame)


def language_of(page: str) -> tuple[str, str, str]:
    document = Dom(page).document
    (root,), (send,) = document.select("html"), document.select("button.send")
    return str(root.attrs["lang"]), str(root.attrs["dir"]), str(send.attrs["aria-label"])


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_page_speaks_the_first_language_that_the_browser_wants(server: RillServer, language: str) -> None:
    async with new_reader(server, **{"Accept-Language": f"tlh,{language}-XX;q=0.9,en;q=0.1"}) as reader:
        page = (await reader.get("/")).text

        expected = (language, "rtl" if language == "ar" else "ltr", say_in(language, "Send"))
        assert language_of(page) == expected


async def test_a_reader_chooses_a_language_and_comes_back_to_the_same_page(server: RillServer) -> None:
    async with new_reader(server, **GERMAN) as reader:
        path = (await ask(reader)).path
        for language in ("fr", "en"):
            answer = await reader.post("/language", data={"language": language, "from": path.removeprefix("/c/")})
            assert (answer.status_code, answer.headers["location"]) == (303, path)
            assert language_of((await reader.get(path)).text)[0] == language
        await reader.post("/language", data={"language": "../../etc"}, headers=LINES)
        assert language_of((await reader.get(path)).text)[0] == "de"


async def test_refusals_are_said_in_the_reader_s_language(server: RillServer) -> None:
    expected = say_in("de", "The message is empty. Write something first.")
    async with new_reader(server, **GERMAN) as reader:
        program = await reader.post("/messages", json={"prompt": " "}, headers=LINES)
        page = await reader.post("/messages", data={"prompt": " "})
        fragment = await reader.post("/messages", data={"prompt": " "}, headers=HTMX)
        missing = await reader.get("/c/none")

    assert program.json()["message"] == expected
    assert expected in page.text
    assert expected in fragment.text
    assert say_in("de", "There is no such conversation in this browser.") in missing.text


async def test_a_turn_speaks_the_language_of_the_reader_who_began_it(server: RillServer) -> None:
    """Two turns at once, one followed over a socket and one as Server-Sent Events."""
    async with new_reader(server, **GERMAN) as german, new_reader(server, **{"Accept-Language": "es"}) as spaniard:
        paths = [(await ask(reader)).path for reader in (german, spaniard)]
        async with (
            asyncio.timeout(20),
            socket(german, f"{paths[0]}/stream", headers=GERMAN) as websocket,
            following(spaniard, paths[1]) as (_stream, events),
        ):
            await asyncio.gather(ask(german, "Weiter", paths[0]), ask(spaniard, "Sigue", paths[1]))
            heard = await first_with(f">{say_in('de', 'Done')}<", (str(frame) async for frame in websocket))
            read = await first_with(f">{say_in('es', 'Done')}<", (event.data async for event in events))

    assert f'aria-label="{say_in("de", "Send")}"' in heard
    assert f'aria-label="{say_in("es", "Send")}"' in read


async def test_what_a_model_thinks_is_headed_in_the_reader_s_language(
    server: RillServer, upstream: ScriptedUpstream
) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.think("Hm.")
        await exchange.chunk("Ja.")
        await exchange.finish()

    upstream.script = script
    async with new_reader(server, **GERMAN) as reader:
        path = (await ask(reader, "Denk nach")).path
        page = (await reader.get(path)).text

    assert f"<summary>{say_in('de', 'Thoughts')}</summary>" in page
