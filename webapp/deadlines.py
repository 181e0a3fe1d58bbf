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
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._is_over = False
        self._due = self._next_look = NEVER
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Deadline:
        self._task = asyncio.current_task()
        self._cancelling = self._task.cancelling() if self._task else 0
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        task, self._task = self._task, None  # Which may keep an error, whose traceback leads back here.
        if self._is_over and task is not None:
            is_ours = task.uncancel() <= self._cancelling
            if is_ours and kind is not None and issubclass(kind, asyncio.CancelledError):
                raise TimeoutError from error

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
        if now >= self._due and self._task is not None:
            # At once, while the block still waits: `asyncio.timeout` would do it one turn of the loop later, when what
            # was waited for may have come, and whoever was given it would be cancelled.
            self._is_over = True
            self._task.cancel()
        elif self._due < NEVER:
            self._look_at(self._due)
