"""Conversations can be shared."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "shares",
        sa.Column("conversation_id", sa.Text, nullable=False),
        sa.Column("token", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("head", sa.Integer, nullable=False),
        sa.Column("shared_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("conversation_id", name="pk_shares"),
        sa.UniqueConstraint("token", name="uq_shares_token"),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversations.id"],
            name="fk_shares_conversation_id",
            ondelete="CASCADE",
        ),
    )


def downgrade() -> None:
    op.drop_table("shares")
