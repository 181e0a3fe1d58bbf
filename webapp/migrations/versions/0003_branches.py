"""Branches can be shown in turns, and a running reply is kept piece by piece."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("conversations", sa.Column("switches", sa.Integer, nullable=False, server_default="0"))
    op.create_table(
        "checkpoints",
        sa.Column("conversation_id", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("start", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("conversation_id", "number", "start", name="pk_checkpoints"),
        sa.ForeignKeyConstraint(
            ["conversation_id"], ["conversations.id"], name="fk_checkpoints_conversation_id", ondelete="CASCADE"
        ),
    )


def downgrade() -> None:
    op.drop_table("checkpoints")
    op.drop_column("conversations", "switches")
