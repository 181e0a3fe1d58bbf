"""kill -9 at random points of the work on prompts and turns, while six readers are in different parts of it.

`RILL_KILL_CASES` says at how many points (6), `RILL_KILL_SEED` which ones; a failure names both its seed and its case.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from random import Random

import pytest

from tests.clients import HTMX, LINES, ask
from tests.dom import Dom
from tests.fakes import Exchange, RillServer, ScriptedUpstream, rill_server, until
from tests.soak.tabs import BROKEN, Tab, Way
from tests.soak.visits import new_client
from tests.stores import query
from webapp.turns import CONTINUE

CASES = int(os.environ.get("RILL_KILL_CASES", "6"))
SEED = os.environ.get("RILL_KILL_SEED") or secrets.token_hex(4)
READERS = 6
REPLIES = [(3, 0.0), (20, 0.01), (100, 0.02), (150, 0.03)]
"""How many chunks a reply has, and the longest time between two of them in seconds."""
LONG_REPLY = (600, 0.03)
LEAD_SECONDS = 3.0
"""For how long such a reply has been written, in every second case, when the others begin."""
AFTERWARDS = "Once more"
"""What the model replies after the kill."""
LOST_SECONDS = 1.0
"""What a crash may cost, as is promised."""
SLACK_SECONDS = 1.0
"""How much later than it was sent a text may come to a server; and storing it may take as long as prompts take."""
POINTS = {"sending": 10, "acknowledged": 10, "asked": 10, "chunk": 150, "finishing": 8, "ended": 8}
"""What happens in the work on a prompt, and up to how often it happens before the server is killed."""


@dataclass
class Prompt:
    """A prompt that was sent, and what its reader and the model know of it."""

    text: str
    request_id: str
    is_long: bool = False
    is_acknowledged: bool = False
    has_ended: bool = False
    times_asked: int = 0
    sent: list[tuple[float, str]] = field(default_factory=list)
    asked_at: float = 0.0
    acknowledged_at: float = float("inf")

    @property
    def fields(self) -> dict[str, str]:
        return {"prompt": self.text, "request_id": self.request_id}

    @property
    def reply(self) -> str:
        """All that the model has sent."""
        return "".join(text for _, text in self.sent)

    def waited(self, until_at: float) -> float:
        """How long it took to be stored, or has taken until a moment."""
        return min(self.acknowledged_at, until_at) - self.asked_at

    def sent_at(self, char: int) -> float:
        """The moment at which a character was sent; later than any if it was not."""
        count = 0
        for at, text in self.sent:
            count += len(text)
            if count > char:
                return at
        return float("inf")


class Point:
    """Kills the server a moment after something has happened for the n-th time."""

    def __init__(self, server: RillServer, random: Random) -> None:
        self.kind = random.choice(list(POINTS))
        self.count = random.randint(1, POINTS[self.kind])
        self._left = self.count
        self._delay = random.choice([0.0, random.uniform(0, 0.005), random.uniform(0, 0.05)])
        self._process = server.process
        self.killed_at = 0.0
        self.is_over = asyncio.Event()

    def __repr__(self) -> str:
        return f"{self._delay * 1000:.1f} ms after {self.kind} {self.count}"

    def passes(self, kind: str) -> None:
        """Note that something has happened."""
        if kind == self.kind:
            self._left -= 1
            if self._left == 0:
                asyncio.get_running_loop().call_later(self._delay, self._kill)

    def _kill(self) -> None:
        assert self._process is not None
        self.killed_at = time.time()
        self._process.send_signal(signal.SIGKILL)
        self.is_over.set()


class Site:
    """One server for all points, and the model behind it, which writes another reply to each prompt."""

    def __init__(self, server: RillServer, upstream: ScriptedUpstream, database: str) -> None:
        self.server, self.database = server, database
        self.prompts: dict[str, Prompt] = {}
        self.point: Point | None = None
        upstream.script = self._write

    @property
    def is_killed(self) -> bool:
        return self.point is not None and self.point.is_over.is_set()

    def passes(self, kind: str) -> None:
        if self.point is not None:
            self.point.passes(kind)

    async def _write(self, exchange: Exchange) -> None:
        goes_on = exchange.prompt == CONTINUE
        prompt = self.prompts[exchange.body["messages"][-3]["content"] if goes_on else exchange.prompt]
        prompt.times_asked += 1
        if self.is_killed:
            if prompt.times_asked == 1:
                prompt.sent.append((time.time(), AFTERWARDS))
            await exchange.reply(AFTERWARDS)
            return
        self.passes("asked")
        random = Random(prompt.text)
        length, longest_pause = LONG_REPLY if prompt.is_long else random.choice(REPLIES)
        await exchange.head()
        for index in range(length):
            text = f"word{index} " * random.randint(1, 4)
            prompt.sent.append((time.time(), text))
            await exchange.chunk(text)
            self.passes("chunk")
            await asyncio.sleep(random.uniform(0, longest_pause))
        self.passes("finishing")
        await exchange.finish()


class Reader:
    """Sends one prompt after the other, by turns as a program and through htmx, with the conversation open in a tab."""

    def __init__(self, site: Site, name: str, *, wants_long_replies: bool) -> None:
        self._site, self._name, self._wants_long_replies = site, name, wants_long_replies
        self.client = new_client(site.server.url)
        self.prompts: list[Prompt] = []
        self.path = ""
        self.tab: Tab | None = None

    async def work(self) -> None:
        """Go on until the server is gone."""
        with suppress(*BROKEN):
            await self.client.get("/")
            while not self._site.is_killed:
                await self._ask(self._new_prompt(), LINES if len(self.prompts) % 2 else HTMX)

    def _new_prompt(self) -> Prompt:
        number = len(self.prompts)
        prompt = Prompt(f"Prompt {number} of {self._name}", f"request-{number}", self._wants_long_replies)
        self.prompts.append(prompt)
        self._site.prompts[prompt.text] = prompt
        return prompt

    def is_written_for(self, seconds: float) -> bool:
        """Whether the model has been writing the first reply for so long."""
        sent = self.prompts[0].sent if self.prompts else []
        return bool(sent) and sent[-1][0] - sent[0][0] > seconds

    async def _ask(self, prompt: Prompt, headers: dict[str, str]) -> None:
        self._site.passes("sending")
        prompt.asked_at = time.time()
        url = f"{self.path}/messages"
        async with self.client.stream("POST", url, data=prompt.fields, headers=headers) as answer:
            assert answer.is_success
            prompt.is_acknowledged, prompt.acknowledged_at = True, time.time()
            self.path = answer.headers.get("location") or answer.headers.get("hx-redirect") or self.path
            self._site.passes("acknowledged")
            await self._open_tab()
            lines = [line async for line in answer.aiter_lines()]
        prompt.has_ended = '"done"' in lines[-1] if headers is LINES else await self._sees_end(prompt)
        if prompt.has_ended:
            self._site.passes("ended")

    async def _sees_end(self, prompt: Prompt) -> bool:
        assert self.tab is not None
        tab, site = self.tab, self._site
        assert await tab.shows(lambda page: site.is_killed or has_finished(page, prompt), 60), "the tab saw no end"
        return has_finished(tab.page, prompt)

    async def _open_tab(self) -> None:
        if self.tab is None:
            html = (await self.client.get(self.path)).text
            cookies = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.client.cookies.items())}
            way: Way = "socket" if Random(self._name).random() < 0.5 else "events"
            self.tab = Tab(self._site.server.url, html, cookies, self.client, way)

    async def come_back(self) -> None:
        """Send again what was not acknowledged, as a page does."""
        if not self.prompts[-1].is_acknowledged:
            told = await ask(self.client, path=self.path, **self.prompts[-1].fields)
            assert told.status == 200
            self.path = told.path
        await self._open_tab()

    async def fresh(self) -> Dom:
        return Dom((await self.client.get(self.path)).text)

    async def messages(self) -> list[tuple[str, str, str]]:
        """Give role, text and state of what is stored, past the product."""
        conversation = self.path.removeprefix("/c/")
        statement = f"SELECT role, text, state FROM messages WHERE conversation_id = '{conversation}' ORDER BY number"
        return await query(self._site.database, statement)  # type: ignore[return-value]

    async def leave(self) -> None:
        if self.tab is not None:
            await self.tab.close()
        await self.client.aclose()


def has_finished(page: Dom, prompt: Prompt) -> bool:
    """Whether a page shows that the reply to a prompt has come to its end."""
    if page.state() != "finished":
        return False
    *_, asked, _ = page.document.select("article.message .text")
    return asked.text.strip() == prompt.text


@pytest.fixture(scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    upstream, folder = ScriptedUpstream(), tmp_path_factory.mktemp("rill")
    await upstream.start()
    async with rill_server(folder, OPENAI_BASE_URL=upstream.base_url, OPENAI_API_KEY="k") as server:
        yield Site(server, upstream, f"sqlite:///{folder}/data/rill.db")
    await upstream.stop()


@pytest.mark.parametrize("case", range(CASES))
async def test_no_acknowledged_prompt_and_at_most_a_second_of_a_reply_is_lost_by_a_kill(
    site: Site, case: int, record_property: Callable[[str, object], None]
) -> None:
    site.point = None
    async with AsyncExitStack() as stack:
        readers = [Reader(site, f"reader {case}-{n}", wants_long_replies=n == 0) for n in range(READERS)]
        for reader in readers:
            stack.push_async_callback(reader.leave)
        async with asyncio.TaskGroup() as work:
            work.create_task(readers[0].work())
            if case % 2 == 0:
                await until(lambda: readers[0].is_written_for(LEAD_SECONDS), "a reply to be written for a while")
            point = site.point = Point(site.server, Random(f"{SEED} {case}"))
            for reader in readers[1:]:
                work.create_task(reader.work())
            await point.is_over.wait()
            gone = time.time()
            await site.server.restart(signal.SIGKILL)
            record_property("start_seconds", time.time() - gone)

        where = f"RILL_KILL_SEED={SEED}, case {case}: {point}"
        begun = [reader for reader in readers if reader.prompts]
        slack = SLACK_SECONDS + max(prompt.waited(point.killed_at) for reader in begun for prompt in reader.prompts)
        await asyncio.gather(*(check(reader, point.killed_at, slack, where) for reader in begun))
        assert "Traceback" not in site.server.output, where


async def check(reader: Reader, killed_at: float, slack: float, where: str) -> None:
    """Hold what a reader has after a kill to what was promised."""
    await reader.come_back()
    messages = await reader.messages()
    prompts, replies = messages[::2], messages[1::2]
    assert [text for _, text, _ in prompts] == [prompt.text for prompt in reader.prompts], where
    assert all(prompt.times_asked <= 1 for prompt in reader.prompts), where
    for prompt, (_, text, state) in zip(reader.prompts, replies, strict=True):
        if state == "finished":
            assert text == prompt.reply, where
        else:
            assert state == "interrupted", where
            assert prompt is reader.prompts[-1], where
            assert not prompt.has_ended, where
            assert prompt.reply.startswith(text), where
            lost_seconds = killed_at - prompt.sent_at(len(text))
            assert lost_seconds <= LOST_SECONDS + slack, (
                f"{lost_seconds:.2f} s are lost, {slack:.2f} are slack; {where}"
            )
    await check_pages(reader, replies[-1], where)


async def check_pages(reader: Reader, last: tuple[str, str, str], where: str) -> None:
    """Hold the tab that was open all the time against a new page, and use the button that a cut reply has."""
    _, text, state = last
    fresh = await reader.fresh()
    assert (fresh.text().strip(), fresh.state()) == (text.strip(), state), where
    assert reader.tab is not None
    assert await reader.tab.shows(lambda page: page.transcript() == fresh.transcript(), 30), where
    if state == "interrupted":
        assert fresh.has('button[form="rill-retry"]'), where
        assert fresh.has('button[form="rill-continue"]') == bool(text), where
        how = "continue" if text else "retry"
        number = str(fresh.replies[-1].attrs["id"]).removeprefix("rill-m")
        await reader.client.post(f"{reader.path}/turn/{how}", data={"reply": number}, headers=HTMX)
        assert await reader.tab.shows(lambda page: page.state() == "finished", 30), where
        *_, (_, whole, _) = await reader.messages()
        assert whole.startswith(text), where
        assert reader.tab.page.text().split() == whole.split(), where
