"""The list of a reader's conversations, as it is now and as it changes.

Whatever changes a list is announced to all open pages of that reader (see `webapp.brokers`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import structlog

from webapp import errors
from webapp.brokers import Broker
from webapp.domain import ConversationId, ListChange, ListedConversation, Listing, ListNews, ReaderId
from webapp.languages import gettext as _
from webapp.languages import number
from webapp.stores import Catalog, VisitorStore, Workshop
from webapp.text import one_line

log = structlog.get_logger()

PAGE_SIZE = 40
"""More than fits beside a conversation, so that few readers ever ask for more."""
MAX_PINNED = 100
MAX_TITLE_CHARS = 200
UNDO_SECONDS = 3600.0
"""How long a deletion can be undone; after that nothing of the conversation is kept."""
DRAFT_DAYS = 30
"""How long a draft is kept that nobody goes on with."""
PURGE_SECONDS = 60.0


class Lists:
    """Reads and changes the lists of all readers. Methods raise as those of `Catalog` do.

    `lifetimes` tells how long conversations are kept, by what their owners' ids begin with; all others are for ever.
    """

    def __init__(
        self,
        catalog: Catalog,
        workshop: Workshop,
        broker: Broker,
        visitors: VisitorStore | None = None,
        lifetimes: Callable[[], Mapping[str, timedelta]] = dict,
    ) -> None:
        self.catalog, self._workshop, self._broker = catalog, workshop, broker
        self._visitors, self._lifetimes = visitors, lifetimes
        self._purger: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to purge what was deleted, and drafts that nobody goes on with."""
        self._purger = asyncio.create_task(self._purge(), name="purge")

    async def close(self) -> None:
        if self._purger is not None:
            self._purger.cancel()
            await asyncio.wait([self._purger])

    async def listing(self, reader: ReaderId) -> Listing:
        """Give the beginning of a reader's list."""
        return await self.catalog.beginning(reader, MAX_PINNED, PAGE_SIZE)

    async def changed_since(self, reader: ReaderId, version: int) -> Listing | None:
        """Give the beginning of a reader's list, unless it is of that version still."""
        return None if await self.catalog.version(reader) == version else await self.listing(reader)

    async def rename(self, reader: ReaderId, conversation_id: ConversationId, title: str) -> None:
        """Give a conversation the reader's own title. Raises `TitleRefused`."""
        title = one_line(title)
        if not title:
            raise errors.TitleRefused(_("A title needs at least one letter."))
        if len(title) > MAX_TITLE_CHARS:
            raise errors.TitleRefused(
                _(
                    "A title can have %(limit)s characters; this one has %(length)s.",
                    limit=MAX_TITLE_CHARS,
                    length=number(len(title)),
                )
            )
        self._announce(ListChange.CHANGED, await self.catalog.rename(reader, conversation_id, title))

    async def entitle(self, reader: ReaderId, conversation_id: ConversationId, title: str) -> None:
        """Give a conversation the model's title, unless it has one that is more than its first words."""
        if (listed := await self.catalog.entitle(reader, conversation_id, title)) is not None:
            self._announce(ListChange.CHANGED, listed)

    async def pin(self, reader: ReaderId, conversation_id: ConversationId, *, is_on: bool) -> None:
        self._announce(ListChange.MOVED, await self.catalog.pin(reader, conversation_id, is_on=is_on))

    async def archive(self, reader: ReaderId, conversation_id: ConversationId, *, is_on: bool) -> None:
        self._announce(ListChange.MOVED, await self.catalog.archive(reader, conversation_id, is_on=is_on))

    async def delete(self, reader: ReaderId, conversation_id: ConversationId) -> None:
        self._announce(ListChange.MOVED, await self.catalog.delete(reader, conversation_id))

    async def restore(self, reader: ReaderId, conversation_id: ConversationId) -> None:
        self._announce(ListChange.MOVED, await self.catalog.restore(reader, conversation_id))

    def _announce(self, change: ListChange, listed: ListedConversation) -> None:
        self._broker.announce(listed.owner, ListNews(change, listed))

    async def _purge(self) -> None:
        while True:
            try:
                now = datetime.now(UTC)
                gone = await self.catalog.purge(now - timedelta(seconds=UNDO_SECONDS))
                await self._workshop.purge_drafts(now - timedelta(days=DRAFT_DAYS))
                for owners, lifetime in self._lifetimes().items():
                    gone += await self.catalog.expire(owners, now - lifetime)
                    if self._visitors is not None:
                        await self._visitors.forget(owners, now - lifetime)
            except errors.StoreUnavailable as error:
                log.warning("conversations.not_purged", detail=error.detail)
            else:
                if gone:
                    log.info("conversations.purged", count=gone)
            await asyncio.sleep(PURGE_SECONDS)
