"""Conversations have a place in a list: titled, pinned, archived, deleted; what was written can be searched."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from webapp.stores.words import owners_word, searchable

revision = "0004"
down_revision = "0003"

SQLITE_INDEX = (
    # The words are in search_texts already, so the index keeps none of its own; it is told of each change.
    """CREATE VIRTUAL TABLE search_index USING fts5(
        words, content='search_texts', content_rowid='id', tokenize='unicode61 remove_diacritics 0', prefix='2 3')""",
    """CREATE TRIGGER search_texts_added AFTER INSERT ON search_texts BEGIN
        INSERT INTO search_index(rowid, words) VALUES (new.id, new.words); END""",
    """CREATE TRIGGER search_texts_dropped AFTER DELETE ON search_texts BEGIN
        INSERT INTO search_index(search_index, rowid, words) VALUES ('delete', old.id, old.words); END""",
    """CREATE TRIGGER search_texts_changed AFTER UPDATE ON search_texts BEGIN
        INSERT INTO search_index(search_index, rowid, words) VALUES ('delete', old.id, old.words);
        INSERT INTO search_index(rowid, words) VALUES (new.id, new.words); END""",
)
POSTGRESQL_INDEX = ("CREATE INDEX ix_search_texts_words ON search_texts USING gin (to_tsvector('simple', words))",)
BATCH = 500


def upgrade() -> None:
    for name in ("listed_at", "pinned_at", "archived_at", "deleted_at"):
        op.add_column("conversations", sa.Column(name, sa.DateTime(timezone=True)))
    op.add_column("conversations", sa.Column("titled_by", sa.Text, nullable=False, server_default="prompt"))
    op.execute("UPDATE conversations SET listed_at = updated_at")
    op.create_index("ix_conversations_owner_listed_at", "conversations", ["owner", "listed_at"])
    for name in ("pinned_at", "deleted_at"):
        there = sa.text(f"{name} IS NOT NULL")
        index = f"ix_conversations_{name}"
        op.create_index(index, "conversations", ["owner", name], sqlite_where=there, postgresql_where=there)
    op.create_table(
        "search_texts",
        sa.Column("id", sa.Integer),
        sa.Column("conversation_id", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("words", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_search_texts"),
        sa.ForeignKeyConstraint(
            ["conversation_id"], ["conversations.id"], name="fk_search_texts_conversation_id", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("conversation_id", "number", name="uq_search_texts_conversation_id_number"),
    )
    connection = op.get_bind()
    for statement in SQLITE_INDEX if connection.dialect.name == "sqlite" else POSTGRESQL_INDEX:
        op.execute(statement)
    _index_all(connection)


def _index_all(connection: sa.Connection) -> None:
    """Make what was written before this version searchable."""
    texts = sa.text(
        "SELECT c.owner, c.id, 0 AS number, c.title AS text FROM conversations c UNION ALL "
        "SELECT c.owner, c.id, m.number, m.text FROM messages m JOIN conversations c ON c.id = m.conversation_id "
        "WHERE m.state IS NULL OR m.state <> 'running'"
    )
    insert = sa.text("INSERT INTO search_texts(conversation_id, number, words) VALUES (:id, :number, :words)")
    for rows in connection.execute(texts).partitions(BATCH):
        words = [f"{owners_word(row.owner)} {searchable(row.text)}" for row in rows]
        entries = [{"id": row.id, "number": row.number, "words": each} for row, each in zip(rows, words, strict=True)]
        connection.execute(insert, entries)


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TABLE search_index")
    op.drop_table("search_texts")
    for name in ("pinned_at", "deleted_at"):
        op.drop_index(f"ix_conversations_{name}", "conversations")
    op.drop_index("ix_conversations_owner_listed_at", "conversations")
    for name in ("titled_by", "listed_at", "pinned_at", "archived_at", "deleted_at"):
        op.drop_column("conversations", name)
