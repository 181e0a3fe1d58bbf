"""Runs planned readers, many at once, against one server, and ends with the reconciliation."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.soak.ground import Ground, ground
from tests.soak.lives import Life
from tests.soak.plans import Ending, Plan
from tests.soak.readers import live, read_again
from tests.soak.reconciliation import Reconciliation, reconcile

WEIGH_SECONDS = 2.0
WARM_SECONDS = 30.0
GROWTH_BYTES = 80 * 1024 * 1024
"""How much a process may grow after it is warm; a leak of one page a reader would be more within minutes."""
Tell = Callable[[Ground, Sequence[Life]], None]


@dataclass(frozen=True)
class Outcome:
    """What a soak found; the problems are those of the lives and of the ground together."""

    place: Ground
    lives: Sequence[Life]
    result: Reconciliation

    @property
    def problems(self) -> list[str]:
        """Each with the command that plays its reader again, if it is one reader's."""
        own = [
            f"stream {life.plan.number}: {what}\n    {replay(life)}" for life in self.lives for what in life.problems
        ]
        return own + self.place.problems


def replay(life: Life) -> str:
    """The command that plays a life again, with the ends of the server that fell into it."""
    seed = life.plan.seed.rpartition(" ")[0]
    endings = "".join(f" --restart {ending}" for ending in life.endings)
    return f"python -m tests.soak --seed {seed} --stream {life.plan.number}{endings}"


async def soak(
    folder: Path,
    plans: Iterable[Plan],
    *,
    concurrency: int,
    seconds: float = float("inf"),
    is_forked: bool = False,
    tell: Tell = lambda place, lives: None,
) -> Outcome:
    """Let the planned readers live until all have, or the time for new ones is over; tell of it now and then."""
    async with ground(folder, is_forked=is_forked) as place:
        crowd = _Crowd(place, iter(plans), time.monotonic() + seconds)
        watch = asyncio.create_task(_watch(place, crowd, tell))
        try:
            await crowd.run(concurrency)
        finally:
            watch.cancel()
            await asyncio.wait([watch])
        await _read_again(place, crowd.lives)
        result = reconcile(place, crowd.lives)
    place.problems += _growth(place)
    return Outcome(place, crowd.lives, result)


class _Crowd:
    """The readers of one soak; `lives` are those that have begun."""

    def __init__(self, place: Ground, plans: Iterator[Plan], until: float) -> None:
        self._place, self._plans, self._until = place, plans, until
        self.lives: list[Life] = []
        self._group = asyncio.TaskGroup()
        self._restarting = asyncio.Lock()

    async def run(self, concurrency: int) -> None:
        async with self._group:
            for _ in range(concurrency):
                self._group.create_task(self._live_one_after_another())

    async def _live_one_after_another(self) -> None:
        place = self._place
        while time.monotonic() < self._until and (plan := next(self._plans, None)) is not None:
            life = Life(plan, place.server.url, place.model.pen(plan), place.counts, self._end_server)
            self.lives.append(life)
            await live(life)

    def _end_server(self, how: signal.Signals) -> None:
        self._group.create_task(self._restart(how))

    async def _restart(self, how: signal.Signals) -> None:
        async with self._restarting:
            for life in self.lives:
                if not life.is_over:
                    life.endings.append(Ending(life.step, how))
            await self._place.restart(how)


async def _watch(place: Ground, crowd: _Crowd, tell: Tell) -> None:
    while True:
        await asyncio.to_thread(place.weigh)
        tell(place, crowd.lives)
        await asyncio.sleep(WEIGH_SECONDS)


async def _read_again(place: Ground, lives: Sequence[Life]) -> None:
    """Load every conversation from a server that has just started: what it shows can only come from the store."""
    await place.restart(signal.SIGTERM)
    for life in lives:
        if life.transcript:
            await read_again(life)
    await place.end()


def _growth(place: Ground) -> Iterator[str]:
    for pid in {weight.pid for weight in place.weights}:
        own = [weight for weight in place.weights if weight.pid == pid]
        warm = [weight for weight in own if weight.at - own[0].at > WARM_SECONDS]
        if len(warm) > 10:
            half = len(warm) // 2
            early = max(weight.own_bytes for weight in warm[:half])
            late = max(weight.own_bytes for weight in warm[half:])
            if late - early > GROWTH_BYTES:
                yield f"the server grew from {early >> 20} to {late >> 20} MB in {own[-1].at - warm[0].at:.0f} s"
