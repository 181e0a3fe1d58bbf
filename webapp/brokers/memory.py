"""The broker of a single process: feeds are lists in memory, and publishing is a few appends.

Bounds: a feed keeps the running turn's fragments up to `KEPT_BYTES`, for readers who resume by position; a subscription
keeps what its reader has not fetched yet up to `WAITING_BYTES`. Beyond either, the reader is told that it lagged.
Readers wait for hours, and most feeds are idle: neither a feed nor a subscription then keeps more than its place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from webapp.brokers import Lagged
from webapp.domain import ConversationId, Fragment, FragmentKind, ListNews, Position, ReaderId

KEPT_BYTES = 49_152
"""Some seconds of a reply: a lost packet, a change of networks. After a longer absence a snapshot is as small."""
FRAGMENT_BYTES = 400
"""What a fragment takes besides its HTML."""
WAITING_BYTES = 262_144
NEWS_BYTES = 1_000
"""More than news of a list take, with the longest title."""


class MemorySubscription:
    """One reader's queue; see `webapp.brokers.Subscription`."""

    def __init__(
        self, broker: MemoryBroker, feed: _Feed | None, reader: ReaderId | None, backlog: Sequence[Fragment] | None
    ) -> None:
        self._broker, self._feed, self._reader = broker, feed, reader
        self._waiting: list[Fragment | ListNews] = list(backlog or ())
        self._waiting_bytes = 0
        self._has_lagged = backlog is None
        self._wake: asyncio.Future[None] | None = None

    def put(self, item: Fragment | ListNews) -> None:
        self._waiting.append(item)
        self._waiting_bytes += NEWS_BYTES if isinstance(item, ListNews) else len(item.html)
        if self._waiting_bytes > WAITING_BYTES:
            # Nothing is worth keeping once a snapshot is due, and the snapshot will cover it all.
            self._clear()
            self._has_lagged = True
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def next(self) -> Sequence[Fragment | ListNews]:
        if not self._waiting and not self._has_lagged:
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        if self._has_lagged:
            self._has_lagged = False
            self._clear()
            raise Lagged
        waiting = self._waiting
        self._clear()
        return waiting

    def _clear(self) -> None:
        self._waiting, self._waiting_bytes = [], 0

    def __enter__(self) -> MemorySubscription:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._feed is not None:
            self._feed.subscriptions.discard(self)
            self._feed.drop_if_idle()
        if self._reader is not None:
            self._broker.forget(self._reader, self)


class _Feed:
    """The present subscriptions of one conversation, and its running turn's fragments."""

    def __init__(self, feeds: dict[ConversationId, _Feed], conversation_id: ConversationId) -> None:
        self._feeds, self._conversation_id = feeds, conversation_id
        self.subscriptions: set[MemorySubscription] = set()
        self._kept: list[Fragment] = []
        self._kept_bytes = 0
        self._is_running = False

    def publish(self, fragment: Fragment) -> None:
        self._is_running = fragment.kind not in {FragmentKind.ENDED, FragmentKind.SWITCHED}
        if fragment.kind is FragmentKind.BEGAN or not self._is_running:
            self._kept, self._kept_bytes = [], 0
        self._keep(fragment)
        for subscription in self.subscriptions:
            subscription.put(fragment)
        self.drop_if_idle()

    def after(self, position: Position | None) -> Sequence[Fragment] | None:
        """Give the kept fragments after a position; `None` when some of them are not kept."""
        if position is None:
            return ()
        if not self._kept or position < self._whole_from():
            return None
        return [fragment for fragment in self._kept if fragment.position > position]

    def _whole_from(self) -> Position:
        """The earliest position after which nothing is missing here."""
        first = self._kept[0]
        return Position(first.position.turn, -1) if first.kind is FragmentKind.BEGAN else first.position

    def drop_if_idle(self) -> None:
        if not self.subscriptions and not self._is_running:
            self._feeds.pop(self._conversation_id, None)

    def _keep(self, fragment: Fragment) -> None:
        self._kept.append(fragment)
        self._kept_bytes += len(fragment.html) + FRAGMENT_BYTES
        if self._kept_bytes > KEPT_BYTES:
            # Half of them at once: one by one, each would move all the others.
            self._kept = self._kept[len(self._kept) // 2 :]
            self._kept_bytes = sum(len(fragment.html) + FRAGMENT_BYTES for fragment in self._kept)


class MemoryBroker:
    """See `webapp.brokers.Broker`."""

    def __init__(self) -> None:
        self._feeds: dict[ConversationId, _Feed] = {}
        self._readers: dict[ReaderId, list[MemorySubscription]] = {}

    def publish(self, conversation_id: ConversationId, fragment: Fragment) -> None:
        self._feed(conversation_id).publish(fragment)

    def announce(self, reader: ReaderId, news: ListNews) -> None:
        for subscription in self._readers.get(reader, ()):
            subscription.put(news)

    def subscribe(
        self, conversation_id: ConversationId | None, after: Position | None = None, *, reader: ReaderId | None = None
    ) -> MemorySubscription:
        feed = None if conversation_id is None else self._feed(conversation_id)
        subscription = MemorySubscription(self, feed, reader, feed.after(after) if feed else ())
        if feed is not None:
            feed.subscriptions.add(subscription)
        if reader is not None:
            self._readers.setdefault(reader, []).append(subscription)
        return subscription

    def forget(self, reader: ReaderId, subscription: MemorySubscription) -> None:
        """Hand no more news of a reader's list to a subscription."""
        present = self._readers[reader]
        present.remove(subscription)
        if not present:
            del self._readers[reader]

    def _feed(self, conversation_id: ConversationId) -> _Feed:
        feed = self._feeds.get(conversation_id)
        if feed is None:
            feed = self._feeds[conversation_id] = _Feed(self._feeds, conversation_id)
        return feed
