"""Time limits that are cheap to move, for what waits many times a second."""

from __future__ import annotations

import asyncio
from types import TracebackType

NEVER = float("inf")


class Deadline:
    """Ends its block with `TimeoutError`, as `asyncio.timeout` does, once a time that was set is over.

    To set, to move or to clear that time is an assignment; `asyncio.timeout` costs more than reading a chunk. A timer
    looks at it when the earliest time that was set is over.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout = asyncio.timeout(None)
        self._due = self._next_look = NEVER
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Deadline:
        await self._timeout.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._timeout.__aexit__(kind, error, traceback)

    def allow(self, seconds: float) -> None:
        """Let what is waited for take this long from now on."""
        self.set(self._loop.time() + seconds)

    def set(self, due: float) -> None:
        """End the block at a time of the loop's clock."""
        self._due = due
        if due < self._next_look:
            self._look_at(due)

    def clear(self) -> None:
        """Let the block take its time."""
        self._due = NEVER

    def _look_at(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._next_look = self._loop.call_at(due, self._look), due

    def _look(self) -> None:
        self._timer, self._next_look = None, NEVER
        now = self._loop.time()
        if now >= self._due:
            self._timeout.reschedule(now)
        elif self._due < NEVER:
            self._look_at(self._due)
