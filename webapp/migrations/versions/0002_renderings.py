"""Replies keep their HTML, so that a page with many of them costs no rendering."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("messages", sa.Column("html", sa.Text))
    op.add_column("messages", sa.Column("html_version", sa.Text))


def downgrade() -> None:
    op.drop_column("messages", "html_version")
    op.drop_column("messages", "html")
