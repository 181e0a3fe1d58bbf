"""Conversations that anybody with a link may read, in a SQL database."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any

from sqlalchemy import Row, Select, delete, select

from webapp.domain import Conversation, ConversationId, ReaderId, Share, ShareToken
from webapp.errors import ConversationNotFound, ShareNotFound, TurnRunning
from webapp.stores.database import Database, insert_or, to_its_end
from webapp.stores.reading import find, locked_row, one_row, owned, with_branch
from webapp.stores.tables import conversations, shares

_TOKEN_BYTES = 16  # 128 random bits: a link is as good as a password.


class SqlShares:
    """See `webapp.stores.ShareStore`."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @to_its_end
    async def share(self, owner: ReaderId, conversation_id: ConversationId) -> Share:
        async with self.database.writing() as connection:
            row = await locked_row(connection, owner, conversation_id)
            head = await find(connection, row.id, row.head)
            if head is not None and head.is_running:
                raise TurnRunning
            shown = {"title": row.title, "head": row.head, "shared_at": self.database.now()}
            first = {"conversation_id": row.id, "token": secrets.token_urlsafe(_TOKEN_BYTES), **shown}
            keep = insert_or(shares, connection).values(first)
            await connection.execute(keep.on_conflict_do_update(index_elements=["conversation_id"], set_=shown))
            return _as_share((await connection.execute(_of(row.id))).one())

    @to_its_end
    async def find(self, owner: ReaderId, conversation_id: ConversationId) -> Share | None:
        async with self.database.reading() as connection:
            await one_row(connection, owned(owner, conversation_id))
            found = (await connection.execute(_of(conversation_id))).one_or_none()
        return None if found is None else _as_share(found)

    @to_its_end
    async def take_back(self, owner: ReaderId, conversation_id: ConversationId) -> None:
        async with self.database.writing() as connection:
            row = await locked_row(connection, owner, conversation_id)
            await connection.execute(delete(shares).where(shares.c.conversation_id == row.id))

    @to_its_end
    async def conversation(self, token: ShareToken) -> tuple[Share, Conversation]:
        async with self.database.reading() as connection:
            share = (await connection.execute(select(shares).where(shares.c.token == token))).one_or_none()
            if share is None:
                raise ShareNotFound
            shared = (conversations.c.id == share.conversation_id, conversations.c.deleted_at.is_(None))
            try:
                row = await one_row(connection, select(conversations).where(*shared))
            except ConversationNotFound as error:
                raise ShareNotFound from error
            conversation = await with_branch(connection, row, head=share.head)
        return _as_share(share), replace(conversation, title=share.title)


def _of(conversation_id: ConversationId) -> Select[Any]:
    return select(shares).where(shares.c.conversation_id == conversation_id)


def _as_share(row: Row[Any]) -> Share:
    return Share(ShareToken(row.token), row.conversation_id, row.title, row.shared_at)
