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
"""The longest rest of a process that is busy but in time: two of a model's chunks, and no reader sees a difference."""
LATE_REST_SECONDS = 0.25
"""The longest rest of one that is late: as long as text can wait and still seem to flow."""
SHORTEST_REST_SECONDS = 0.04
"""A shorter one would save nothing."""

LOOK_SECONDS = 0.05
DRY_SECONDS = 0.01
"""Who waits longer than this for a piece, and than a loop that is late makes anybody wait, has read all there is."""
BUSY, IDLE = 0.6, 0.3
"""Shares of the time that the event loop works. Resting halves its work: the second has to be half of the first."""
LATE_SECONDS, IN_TIME_SECONDS = 0.02, 0.005
"""How late a timer runs. A loop that is late has more to do than it can do at once."""
NEWEST_LOOK = 0.2
"""What the newest look counts for: beginning a single turn takes as long as hundreds of chunks."""
LONGER, SHORTER = 1.25, 0.97
"""Quickly out of the way, slowly back: from no rest to the longest in half a second, and back in three."""


class Pace:
    """One for all the streams of a process; without any it does nothing. `rest_seconds` is the rest that is due now."""

    def __init__(self) -> None:
        self.rest_seconds = 0.0
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

    async def rest(self, since: float) -> None:
        """Wait until the present rest is over that began at a time of the loop's clock."""
        await asyncio.sleep(max(0.0, since + self.rest_seconds - asyncio.get_running_loop().time()))

    def is_due(self, waited_seconds: float) -> bool:
        """Tell whether to rest after a piece that came after so long: while more is there, it would only pile up."""
        return self.rest_seconds > 0 and waited_seconds > DRY_SECONDS + 2 * self._late

    def together(self, texts: Sequence[str]) -> Sequence[str]:
        """Make one of texts that were taken together, where that saves time which the process has not."""
        return ["".join(texts)] if self.rest_seconds and len(texts) > 1 else texts

    def note(self, busy: float, late_seconds: float) -> None:
        """Take in what share of the time the loop worked since the last look, and how late it was."""
        self._busy += (busy - self._busy) * NEWEST_LOOK
        self._late += (late_seconds - self._late) * NEWEST_LOOK
        if self._late >= LATE_SECONDS:
            self._grow(LATE_REST_SECONDS)
        elif self._busy >= BUSY:
            self._grow(BUSY_REST_SECONDS)
        elif self._busy <= IDLE and self._late <= IN_TIME_SECONDS:
            shorter = self.rest_seconds * SHORTER
            self.rest_seconds = shorter if shorter >= SHORTEST_REST_SECONDS else 0.0

    def _grow(self, longest: float) -> None:
        if self.rest_seconds < longest:
            self.rest_seconds = min(max(self.rest_seconds * LONGER, SHORTEST_REST_SECONDS), longest)

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
            self.rest_seconds = 0.0
