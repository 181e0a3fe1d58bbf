"""The ways in which a prompt is sent, and those in which the reply to it is told to the one who asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tests.clients import EVENTS, HTMX, LINES, EventStream
from tests.dom import Dom
from tests.soak.lives import Told
from tests.soak.tabs import AGAIN_SECONDS, Tab
from tests.soak.visits import Visit

Acknowledged = asyncio.Future[str]


async def ask(visit: Visit, way: str) -> None:
    """Send the visit's prompt in this way, and if it is planned so in several at once, until it is acknowledged."""
    asking = [_WAYS[way](visit)]
    if visit.life.plan.is_asked_twice:
        asking += [by_form(visit), by_page(visit), _WAYS[way](visit)]
    paths = set(await asyncio.gather(*asking))
    assert len(paths) == 1, f"one prompt was acknowledged in several places: {paths}"
    visit.life.path = paths.pop()
    visit.life.acknowledged.append(visit.prompt["prompt"])


async def ask_again(visit: Visit, tab: Tab) -> None:
    """Send the prompt again in every way at once, in part through a connection that breaks."""
    ways = [by_form(visit), by_page(visit), _by_second_try(visit)]
    paths, *_ = await asyncio.gather(asyncio.gather(*ways), tab.send(visit.prompt), tab.send(visit.prompt))
    assert set(paths) == {visit.life.path}, f"a prompt that was sent again was acknowledged elsewhere: {paths}"


async def by_form(visit: Visit) -> str:
    answer = await visit.insist("POST", _messages(visit), {303}, visit.prompt)
    return str(answer.headers["location"])


async def by_page(visit: Visit) -> str:
    answer = await visit.insist("POST", _messages(visit), {201}, visit.prompt, HTMX)
    return str(answer.headers.get("hx-redirect", visit.life.path))


async def _by_socket(visit: Visit) -> str:
    """Send it up each tab's socket; nobody knows whether it arrives, so the page sends it again."""
    for tab in visit.tabs:
        await tab.send(visit.prompt)
    return await _by_second_try(visit)


async def _by_second_try(visit: Visit) -> str:
    await visit.insist("POST", f"{_messages(visit)}?again=1", {201}, visit.prompt, HTMX)
    return visit.life.path


async def _by_lines(visit: Visit) -> str:
    return await _until_acknowledged(visit, read_lines)


async def _by_events(visit: Visit) -> str:
    return await _until_acknowledged(visit, read_turn)


_WAYS: dict[str, Callable[[Visit], Awaitable[str]]] = {
    "form": by_form,
    "page": by_page,
    "socket": _by_socket,
    "lines": _by_lines,
    "events": _by_events,
}


async def _until_acknowledged(visit: Visit, read: Callable[[Visit, Acknowledged], Awaitable[None]]) -> str:
    """Have a reply told aside; give the conversation's path as soon as the prompt is acknowledged."""
    while True:
        acknowledged: Acknowledged = asyncio.get_running_loop().create_future()
        task = visit.set_aside(read(visit, acknowledged))
        either: list[asyncio.Future[Any]] = [acknowledged, task]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if acknowledged.done():
            return acknowledged.result()
        task.result()
        await asyncio.sleep(AGAIN_SECONDS)


async def read_lines(visit: Visit, acknowledged: Acknowledged | None = None) -> None:
    """Send the prompt, and have the reply told in lines of JSON."""
    told = Told("lines", is_exact=True, number=_number_of_reply(visit))
    visit.life.told.append(told)
    async with _posting(visit, LINES, acknowledged) as response:
        if response is None:
            return
        async for line in response.aiter_lines():
            event = json.loads(line)
            assert not told.is_whole, f"a line follows the end of its turn: {line}"
            if event["type"] == "chunk":
                told.text += event["content"]
            else:
                told.state = event.get("state", event.get("cause", ""))
                told.is_whole = True


async def read_turn(visit: Visit, acknowledged: Acknowledged | None = None) -> None:
    """Send the prompt, and have the turn told in events."""
    told = Told("events of a turn")
    visit.life.told.append(told)
    page, stream = Dom((await visit.insist("GET", "/", {200})).text), EventStream()
    async with _posting(visit, EVENTS, acknowledged) as response:
        if response is None:
            return
        async for piece in response.aiter_text():
            for event in stream.feed(piece):
                if event.name == "done":
                    told.note(page)
                else:
                    page.receive(event.data)


async def read_page(visit: Visit) -> None:
    """Load the page as a browser without scripts does, to its end."""
    told = Told("streamed page")
    visit.life.told.append(told)
    headers = {"Cookie": f"{visit.life.headers['Cookie']}; rill_scripts=off"}
    async with visit.client.stream("GET", visit.life.path, headers=headers) as response:
        assert response.status_code == 200, f"GET {visit.life.path} answers {response.status_code}"
        html = "".join([piece async for piece in response.aiter_text()])
    if "</html>" in html:
        told.note(Dom(html))


def tells_of_turn(visit: Visit) -> bool:
    """Whether a page that begins empty can be told of the present turn: if it is the conversation's first."""
    return _number_of_reply(visit) is not None


@asynccontextmanager
async def _posting(
    visit: Visit, accept: dict[str, str], acknowledged: Acknowledged | None
) -> AsyncIterator[httpx.Response | None]:
    """Send the prompt; give the answer, unless the server is ending."""
    headers = {**visit.life.headers, **accept}
    async with visit.client.stream("POST", _messages(visit), data=visit.prompt, headers=headers) as response:
        if response.status_code == 503:
            yield None
            return
        assert response.status_code == 200, f"POST {_messages(visit)} answers {response.status_code}"
        if acknowledged is not None and not acknowledged.done():
            acknowledged.set_result(str(response.headers["location"]))
        yield response


def _messages(visit: Visit) -> str:
    return f"{visit.life.path}/messages"


def _number_of_reply(visit: Visit) -> int | None:
    """The number of the first reply to the present prompt; only that of a conversation's first one is known."""
    return 2 if visit.prompt["prompt"] == visit.life.plan.prompts[0] else None
