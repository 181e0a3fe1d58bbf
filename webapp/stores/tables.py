"""The store's tables, the same for SQLite and PostgreSQL.

A change here needs a migration; a test compares the two.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
    literal_column,
)

from webapp.stores.texts import storable


class StorableText(TypeDecorator[str]):
    """Text that any database can hold, whatever was sent; it guards ids from URLs as well as prompts."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else storable(value)


class UTCDateTime(TypeDecorator[datetime]):
    """A moment, aware and in UTC on both sides of the store.

    PostgreSQL keeps `timestamptz`. SQLite has no such type: there it is text of one width in UTC, which sorts as time
    does, reads well in the `sqlite3` shell and is known to SQLite's own date functions.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("A moment without a time zone cannot be stored.")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData(
    # Every constraint has a name, so that a later migration can speak of it.
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)

conversations = Table(
    "conversations",
    metadata,
    Column("id", StorableText),
    Column("owner", StorableText, nullable=False),
    Column("title", StorableText, nullable=False),
    # The number of the last message of the showing branch.
    Column("head", Integer),
    Column("request_key", StorableText, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Column("updated_at", UTCDateTime, nullable=False),
    # How often another branch was shown.
    Column("switches", Integer, nullable=False, server_default="0"),
    # How it is answered: by the model that was chosen last, if any was, and as the assistant that it began with.
    Column("model", StorableText),
    Column("temperature", Float),
    Column("max_tokens", Integer),
    Column("system_prompt", StorableText),
    Column("assistant", StorableText),
    Column("is_fixed", Boolean, nullable=False, server_default=false()),
    # Who gave the title: the "prompt" with its first words, the "model", or the "reader".
    Column("titled_by", StorableText, nullable=False, server_default="prompt"),
    # When anything last changed that the reader's list shows.
    Column("listed_at", UTCDateTime),
    Column("pinned_at", UTCDateTime),
    Column("archived_at", UTCDateTime),
    Column("deleted_at", UTCDateTime),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("owner", "request_key"),
    # Read from its end: both databases walk an index backwards, so it need not be a descending one.
    Index("ix_conversations_owner_updated_at_id", "owner", "updated_at", "id"),
    Index("ix_conversations_owner_listed_at", "owner", "listed_at"),
)

messages = Table(
    "messages",
    metadata,
    Column("conversation_id", StorableText, ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False, autoincrement=False),
    Column("parent", Integer),
    Column("role", StorableText, nullable=False),
    Column("text", StorableText, nullable=False),
    # A reply as HTML, and the version of the renderer that made it.
    Column("html", StorableText),
    Column("html_version", StorableText),
    Column("request_key", StorableText),
    Column("state", StorableText),
    Column("cause", StorableText),
    # What a model thought before it answered, and what its reply took.
    Column("reasoning", StorableText),
    Column("model", StorableText),
    Column("first_seconds", Float),
    Column("seconds", Float),
    Column("prompt_tokens", Integer),
    Column("reply_tokens", Integer),
    # What the reader thinks of a reply: 1 or -1.
    Column("rating", Integer),
    Column("comment", StorableText),
    # What was attached to a prompt, as JSON without the content, which the table below has.
    Column("attachments", StorableText),
    # A message that was deleted has no text any more; its number is never given again.
    Column("deleted_at", UTCDateTime),
    Column("created_at", UTCDateTime, nullable=False),
    Column("seen_alive_at", UTCDateTime),
    PrimaryKeyConstraint("conversation_id", "number"),
    UniqueConstraint("conversation_id", "request_key"),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    # What a running reply grew by, piece by piece: writing the whole text again and again would be quadratic work.
    Column("conversation_id", StorableText, ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False, autoincrement=False),
    Column("start", Integer, nullable=False, autoincrement=False),
    Column("text", StorableText, nullable=False),
    PrimaryKeyConstraint("conversation_id", "number", "start"),
)

assistants = Table(
    "assistants",
    metadata,
    # What readers made for themselves.
    Column("id", StorableText),
    Column("owner", StorableText, nullable=False),
    Column("name", StorableText, nullable=False),
    Column("icon", StorableText, nullable=False),
    Column("system_prompt", StorableText, nullable=False),
    Column("model", StorableText),
    Column("temperature", Float),
    Column("max_tokens", Integer),
    # One on each line.
    Column("starters", StorableText, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    PrimaryKeyConstraint("id"),
    Index("ix_assistants_owner_created_at", "owner", "created_at"),
)

attachments = Table(
    "attachments",
    metadata,
    # What readers attached. It belongs to no conversation until its prompt is sent; until then it
    # waits in a place, as a draft does.
    Column("id", StorableText),
    Column("owner", StorableText, nullable=False),
    Column("conversation_id", StorableText, ForeignKey("conversations.id", ondelete="CASCADE")),
    Column("place", StorableText, nullable=False),
    Column("about", StorableText, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    PrimaryKeyConstraint("id"),
    Index("ix_attachments_owner_place", "owner", "place"),
    Index("ix_attachments_conversation_id", "conversation_id"),
)

shares = Table(
    "shares",
    metadata,
    # What anybody with the link may read: the branch that ends at `head`, under the title that it had.
    Column("conversation_id", StorableText, ForeignKey("conversations.id", ondelete="CASCADE")),
    Column("token", StorableText, nullable=False),
    Column("title", StorableText, nullable=False),
    Column("head", Integer, nullable=False),
    Column("shared_at", UTCDateTime, nullable=False),
    PrimaryKeyConstraint("conversation_id"),
    UniqueConstraint("token"),
)

visitors = Table(
    "visitors",
    metadata,
    # Readers whom other sites have introduced, as they last did.
    Column("reader", StorableText),
    Column("subject", StorableText, nullable=False),
    Column("name", StorableText, nullable=False),
    Column("context", StorableText, nullable=False),
    Column("seen_at", UTCDateTime, nullable=False),
    PrimaryKeyConstraint("reader"),
)

keys = Table(
    "keys",
    metadata,
    # What programs show in the place of a cookie; of the key itself only its hash is kept.
    Column("id", StorableText),
    Column("name", StorableText, nullable=False),
    Column("hash", StorableText, nullable=False),
    # The names of its scopes, with spaces between them.
    Column("scopes", StorableText, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Column("expires_at", UTCDateTime),
    Column("last_used_at", UTCDateTime),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("name"),
    UniqueConstraint("hash"),
)

deliveries = Table(
    "deliveries",
    metadata,
    # What is to be told to other programs, and when next. What was told has no body, is never due, and stays a while.
    Column("id", StorableText),
    Column("embed", StorableText, nullable=False),
    Column("body", StorableText, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Column("due_at", UTCDateTime),
    PrimaryKeyConstraint("id"),
    Index("ix_deliveries_due_at", "due_at"),
)

drafts = Table(
    "drafts",
    metadata,
    # What a reader has written and not sent yet, in a conversation or (with an empty place) for a new one.
    Column("owner", StorableText, nullable=False),
    Column("place", StorableText, nullable=False),
    Column("text", StorableText, nullable=False),
    # The request id of the prompt that it became; what comes late from that composer is no draft any more.
    Column("sent", StorableText, nullable=False),
    Column("updated_at", UTCDateTime, nullable=False),
    PrimaryKeyConstraint("owner", "place"),
    Index("ix_drafts_updated_at", "updated_at"),
)

search_texts = Table(
    "search_texts",
    metadata,
    # What can be searched for, in the form that `webapp.stores.words` gives it. Number 0 is the conversation's title.
    # SQLite has the index over it in a table of its own, `search_index`, which triggers keep; see the migration.
    Column("id", Integer),
    Column("conversation_id", StorableText, ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False, autoincrement=False),
    Column("words", StorableText, nullable=False),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("conversation_id", "number"),
)

is_running = messages.c.state == literal_column("'running'")
"""A literal and no parameter: only so can a planner see that the partial index below answers it."""

Index(
    "ix_messages_running",
    messages.c.seen_alive_at,
    sqlite_where=is_running,
    postgresql_where=is_running,
)

for _moment in (conversations.c.pinned_at, conversations.c.deleted_at):
    _is_there = _moment.is_not(None)
    Index(
        f"ix_conversations_{_moment.name}",
        conversations.c.owner,
        _moment,
        sqlite_where=_is_there,
        postgresql_where=_is_there,
    )

_is_rated = messages.c.rating.is_not(None)
Index(
    "ix_messages_rated",
    messages.c.conversation_id,
    messages.c.number,
    sqlite_where=_is_rated,
    postgresql_where=_is_rated,
)
