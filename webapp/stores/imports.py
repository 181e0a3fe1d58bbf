"""Conversations that readers bring along, stored as if they had been held here."""

from __future__ import annotations

from dataclasses import asdict

from sqlalchemy import insert, select

from webapp.domain import ImportedConversation, ReaderId
from webapp.stores.attachments import keep_content, write_attachments
from webapp.stores.branches import children_of, newest_leaf
from webapp.stores.database import Database, insert_or, new_conversation_id, to_its_end
from webapp.stores.search import TITLE, keep_searchable
from webapp.stores.tables import conversations, messages

BATCH = 100
"""How many messages are made searchable at once: others have to write meanwhile, checkpoints before all."""


class SqlImports:
    """The `ImportStore` of a SQL database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @to_its_end
    async def has(self, owner: ReaderId, source_key: str) -> bool:
        c = conversations.c
        query = select(c.id).where(c.owner == owner, c.request_key == source_key)
        async with self.database.reading() as connection:
            return (await connection.execute(query)).first() is not None

    @to_its_end
    async def keep(self, owner: ReaderId, imported: ImportedConversation) -> bool:
        conversation_id = new_conversation_id()
        parents = {message.number: message.parent for message in imported.messages}
        setup = imported.setup
        values = {
            "id": conversation_id,
            "owner": owner,
            "title": imported.title,
            "titled_by": "reader",
            "head": newest_leaf(children_of(parents), imported.head),
            "request_key": imported.source_key,
            "created_at": imported.messages[0].created_at,
            "updated_at": imported.updated_at,
            "listed_at": self.database.now(),
            "system_prompt": setup.system_prompt,
            "assistant": setup.assistant,
            **asdict(setup.parameters),
        }
        async with self.database.writing() as connection:
            statement = insert_or(conversations, connection).values(values).on_conflict_do_nothing()
            if (await connection.execute(statement)).rowcount != 1:
                return False
            rows = [
                {
                    "conversation_id": conversation_id,
                    "number": message.number,
                    "parent": message.parent,
                    "role": message.role.value,
                    "text": message.text,
                    "created_at": message.created_at,
                    "state": message.state.value if message.state else None,
                    "cause": message.cause,
                    "reasoning": message.reasoning or None,
                    "model": message.measures.model or None,
                    "rating": message.rating,
                    "comment": message.comment or None,
                    "attachments": write_attachments(message.attachments),
                }
                for message in imported.messages
            ]
            await connection.execute(insert(messages), rows)
            for content in imported.contents:
                await keep_content(connection, owner, content, self.database.now(), conversation_id=conversation_id)
            await keep_searchable(connection, owner, conversation_id, TITLE, imported.title)
        for start in range(0, len(imported.messages), BATCH):
            async with self.database.writing() as connection:
                for message in imported.messages[start : start + BATCH]:
                    await keep_searchable(connection, owner, conversation_id, message.number, message.text)
        return True
