"""A reader's conversations as a list, in a SQL database: paged, titled, pinned, archived, searched."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, Text, and_, bindparam, delete, exists, func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from webapp.domain import ConversationId, Hit, ListedConversation, Listing, Place, ReaderId, TurnState
from webapp.errors import ConversationNotFound
from webapp.stores import Shelf
from webapp.stores.database import Database, to_its_end
from webapp.stores.search import TITLE, has_words, keep_searchable
from webapp.stores.tables import UTCDateTime, conversations, is_running, messages, search_texts
from webapp.stores.words import SEARCHED_CHARS, terms_of

c = conversations.c
is_there = c.deleted_at.is_(None)
latest_first = (c.updated_at.desc(), c.id.desc())


class SqlCatalog:
    """See `webapp.stores.Catalog`."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @to_its_end
    async def page(
        self, owner: ReaderId, shelf: Shelf, limit: int, after: Place | None = None
    ) -> Sequence[ListedConversation]:
        query, values = _pages[shelf], {"owner": owner, "limit": limit}
        if after is not None:
            query, values = query.where(_comes_after), {**values, "moment": after.updated_at, "id": after.id}
        async with self.database.reading() as connection:
            return [_as_listed(row) for row in await connection.execute(query, values)]

    @to_its_end
    async def beginning(self, owner: ReaderId, most_pinned: int, size: int) -> Listing:
        async with self.database.reading() as connection:
            moment: datetime | None = await connection.scalar(_latest_change, {"owner": owner})
            if moment is None:
                return Listing()
            pinned = await connection.execute(_pages[Shelf.PINNED], {"owner": owner, "limit": most_pinned})
            recent = await connection.execute(_pages[Shelf.RECENT], {"owner": owner, "limit": size + 1})
        first, rest = tuple(map(_as_listed, pinned)), tuple(map(_as_listed, recent))
        return Listing(first, rest[:size], len(rest) > size, _version(moment))

    @to_its_end
    async def find(self, owner: ReaderId, conversation_id: ConversationId) -> ListedConversation:
        async with self.database.reading() as connection:
            return await _one(connection, owner, conversation_id)

    @to_its_end
    async def neighbour(
        self, owner: ReaderId, conversation_id: ConversationId, *, is_newer: bool
    ) -> ListedConversation | None:
        async with self.database.reading() as connection:
            place = (await _one(connection, owner, conversation_id)).place
            query = _listed().where(c.owner == owner, is_there, c.archived_at.is_(None)).limit(1)
            here = tuple_(c.updated_at, c.id), tuple_(place.updated_at, place.id)
            if is_newer:
                query = query.where(here[0] > here[1]).order_by(c.updated_at, c.id)
            else:
                query = query.where(here[0] < here[1]).order_by(*latest_first)
            row = (await connection.execute(query)).one_or_none()
            return None if row is None else _as_listed(row)

    @to_its_end
    async def version(self, owner: ReaderId) -> int:
        async with self.database.reading() as connection:
            moment: datetime | None = await connection.scalar(_latest_change, {"owner": owner})
        return 0 if moment is None else _version(moment)

    @to_its_end
    async def rename(self, owner: ReaderId, conversation_id: ConversationId, title: str) -> ListedConversation:
        async with self.database.writing() as connection:
            return await self._rename(connection, owner, conversation_id, title, "reader")

    @to_its_end
    async def entitle(self, owner: ReaderId, conversation_id: ConversationId, title: str) -> ListedConversation | None:
        async with self.database.writing() as connection:
            of_prompt = (c.id == conversation_id, c.owner == owner, c.titled_by == "prompt", is_there)
            if await connection.scalar(select(c.id).where(*of_prompt).with_for_update()) is None:
                return None
            return await self._rename(connection, owner, conversation_id, title, "model")

    @to_its_end
    async def pin(self, owner: ReaderId, conversation_id: ConversationId, *, is_on: bool) -> ListedConversation:
        return await self._set(owner, conversation_id, pinned_at=self.database.now() if is_on else None)

    @to_its_end
    async def archive(self, owner: ReaderId, conversation_id: ConversationId, *, is_on: bool) -> ListedConversation:
        return await self._set(owner, conversation_id, archived_at=self.database.now() if is_on else None)

    @to_its_end
    async def delete(self, owner: ReaderId, conversation_id: ConversationId) -> ListedConversation:
        return await self._set(owner, conversation_id, deleted_at=self.database.now())

    @to_its_end
    async def restore(self, owner: ReaderId, conversation_id: ConversationId) -> ListedConversation:
        async with self.database.writing() as connection:
            own = (c.id == conversation_id, c.owner == owner)
            values = {"deleted_at": None, "listed_at": self.database.now()}
            await connection.execute(update(conversations).where(*own).values(values))
            return await _one(connection, owner, conversation_id)

    @to_its_end
    async def purge(self, deleted_before: datetime) -> int:
        async with self.database.writing() as connection:
            gone = delete(conversations).where(c.deleted_at.is_not(None), c.deleted_at < deleted_before)
            return (await connection.execute(gone)).rowcount

    @to_its_end
    async def expire(self, owners: str, before: datetime) -> int:
        is_theirs, is_over = c.owner.startswith(owners, autoescape=True), c.updated_at < before
        is_answered = ~exists().where(messages.c.conversation_id == c.id, is_running)
        async with self.database.writing() as connection:
            gone = delete(conversations).where(is_theirs, is_over, is_answered)
            return (await connection.execute(gone)).rowcount

    @to_its_end
    async def search(self, owner: ReaderId, query: str, limit: int, after: Place | None = None) -> Sequence[Hit]:
        terms = terms_of(query)
        if not terms:
            return []
        async with self.database.reading() as connection:
            newest = func.max(search_texts.c.number).label("number")
            found = (
                select(search_texts.c.conversation_id, newest)
                .where(has_words(connection, owner, terms))
                .group_by(search_texts.c.conversation_id)
                .subquery()
            )
            text = func.coalesce(func.substr(_hit.c.text, 1, SEARCHED_CHARS), "").label("text")
            values: dict[str, object] = {}
            hits = (
                _listed(found.c.number, text)
                .join(found, found.c.conversation_id == c.id)
                .outerjoin(_hit, and_(_hit.c.conversation_id == c.id, _hit.c.number == found.c.number))
                .where(c.owner == owner, is_there)
                .order_by(*latest_first)
                .limit(limit)
            )
            if after is not None:
                hits, values = hits.where(_comes_after), {"moment": after.updated_at, "id": after.id}
            return [Hit(_as_listed(row), row.number, row.text) for row in await connection.execute(hits, values)]

    async def _rename(
        self, connection: AsyncConnection, owner: ReaderId, conversation_id: ConversationId, title: str, by: str
    ) -> ListedConversation:
        listed = await self._change(connection, owner, conversation_id, title=title, titled_by=by)
        await keep_searchable(connection, owner, conversation_id, TITLE, title)
        return listed

    async def _set(
        self, owner: ReaderId, conversation_id: ConversationId, **values: datetime | None
    ) -> ListedConversation:
        async with self.database.writing() as connection:
            return await self._change(connection, owner, conversation_id, **values)

    async def _change(
        self, connection: AsyncConnection, owner: ReaderId, conversation_id: ConversationId, **values: object
    ) -> ListedConversation:
        await _one(connection, owner, conversation_id)
        statement = update(conversations).where(c.id == conversation_id)
        await connection.execute(statement.values(listed_at=self.database.now(), **values))
        return await listed_anywhere(connection, conversation_id)


async def listed_anywhere(connection: AsyncConnection, conversation_id: ConversationId) -> ListedConversation:
    """Give a conversation that is there, whoever owns it and whether or not it was deleted."""
    return _as_listed((await connection.execute(_anywhere, {"conversation": conversation_id})).one())


_head = messages.alias("head")
_hit = messages.alias("hit")


def _listed(*more: ColumnElement[Any]) -> Select[Any]:
    """Select what a list shows of conversations."""
    running = and_(_head.c.conversation_id == c.id, _head.c.number == c.head, _head.c.state == TurnState.RUNNING)
    shown = (c.id, c.owner, c.title, c.updated_at, c.pinned_at, c.archived_at, c.deleted_at)
    return select(*shown, _head.c.number.label("running"), *more).select_from(conversations).outerjoin(_head, running)


def _version(latest_change: datetime) -> int:
    return int(latest_change.timestamp() * 1_000_000)


def _on(shelf: Shelf) -> Sequence[ColumnElement[bool]]:
    match shelf:
        case Shelf.PINNED:
            return (is_there, c.archived_at.is_(None), c.pinned_at.is_not(None))
        case Shelf.RECENT:
            return (is_there, c.archived_at.is_(None), c.pinned_at.is_(None))
        case Shelf.ARCHIVED:
            return (is_there, c.archived_at.is_not(None))


async def _one(connection: AsyncConnection, owner: ReaderId, conversation_id: ConversationId) -> ListedConversation:
    row = (await connection.execute(_own, {"conversation": conversation_id, "owner": owner})).one_or_none()
    if row is None:
        raise ConversationNotFound
    return _as_listed(row)


def _as_listed(row: Row[Any]) -> ListedConversation:
    return ListedConversation(
        row.id,
        row.owner,
        row.title,
        row.updated_at,
        is_running=row.running is not None,
        is_pinned=row.pinned_at is not None,
        is_archived=row.archived_at is not None,
        is_deleted=row.deleted_at is not None,
    )


# Made once: putting such a query together costs as much as running it, and every page asks for these.
_owners = c.owner == bindparam("owner")
_this = c.id == bindparam("conversation")
_pages = {
    shelf: _listed().where(_owners, *_on(shelf)).order_by(*latest_first).limit(bindparam("limit")) for shelf in Shelf
}
_comes_after = tuple_(c.updated_at, c.id) < tuple_(bindparam("moment", type_=UTCDateTime), bindparam("id", type_=Text))
_latest_change = select(func.max(c.listed_at)).where(_owners)
_own = _listed().where(_this, _owners, is_there)
_anywhere = _listed().where(_this)
