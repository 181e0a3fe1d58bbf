"""What carries a conversation's feed from the turn that makes it to the readers who follow it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from webapp.domain import ConversationId, Fragment, ListNews, Position, ReaderId


class Lagged(Exception):
    """The reader was too slow, or asked for a place that is no longer kept: a snapshot is needed."""


class Subscription(Protocol):
    """One reader's place in one feed. Use it in a `with` block, which ends it."""

    async def next(self) -> Sequence[Fragment | ListNews]:
        """Wait until there is something to read, then give all of it, in order, each once.

        Raises `Lagged` once when fragments were dropped; the subscription goes on after it with what comes next.
        """

    def __enter__(self) -> Subscription: ...

    def __exit__(self, *exc_info: object) -> None: ...


class Broker(Protocol):
    """What any broker promises: order within a conversation, bounded memory, no waiting publisher."""

    def publish(self, conversation_id: ConversationId, fragment: Fragment) -> None:
        """Hand a fragment to every present subscription. Never waits, whoever reads slowly."""

    def announce(self, reader: ReaderId, news: ListNews) -> None:
        """Hand news of a reader's list to all present subscriptions that asked for them. Never waits."""

    def subscribe(
        self, conversation_id: ConversationId | None, after: Position | None = None, *, reader: ReaderId | None = None
    ) -> Subscription:
        """Follow a feed from now on, or from just after a position; with `reader`, the news of that reader's list too.

        With `after`, the fragments of the running turn that come later are given first; when they are no longer all
        kept, the first `next` raises `Lagged`.
        """
