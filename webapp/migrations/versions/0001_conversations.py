"""Conversations with their messages.

A migration repeats the tables as they were then, because `webapp.stores.tables` goes on changing.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None


def upgrade() -> None:
    _create_conversations()
    _create_messages()


def _create_conversations() -> None:
    op.create_table(
        "conversations",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("head", sa.Integer),
        sa.Column("request_key", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_conversations"),
        sa.UniqueConstraint("owner", "request_key", name="uq_conversations_owner_request_key"),
    )
    op.create_index("ix_conversations_owner_updated_at_id", "conversations", ["owner", "updated_at", "id"])


def _create_messages() -> None:
    op.create_table(
        "messages",
        sa.Column("conversation_id", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("parent", sa.Integer),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("request_key", sa.Text),
        sa.Column("state", sa.Text),
        sa.Column("cause", sa.Text),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_alive_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("conversation_id", "number", name="pk_messages"),
        sa.UniqueConstraint("conversation_id", "request_key", name="uq_messages_conversation_id_request_key"),
        sa.ForeignKeyConstraint(
            ["conversation_id"], ["conversations.id"], name="fk_messages_conversation_id", ondelete="CASCADE"
        ),
    )
    running = sa.text("state = 'running'")
    op.create_index(
        "ix_messages_running", "messages", ["seen_alive_at"], sqlite_where=running, postgresql_where=running
    )


def downgrade() -> None:
    op.drop_table("messages")
    op.drop_table("conversations")
