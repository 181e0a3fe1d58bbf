"""How the two databases search: which entries have the words, and how entries are kept."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, column, func, literal_column, select, table
from sqlalchemy.ext.asyncio import AsyncConnection

from webapp.domain import ConversationId, ReaderId
from webapp.stores.database import insert_or
from webapp.stores.tables import search_texts
from webapp.stores.texts import storable
from webapp.stores.words import Term, owners_word, searchable

_index = table("search_index", column("rowid"))

TITLE = 0
"""The number under which a conversation's title is found; messages have their own."""


async def keep_searchable(
    connection: AsyncConnection, owner: ReaderId, conversation_id: ConversationId, number: int, text: str
) -> None:
    """Make a message, or a title, one that can be found; what was kept under that number before is not any more."""
    words = f"{owners_word(owner)} {searchable(storable(text))}"
    values = {"conversation_id": conversation_id, "number": number, "words": words}
    statement = insert_or(search_texts, connection).values(values)
    same = [search_texts.c.conversation_id, search_texts.c.number]
    await connection.execute(statement.on_conflict_do_update(index_elements=same, set_={"words": words}))


def has_words(connection: AsyncConnection, owner: ReaderId, terms: Sequence[Term]) -> ColumnElement[bool]:
    """Say which entries of `search_texts` have all terms, and are this owner's."""
    wanted = [Term((owners_word(owner),), is_exact=True), *terms]
    if connection.dialect.name == "sqlite":
        match = literal_column("search_index").op("MATCH")(" ".join(map(_for_sqlite, wanted)))
        return search_texts.c.id.in_(select(_index.c.rowid).where(match))
    words = func.to_tsvector(literal_column("'simple'"), search_texts.c.words)
    return words.bool_op("@@")(func.to_tsquery(literal_column("'simple'"), " & ".join(map(_for_postgresql, wanted))))


def _for_sqlite(term: Term) -> str:
    """Write a term as FTS5 has it: a phrase, whose last word may be the beginning of one (its manual, section 3)."""
    return f'"{" ".join(term.words)}"' + ("" if term.is_exact else "*")


def _for_postgresql(term: Term) -> str:
    """Write a term as `to_tsquery` has it: words that follow one another (PostgreSQL's manual, section 8.11.2)."""
    words = [f"'{word}'" for word in term.words]
    return "(" + " <-> ".join([*words[:-1], words[-1] + ("" if term.is_exact else ":*")]) + ")"
