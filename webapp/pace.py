"""How long to leave a model's chunks on the network: not at all while the event loop keeps up, longer while it is late.

What costs is not the chunk but the wake-up: reading, publishing and sending cost about the same for one chunk as for
several. A server that is late saves itself by taking several at once, and a reader sees steps that are a little longer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

SHORTEST_SECONDS = 0.04
"""The first rest, which is as long as a reply gathers between two fragments anyway."""
LONGEST_SECONDS = 0.25
"""As long as text can wait and still seem to flow."""

LOOK_SECONDS = 0.05
LATE_SECONDS = 0.02
"""A loop that runs a timer this late has more to do than it can do at once."""
IN_TIME_SECONDS = 0.005
LONGER, SHORTER = 1.25, 0.97
"""Quickly out of the way, slowly back: from the first rest to the longest in half a second, back in three."""


class Pace:
    """One for all the streams of a process. While there are none, it does nothing."""

    def __init__(self) -> None:
        self.rest_seconds = 0.0
        self._streams = 0
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Watch the event loop while the block runs."""
        self._streams += 1
        if self._timer is None:
            self._look_later()
        try:
            yield
        finally:
            self._streams -= 1

    async def rest(self, since: float) -> None:
        """Wait until the present rest is over that began at a time of the loop's clock."""
        seconds = since + self.rest_seconds - asyncio.get_running_loop().time()
        if seconds > 0:
            await asyncio.sleep(seconds)

    def note(self, lag_seconds: float) -> None:
        """Take in how late the loop was."""
        if lag_seconds >= LATE_SECONDS:
            self.rest_seconds = min(max(self.rest_seconds * LONGER, SHORTEST_SECONDS), LONGEST_SECONDS)
        elif lag_seconds <= IN_TIME_SECONDS:
            shorter = self.rest_seconds * SHORTER
            self.rest_seconds = shorter if shorter >= SHORTEST_SECONDS else 0.0

    def _look_later(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + LOOK_SECONDS
        self._timer = loop.call_at(due, self._look, due)

    def _look(self, due: float) -> None:
        self._timer = None
        self.note(asyncio.get_running_loop().time() - due)
        if self._streams:
            self._look_later()
        else:
            self.rest_seconds = 0.0
