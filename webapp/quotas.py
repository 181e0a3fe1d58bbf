"""How much may be asked in an embed: prompts and tokens by the hour and the day, and replies at once.

The counts are this process's own, and begin anew when it does.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from limits import RateLimitItem, RateLimitItemPerDay, RateLimitItemPerHour
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from webapp import errors
from webapp.domain import ReaderId
from webapp.embeds import Embed

REMEMBERED_REQUESTS = 10_000

Window = tuple[RateLimitItem, str]
"""A limit, and whose count it is for."""


class Quotas:
    """Counts what embeds are asked."""

    def __init__(self) -> None:
        self._windows = FixedWindowRateLimiter(MemoryStorage())
        self._beginning: list[tuple[ReaderId, str | None]] = []
        # The newest sendings that began a turn: who sends the same again, because no answer came, is let on to it.
        self._begun: OrderedDict[tuple[ReaderId, str], None] = OrderedDict()

    @contextmanager
    def taken(
        self,
        embed: Embed,
        reader: ReaderId,
        running: Callable[[str], int],
        sending: str | None = None,
    ) -> Iterator[None]:
        """Count the turn that begins within this; one that does not begin is not counted. Raises `QuotaReached`.

        `running` tells how many replies are being written to readers whose ids begin so. `sending` names one sending of
        one prompt, of which the store keeps one however often it comes.
        """
        if sending is not None and ((reader, sending) in self._begun or (reader, sending) in self._beginning):
            yield
            return
        self._require_room(embed, reader, running)
        self._beginning.append((reader, sending))
        try:
            yield
        finally:
            self._beginning.remove((reader, sending))
        for item, whose in _prompts(embed, reader):
            self._windows.hit(item, "prompts", whose)
        if sending is not None:
            self._begun[reader, sending] = None
            if len(self._begun) > REMEMBERED_REQUESTS:
                self._begun.popitem(last=False)

    def _require_room(self, embed: Embed, reader: ReaderId, running: Callable[[str], int]) -> None:
        limits = embed.limits
        for limit, whose in ((limits.visitor_running, reader), (limits.running, embed.owner_prefix)):
            if limit and running(whose) + self._count_beginning(whose) >= limit:
                raise errors.QuotaReached
        for item, whose in _tokens(embed, reader):
            self._require_left(item, "tokens", whose, 1)
        for item, whose in _prompts(embed, reader):
            # Those that begin just now are counted when they have.
            self._require_left(item, "prompts", whose, 1 + self._count_beginning(whose))

    def _count_beginning(self, whose: str) -> int:
        return sum(reader.startswith(whose) for reader, _ in self._beginning)

    def _require_left(self, item: RateLimitItem, kind: str, whose: str, cost: int) -> None:
        if not self._windows.test(item, kind, whose, cost=cost):
            raise errors.QuotaReached(self._minutes(item, kind, whose))

    def count(self, embed: Embed, reader: ReaderId, tokens: int) -> None:
        """Count what a reply took; it is written by then, so that the last one may go beyond the limit."""
        for item, whose in _tokens(embed, reader):
            self._windows.hit(item, "tokens", whose, cost=tokens)

    def _minutes(self, item: RateLimitItem, *whose: str) -> int:
        stats = self._windows.get_window_stats(item, *whose)
        return max(1, math.ceil((stats.reset_time - time.time()) / 60))


def _prompts(embed: Embed, reader: ReaderId) -> Sequence[Window]:
    limits = embed.limits
    return [
        *_windows(limits.visitor_prompts_per_hour, limits.visitor_prompts_per_day, reader),
        *_windows(limits.prompts_per_hour, limits.prompts_per_day, embed.owner_prefix),
    ]


def _tokens(embed: Embed, reader: ReaderId) -> Sequence[Window]:
    limits = embed.limits
    return [
        *_windows(limits.visitor_tokens_per_hour, limits.visitor_tokens_per_day, reader),
        *_windows(limits.tokens_per_hour, limits.tokens_per_day, embed.owner_prefix),
    ]


def _windows(per_hour: int, per_day: int, whose: str) -> list[Window]:
    hour = [(RateLimitItemPerHour(per_hour), whose)] if per_hour else []
    return hour + ([(RateLimitItemPerDay(per_day), whose)] if per_day else [])
