"""Who is compared: the tutorial's server, and Rill as two kinds of readers see it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.processes import Process
from benchmarks.readers import ReaderSocket, ask_all, open_page, open_tutorial
from benchmarks.upstream import Script

OPENING_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class Contender:
    """One way of being answered: a server and what its readers speak. Its sockets are kept for the next measurement."""

    name: str
    server: Process
    connect: Callable[[str], Awaitable[ReaderSocket]]
    kept: list[ReaderSocket] = field(default_factory=list)

    async def sockets(self, count: int) -> list[ReaderSocket]:
        """Give this many open sockets."""
        turnstile = asyncio.Semaphore(OPENING_AT_ONCE)

        async def open_one() -> ReaderSocket:
            async with turnstile:
                return await self.connect(self.server.url)

        self.kept.extend(await asyncio.gather(*(open_one() for _ in range(count - len(self.kept)))))
        return self.kept[:count]

    def close(self) -> None:
        """Close all sockets."""
        for socket in self.kept:
            socket.close()
        self.kept.clear()

    async def warm_up(self) -> None:
        await ask_all(await self.sockets(5), Script(50, 100), per_second=50)
        self.close()


def all_contenders(baseline: Process, rill: Process) -> Sequence[Contender]:
    """Give all of them, the tutorial first, which the others are compared with."""
    return [
        Contender("tutorial", baseline, open_tutorial),
        Contender("Rill /chat", rill, open_tutorial),
        Contender("Rill page", rill, open_page),
    ]
