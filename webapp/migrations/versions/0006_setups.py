"""Conversations keep how they are answered; readers keep assistants and drafts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

OF_CONVERSATIONS = (
    ("temperature", sa.Float),
    ("max_tokens", sa.Integer),
    ("system_prompt", sa.Text),
    ("assistant", sa.Text),
)


def upgrade() -> None:
    for name, type_ in OF_CONVERSATIONS:
        op.add_column("conversations", sa.Column(name, type_))
    op.add_column("conversations", sa.Column("is_fixed", sa.Boolean, nullable=False, server_default=sa.false()))
    op.create_table(
        "assistants",
        sa.Column("id", sa.Text, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("owner", "name", "icon", "system_prompt")),
        sa.Column("model", sa.Text),
        sa.Column("temperature", sa.Float),
        sa.Column("max_tokens", sa.Integer),
        sa.Column("starters", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_assistants"),
    )
    op.create_index("ix_assistants_owner_created_at", "assistants", ["owner", "created_at"])
    op.create_table(
        "drafts",
        *(sa.Column(name, sa.Text, nullable=False) for name in ("owner", "place", "text", "sent")),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("owner", "place", name="pk_drafts"),
    )
    op.create_index("ix_drafts_updated_at", "drafts", ["updated_at"])


def downgrade() -> None:
    op.drop_table("drafts")
    op.drop_table("assistants")
    for name in (*dict(OF_CONVERSATIONS), "is_fixed"):
        op.drop_column("conversations", name)
