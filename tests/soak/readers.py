"""The story of a planned reader: prompts, faults; and after each turn every open tab is held against a fresh page."""

from __future__ import annotations

import asyncio
import time

from tests.dom import Dom
from tests.fakes import network
from tests.soak.asking import ask
from tests.soak.faults import meet
from tests.soak.lives import Life
from tests.soak.plans import Fault
from tests.soak.tabs import AGAIN_SECONDS
from tests.soak.visits import Visit, new_client

LIFE_SECONDS = 150.0
"""Longer than any life takes on a machine that is not stuck; it bounds a soak."""
SETTLE_SECONDS = 30.0
REACH_SECONDS = 0.4


async def live(life: Life) -> None:
    """Live a life to its end; this raises nothing but cancellation."""
    try:
        async with asyncio.timeout(LIFE_SECONDS), network(life.url) as between, new_client(between.url) as client:
            await _Story(Visit(life, between, client)).live()
    except TimeoutError:
        life.problems.append(f"it did not come to its end in {LIFE_SECONDS:g} s, while {life.stage}")
    except Exception as error:  # noqa: BLE001  # Whatever goes wrong in a life is its outcome.
        life.problems.append(f"{type(error).__name__} while {life.stage}: {error}")
    finally:
        life.seconds = time.monotonic() - life.begun_at


async def read_again(life: Life) -> None:
    """Load the page of a life that is over once more; it has to be what it was."""
    async with new_client(life.url) as client:
        page = Dom((await client.get(life.path, headers=life.headers)).text)
    if page.transcript() != life.transcript:
        life.problems.append(f"the page that the store alone makes is another: {_difference(life.transcript, page)}")


class _Story:
    def __init__(self, visit: Visit) -> None:
        self._visit, self._life, self._plan, self._pen = visit, visit.life, visit.life.plan, visit.life.pen
        self._endings = list(self._plan.endings)

    async def live(self) -> None:
        visit, plan = self._visit, self._plan
        try:
            await visit.arrive()
            for turn in range(len(plan.prompts)):
                visit.prompt = plan.fields(turn)
                self._life.stage = f"asking for turn {turn}"
                await ask(visit, plan.asks[turn])
                if turn == 0:
                    await visit.open_tab("socket" if plan.number % 3 else "events")
                await self._meet_all(plan.faults_of(turn))
                await self._come_to_an_end()
            await self._streams_end()
        finally:
            await visit.leave()

    async def _meet_all(self, faults: tuple[Fault, ...]) -> None:
        """Meet the faults while the model writes."""
        for index, fault in enumerate(faults):
            part = (index + 1) / (len(faults) + 1)
            self._pen.allow(part)
            await self._pen.reaches(part, REACH_SECONDS)
            self._come_to_a_step()
            self._life.stage = f"meeting fault {self._life.step}, {fault.kind}"
            self._life.counts[fault.kind] += 1
            await meet(self._visit, fault)
            self._life.step += 1
        self._come_to_a_step()
        self._pen.allow(1.0)

    def _come_to_a_step(self) -> None:
        while self._endings and self._endings[0].step <= self._life.step:
            self._life.end_server(self._endings.pop(0).how)

    async def _come_to_an_end(self) -> None:
        """Wait for the end of the turn, and try again as often as it is planned if the reply is not finished."""
        tries = self._plan.tries
        page = await self._end_of_turn()
        while page.state() != "finished" and tries:
            tries -= 1
            self._life.stage = "trying again"
            await self._visit.try_again(page, continues=tries == 0)
            page = await self._end_of_turn()
        for _ in range(self._plan.switches):
            self._life.stage = "showing another branch"
            # Some pages miss it, and find it when they are back.
            self._visit.network.cut()
            if await self._visit.page_through(page):
                page = await self._end_of_turn()

    async def _end_of_turn(self) -> Dom:
        """Wait until every tab has seen the end of the turn, and hold all of them against a fresh page."""
        self._life.stage = "waiting for the end of a turn"
        for tab in self._visit.tabs:
            has_ended = await tab.shows(lambda page: page.state() != "running", LIFE_SECONDS)
            assert has_ended, "a tab did not see the end of the turn"
        fresh = await self._visit.fresh()
        while fresh.state() == "running":
            await asyncio.sleep(AGAIN_SECONDS)
            fresh = await self._visit.fresh()
        await self._compare(fresh)
        return fresh

    async def _compare(self, fresh: Dom) -> None:
        self._life.stage = "comparing"
        self._life.transcript = fresh.transcript()
        texts = {str(reply.attrs["id"]): reply.select(".text")[0].text for reply in fresh.replies}
        self._life.replies.update({int(name.removeprefix("rill-m")): text for name, text in texts.items()})
        for index, tab in enumerate(self._visit.tabs):
            is_same = await tab.shows(lambda page: page.transcript() == self._life.transcript, SETTLE_SECONDS)
            if not is_same:
                difference = _difference(self._life.transcript, tab.page)
                raise AssertionError(f"tab {index} ({tab.way}) is not what a fresh page is: {difference}")

    async def _streams_end(self) -> None:
        self._life.stage = "waiting for the streams of turns that are over"
        if self._visit.aside:
            done, late = await asyncio.wait(self._visit.aside, timeout=SETTLE_SECONDS)
            assert not late, f"{len(late)} streams did not end"
            for task in done:
                task.result()


def _difference(fresh: list[str], page: Dom) -> str:
    shown = page.transcript()
    for index, (wanted, found) in enumerate(zip(fresh, shown, strict=False)):
        if wanted != found:
            at = next((at for at, pair in enumerate(zip(wanted, found, strict=False)) if pair[0] != pair[1]), 0)
            at = max(0, at - 60)
            return f"part {index} has {found[at : at + 240]!r}, should have {wanted[at : at + 240]!r}"
    return f"it has {len(shown)} parts, should have {len(fresh)}"
