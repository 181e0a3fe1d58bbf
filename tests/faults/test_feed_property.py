"""A reader who loses the connection at any moment, and comes back at any later one, sees each character once.

Each case is one conversation and a few tabs in the real app; a seed makes what is written, how it is cut, and all that
befalls the tabs. `RILL_FEED_CASES` is the number of cases, `RILL_FEED_SEED` the first seed: a failure names its own,
and `RILL_FEED_CASES=1 RILL_FEED_SEED=...` runs that one alone.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest
import structlog

from tests.browser.chat import bare
from tests.faults.feed_model import Answer, Pen, Reader, SteppedLoop, Tab, World, world
from tests.unit.markdown.samples import ANSWERS, EXAMPLES
from webapp.brokers import memory
from webapp.domain import ReasoningChunk

CASES = int(os.environ.get("RILL_FEED_CASES", "2000"))
FIRST_SEED = int(os.environ.get("RILL_FEED_SEED", "1"))
BATCH = 500
"""So many cases share an app, so that the batches can run on several cores."""

FLUSH_SECONDS = 0.04

CODE = "```python\nfor x in range(3):\n    print(x)  # x\n```"

ACTIONS = {"retry": "turn/retry", "continue": "turn/continue", "branch": "branch"}
"""Where the buttons below a message lead, by their forms."""


def batches() -> list[range]:
    last = FIRST_SEED + CASES
    return [range(first, min(first + BATCH, last)) for first in range(FIRST_SEED, last, BATCH)]


@pytest.mark.timeout(0)
@pytest.mark.parametrize("seeds", batches(), ids=lambda seeds: f"{seeds.start}-{seeds.stop - 1}")
def test_every_page_becomes_the_one_that_a_fresh_load_gives(seeds: range, tmp_path: Path, quiet: None) -> None:
    async def run() -> None:
        async with world(tmp_path, RILL_FLUSH_MS=str(int(FLUSH_SECONDS * 1000))) as around:
            for seed in seeds:
                await Case(seed, around).run()

    with asyncio.Runner(loop_factory=SteppedLoop) as runner:
        runner.run(run())


@pytest.fixture
def quiet() -> Iterator[None]:
    """Log no turns: there are many thousands."""
    with structlog.testing.capture_logs():
        yield


@dataclass
class Written:
    """What the model writes in one turn, how it is cut, and how much was handed over."""

    chunks: list[str]
    is_plain: bool
    given: int = 0

    @property
    def text(self) -> str:
        return "".join(self.chunks[: self.given])


@dataclass
class Case:
    """One conversation, its model, its tabs, and what befalls them."""

    seed: int
    around: World
    tabs: list[Tab] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    prompts: int = 0
    requests: list[asyncio.Task[Answer]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = Random(self.seed)
        self.pen = self.around.pens[f"case{self.seed}"] = Pen()
        self.reader = Reader(self.around.app)
        self.path = ""
        self.writing = self._reply()
        self.has_sockets = self.chance.random() < 0.7
        """Whether WebSockets get through."""

    async def run(self) -> None:
        """Run the case; a failure says how to run it again, and what happened in it."""
        try:
            with pytest.MonkeyPatch.context() as patch:
                # Readers lag and places in the feed are forgotten long before the true bounds are reached.
                patch.setattr(memory, "WAITING_BYTES", self.chance.choice([300, 2_000, 262_144, 262_144]))
                patch.setattr(memory, "KEPT_BYTES", self.chance.choice([500, 4_000, 1_048_576, 1_048_576]))
                await self._run()
        except (AssertionError, Exception) as error:
            happened = "\n  ".join(self.told)
            raise AssertionError(f"RILL_FEED_SEED={self.seed} RILL_FEED_CASES=1\n  {happened}\n{error}") from error
        finally:
            self.around.elsewhere.release()
            for tab in self.tabs:
                await tab.end()

    async def _run(self) -> None:
        begun = await self.reader.post("/messages", prompt=self._prompt(), request_id="0")
        self.path = begun.headers["hx-redirect"]
        await self._had_turns(self.chance.choice([0, 0, 1, 2]))
        for _ in range(self.chance.choice([1, 1, 2, 3])):
            await self._open_tab()
        for _ in range(self.chance.randrange(6, 30)):
            await self._step()
            self._check_prefixes()
        await self._end()
        await self._compare()

    async def _had_turns(self, turns: int) -> None:
        """Let some turns come to their ends before anybody reads, so that there is something settled."""
        for number in range(turns):
            await self.around.rest()
            self._finish()
            await self.around.pass_time(FLUSH_SECONDS)
            self.writing = self._reply()
            await self.reader.post(f"{self.path}/messages", prompt=self._prompt(), request_id=f"had {number}")

    def _prompt(self) -> str:
        self.prompts += 1
        return f"case{self.seed} prompt {self.prompts}"

    def _reply(self) -> Written:
        """Choose a reply and how it is cut; it has no white space at its ends, nor is it empty."""
        is_plain = self.chance.random() < 0.5
        if is_plain:
            source = " ".join(f"w{number}x" for number in range(self.chance.randrange(1, 60)))
        elif self.chance.random() < 0.6:
            parts = self.chance.choices([*EXAMPLES, *[CODE] * 30], k=self.chance.randrange(1, 6))
            source = "\n\n".join(parts).strip() or "x"
        else:
            whole = self.chance.choice(list(ANSWERS.values()))
            start = self.chance.randrange(len(whole))
            source = whole[start : start + self.chance.randrange(1, 900)].strip() or "x"
        longest = self.chance.choice([3, 12, 40, 400])
        chunks, at = [], 0
        while at < len(source) and len(chunks) < 40:
            size = self.chance.randrange(1, longest + 1)
            chunks.append(source[at : at + size])
            at += size
        if at < len(source):
            chunks.append(source[at:])
        return Written(chunks, is_plain)

    async def _open_tab(self) -> None:
        tab = await Tab.load(self.reader, self.path)
        tab.has_sockets = self.has_sockets
        self.tabs.append(tab)
        if self.chance.random() < 0.7:
            tab.open_socket()

    # What may happen.

    async def _step(self) -> None:
        happenings = [
            *[self._write] * 8,
            *[self._deliver] * 8,
            *[self._connect] * 5,
            *[self._cut] * 4,
            *[self._pass_time] * 3,
            *[self._hide_or_show] * 2,
            self._reload,
            self._begin_or_end,
            self._begin_or_end,
            *[self._hold_or_release] * 3,
            self._half_settle,
        ]
        happening: Callable[[], Awaitable[str]] = self.chance.choice(happenings)
        self.told.append(await happening())
        if self.chance.random() < 0.9:
            await self.around.rest()

    async def _write(self) -> str:
        if not self._is_running:
            return await self._begin()
        count = self.chance.choice([1, 1, 2, 5])
        chunks = self.writing.chunks[self.writing.given : self.writing.given + count]
        self.writing.given += len(chunks)
        if self.chance.random() < 0.2:
            self.pen.put(ReasoningChunk(f"thought <{self.writing.given}>\n"))
        self.pen.put(*chunks)
        return f"write {chunks!r}"

    async def _deliver(self) -> str:
        tab, number = self._some_tab()
        ways = [tab.take_frame, tab.take_event, tab.take_fallback]
        if self.chance.random() < 0.6:
            ways = [self.chance.choice(ways)]
        got = [await self.chance.choice(ways)() for _ in range(self.chance.randrange(1, 12))]
        return f"tab {number} gets {sum(got)} by {[way.__name__ for way in ways]}"

    async def _connect(self) -> str:
        tab, number = self._some_tab()
        tab.capacity = self.chance.choice([1, 2, 5, 1_000_000, 1_000_000])
        if tab.has_sockets and self.chance.random() < 0.5:
            tab.open_socket()
            return f"tab {number}: open socket"
        tab.open_source()
        return f"tab {number}: open source after {tab.last_event_id}"

    async def _cut(self) -> str:
        tab, number = self._some_tab()
        for _ in range(self.chance.choice([0, 0, 1, 3])):
            await tab.take_frame()
        if self.chance.random() < 0.5:
            await tab.cut_socket()
            return f"tab {number}: socket cut"
        chars = self.chance.choice([0, 0, 50, 400, 2_000])
        await tab.cut_source(chars)
        return f"tab {number}: source cut after {chars}"

    async def _pass_time(self) -> str:
        seconds = self.chance.choice([FLUSH_SECONDS, FLUSH_SECONDS, FLUSH_SECONDS, 1.1, 10.1])
        await self.around.pass_time(seconds)
        return f"{seconds} s pass"

    async def _hide_or_show(self) -> str:
        tab, number = self._some_tab()
        if tab.is_hidden:
            tab.show()
            return f"tab {number} is shown"
        await tab.hide()
        return f"tab {number} is hidden"

    async def _reload(self) -> str:
        if self.is_held_up:
            await self._release()  # A page waits for what is being begun.
        if len(self.tabs) < 3 and self.chance.random() < 0.3:
            await self._open_tab()
            return "another tab"
        tab, number = self._some_tab()
        await tab.reload()
        if self.chance.random() < 0.7:
            tab.open_socket()
        return f"tab {number} is reloaded"

    async def _begin_or_end(self) -> str:
        if not self._is_running:
            return await self._begin()
        how = self.chance.choice(["stop", "fail", "finish"])
        if how == "stop":
            self._post(f"{self.path}/turn/stop")
        elif how == "fail":
            self.pen.put(RuntimeError("the model broke"))
        else:
            self._finish()
        return how

    async def _hold_or_release(self) -> str:
        if self.chance.random() < 0.6:
            name = self.chance.choice(["conversation", "conversation", "begin_turn", "retry_turn", "end_turn"])
            # A handshake reads the conversation for itself first.
            after = self.chance.choice([0, 1]) if name == "conversation" else 0
            self.around.elsewhere.hold(name, after)
            return f"hold {name} after {after}"
        self.around.elsewhere.release()
        return "release"

    async def _half_settle(self) -> str:
        turns = self.chance.randrange(1, 12)
        for _ in range(turns):
            await asyncio.sleep(0)
        return f"{turns} turns of the loop"

    async def _begin(self) -> str:
        """Do one of the things that the page offers while no reply is being written."""
        if self.is_held_up:
            return "wait for an answer"
        fresh = (await Tab.load(self.reader, self.path)).page
        buttons = [button for form in ACTIONS for button in fresh.document.select(f'button[form="{form}"]')]
        buttons = [button for button in buttons if "disabled" not in button.attrs]
        if buttons and self.chance.random() < 0.7:
            button = self.chance.choice(buttons)
            form, name, value = (str(button.attrs[key]) for key in ("form", "name", "value"))
            self.writing = self._reply()
            # What is continued begins with what was there.
            self.writing.is_plain = self.writing.is_plain and form == "retry"
            self._post(f"{self.path}/{ACTIONS[form]}", **{name: value})
            await self.around.rest()
            return f"{form} {value}"
        return await self._send()

    async def _send(self) -> str:
        """Send a prompt, new or in the place of an earlier one, by a request or up a socket."""
        self.writing = self._reply()
        fields = {"prompt": self._prompt(), "request_id": str(self.prompts)}
        tab, number = self._some_tab()
        edits = [str(link.attrs["href"]).partition("=")[2] for link in tab.page.document.select('a[href^="?edit="]')]
        if edits and self.chance.random() < 0.3:
            fields["edits"] = self.chance.choice(edits)
        if tab.socket is not None and self.chance.random() < 0.5:
            tab.socket.say(json.dumps(fields))
            await self.around.rest()
            return f"tab {number} sends {fields}"
        self._post(f"{self.path}/messages", **fields)
        await self.around.rest()
        return f"prompt {fields}"

    def _post(self, url: str, **fields: str) -> None:
        """Send a request; its answer may be waiting for the store."""
        self.requests.append(asyncio.create_task(self.reader.post(url, **fields)))

    # What holds.

    def _check_prefixes(self) -> None:
        """No page has anything of a plain reply twice, nor anything before what comes before it."""
        if not self.writing.is_plain:
            return
        for number, tab in enumerate(self.tabs):
            if tab.socket is not None and tab.source is not None:
                continue  # Two feeds at once may be a moment in which a page has something early.
            if tab.page.has(f"#rill-m{self._latest}"):
                shown = bare(tab.page.text())
                assert bare(self.writing.text).startswith(shown), f"tab {number} shows {shown!r}"

    async def _compare(self) -> None:
        fresh = (await Tab.load(self.reader, self.path)).page
        for number, tab in enumerate(self.tabs):
            assert tab.page.has_places_to_go_on() == self._is_running, f"tab {number} waits for more, or for none"
            assert tab.page.transcript() == fresh.transcript(), f"tab {number} differs from a fresh load"
            assert (tab.page.status() == "Answering") == self._is_running, f"tab {number} says {tab.page.status()!r}"

    # Between.

    @property
    def _is_running(self) -> bool:
        return self.around.app.state.services.turns.running(self.path.removeprefix("/c/")) is not None

    @property
    def _latest(self) -> int:
        running = self.around.app.state.services.turns.running(self.path.removeprefix("/c/"))
        return running.reply.number if running else 0

    @property
    def is_held_up(self) -> bool:
        """Whether an answer still waits for the store."""
        return not all(request.done() for request in self.requests)

    def _some_tab(self) -> tuple[Tab, int]:
        number = self.chance.randrange(len(self.tabs))
        return self.tabs[number], number

    def _finish(self) -> None:
        self.pen.put(*self.writing.chunks[self.writing.given :], None)
        self.writing.given = len(self.writing.chunks)

    async def _release(self) -> None:
        self.around.elsewhere.release()
        await self.around.rest()
        for request in self.requests:
            answer = await request
            # Refused where one that was sent before it, and held, turns out to have begun a turn.
            assert answer.status in {200, 201, 409}, answer

    async def _end(self) -> None:
        """Let the turn end, let every tab be connected, and deliver all there is."""
        await self._release()
        if self._is_running and self.chance.random() < 0.8:
            self._finish()
        await self.around.pass_time(FLUSH_SECONDS)
        for tab in self.tabs:
            if tab.is_hidden:
                tab.show()
            if tab.has_source and tab.last_event_id:
                tab.open_source()  # One that was connected comes back for ever.
            if not tab.is_connected and self.chance.random() < 0.5:
                tab.open_socket()
            if not tab.is_connected:
                tab.open_source()
            if not tab.is_connected:
                tab.open_socket()
        await self._drain()
        if self._is_running:
            await self._compare()
            self._finish()
            await self.around.pass_time(FLUSH_SECONDS)
            await self._drain()

    async def _drain(self) -> None:
        is_moving = True
        while is_moving:
            await self.around.rest()
            is_moving = False
            for tab in self.tabs:
                ways = [tab.take_frame, tab.take_event, tab.take_fallback]
                self.chance.shuffle(ways)
                for way in ways:
                    while await way():
                        is_moving = True
                        await self.around.rest()
