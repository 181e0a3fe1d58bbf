"""Prompts have attachments."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("messages", sa.Column("attachments", sa.Text))
    op.create_table(
        "attachments",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("conversation_id", sa.Text),
        sa.Column("place", sa.Text, nullable=False),
        sa.Column("about", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_attachments"),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversations.id"],
            name="fk_attachments_conversation_id",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_attachments_owner_place", "attachments", ["owner", "place"])
    op.create_index("ix_attachments_conversation_id", "attachments", ["conversation_id"])


def downgrade() -> None:
    op.drop_table("attachments")
    op.drop_column("messages", "attachments")
