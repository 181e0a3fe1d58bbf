"""How long to leave a model's chunks on the network: not at all while the process has time, longer while it has not.

What costs is not the chunk but the wake-up: reading, publishing and sending cost about the same for one chunk as for
several. A process that is busy takes several at once, and a reader sees steps that are a little longer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

BUSY_REST_SECONDS = 0.1
"""The longest rest of a process that is busy but in time: most often two chunks of a model, and no reader sees it."""
LATE_REST_SECONDS = 0.25
"""The longest rest of one that is late: as long as text can wait and still seem to flow."""
SHORTEST_REST_SECONDS = 0.02
"""A shorter one would save nothing."""
LONG_PIECE_BYTES = 8_192
"""Where this much comes at once, more is there: leaving it would only pile it up."""

LOOK_SECONDS = 0.05
BUSY = 0.7
"""The share of the time that the event loop may work. Rests grow above it and shrink below it, until they fit."""
LATE_SECONDS, IN_TIME_SECONDS = 0.02, 0.005
"""How late a timer runs. A loop that is late has more to do than it can do at once."""
NEWEST_LOOK = 0.2
"""What the newest look counts for: beginning a single turn takes as long as hundreds of chunks."""
STEP_SECONDS = 0.025
"""How much longer or shorter a rest gets with each look, times how far the share is from its goal."""
LATE_STEP_SECONDS = 0.01


class Pace:
    """One for all the streams of a process; without any it does nothing."""

    def __init__(self) -> None:
        self._rest = 0.0
        self._streams = 0
        self._timer: asyncio.TimerHandle | None = None
        self._looked_at = self._worked = 0.0
        self._busy = self._late = 0.0

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

    @property
    def rest_seconds(self) -> float:
        """The rest that is due now; 0 while the process has time."""
        return self._rest if self._rest >= SHORTEST_REST_SECONDS else 0.0

    async def rest(self, since: float) -> None:
        """Wait until the present rest is over that began at a time of the loop's clock."""
        await asyncio.sleep(max(0.0, since + self._rest - asyncio.get_running_loop().time()))

    def is_due(self, piece_bytes: int) -> bool:
        """Tell whether to rest after a piece of this length was read."""
        return self._rest >= SHORTEST_REST_SECONDS and piece_bytes < LONG_PIECE_BYTES

    def together(self, texts: Sequence[str]) -> Sequence[str]:
        """Make one of texts that were taken together, where that saves time which the process has not."""
        return ["".join(texts)] if len(texts) > 1 and self.rest_seconds else texts

    def note(self, busy: float, late_seconds: float) -> None:
        """Take in what share of the time the loop worked since the last look, and how late it was."""
        self._busy += (busy - self._busy) * NEWEST_LOOK
        self._late += (late_seconds - self._late) * NEWEST_LOOK
        if self._late >= LATE_SECONDS:
            self._rest = min(self._rest + LATE_STEP_SECONDS, LATE_REST_SECONDS)
        elif self._rest <= BUSY_REST_SECONDS:
            self._rest = min(max(0.0, self._rest + (self._busy - BUSY) * STEP_SECONDS), BUSY_REST_SECONDS)
        elif self._late <= IN_TIME_SECONDS:
            self._rest = max(self._rest - LATE_STEP_SECONDS, BUSY_REST_SECONDS)

    def _look_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._looked_at, self._worked = loop.time(), time.thread_time()
        self._timer = loop.call_at(self._looked_at + LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._timer = None
        passed = asyncio.get_running_loop().time() - self._looked_at
        self.note((time.thread_time() - self._worked) / passed, passed - LOOK_SECONDS)
        if self._streams:
            self._look_later()
        else:
            self._rest = 0.0
