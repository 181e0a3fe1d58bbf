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
from webapp.domain import ReaderId, RequestId
from webapp.embeds import Embed

REMEMBERED_REQUESTS = 10_000

Window = tuple[RateLimitItem, str]
"""A limit, and whose count it is for."""


class Quotas:
    """Counts what embeds are asked."""

    def __init__(self) -> None:
        self._windows = FixedWindowRateLimiter(MemoryStorage())
        self._beginning: list[ReaderId] = []
        # The newest requests that began a turn: whoever sends one again, because no answer came, is let on to it.
        self._begun: OrderedDict[tuple[ReaderId, RequestId], None] = OrderedDict()

    @contextmanager
    def taken(
        self,
        embed: Embed,
        reader: ReaderId,
        running: Callable[[str], int],
        request_id: RequestId | None = None,
    ) -> Iterator[None]:
        """Count the turn that begins within this; one that does not begin is not counted. Raises `QuotaReached`.

        `running` tells how many replies are being written to readers whose ids begin so.
        """
        if request_id is not None and (reader, request_id) in self._begun:
            yield
            return
        self._require_room(embed, reader, running)
        self._beginning.append(reader)
        try:
            yield
        finally:
            self._beginning.remove(reader)
        for item, whose in _prompts(embed, reader):
            self._windows.hit(item, "prompts", whose)
        if request_id is not None:
            self._begun[reader, request_id] = None
            if len(self._begun) > REMEMBERED_REQUESTS:
                self._begun.popitem(last=False)

    def _require_room(self, embed: Embed, reader: ReaderId, running: Callable[[str], int]) -> None:
        limits = embed.limits
        for limit, whose in ((limits.visitor_running, reader), (limits.running, embed.owner_prefix)):
            if limit and running(whose) + sum(each.startswith(whose) for each in self._beginning) >= limit:
                raise errors.QuotaReached
        for kind, windows in (("tokens", _tokens(embed, reader)), ("prompts", _prompts(embed, reader))):
            for item, whose in windows:
                if not self._windows.test(item, kind, whose):
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
