"""Replies keep what was thought before them, what they took, and how they are rated; messages can be deleted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

TEXTS = ("reasoning", "model", "comment")
SECONDS = ("first_seconds", "seconds")
COUNTS = ("prompt_tokens", "reply_tokens", "rating")


def upgrade() -> None:
    for names, type_ in ((TEXTS, sa.Text), (SECONDS, sa.Float), (COUNTS, sa.Integer)):
        for name in names:
            op.add_column("messages", sa.Column(name, type_))
    op.add_column("conversations", sa.Column("model", sa.Text))
    op.add_column("messages", sa.Column("deleted_at", sa.DateTime(timezone=True)))
    there = sa.text("rating IS NOT NULL")
    columns = ["conversation_id", "number"]
    op.create_index("ix_messages_rated", "messages", columns, sqlite_where=there, postgresql_where=there)


def downgrade() -> None:
    op.drop_index("ix_messages_rated", "messages")
    op.drop_column("conversations", "model")
    for name in (*TEXTS, *SECONDS, *COUNTS, "deleted_at"):
        op.drop_column("messages", name)
