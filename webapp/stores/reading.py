"""Rows to conversations: how a branch is read, whoever reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Row, Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from webapp.domain import (
    WHOLE,
    Conversation,
    ConversationId,
    Measures,
    Message,
    Parameters,
    ReaderId,
    Rendering,
    Role,
    Setup,
    TurnState,
    Window,
)
from webapp.errors import ConversationNotFound
from webapp.stores.attachments import read_attachments
from webapp.stores.branches import branch_to, children_of
from webapp.stores.tables import checkpoints, conversations, messages

is_there = messages.c.deleted_at.is_(None)


def owned(owner: ReaderId, conversation_id: ConversationId) -> Select[Any]:
    """Select an owner's conversation, unless it was deleted."""
    is_own = (conversations.c.id == conversation_id, conversations.c.owner == owner)
    return select(conversations).where(*is_own, conversations.c.deleted_at.is_(None))


async def one_row(connection: AsyncConnection, query: Select[Any]) -> Row[Any]:
    """Give the row of a conversation. Raises `ConversationNotFound`."""
    row: Row[Any] | None = (await connection.execute(query)).one_or_none()
    if row is None:
        raise ConversationNotFound
    return row


async def locked_row(connection: AsyncConnection, owner: ReaderId, conversation_id: ConversationId) -> Row[Any]:
    """Give the row of an owner's conversation, which nobody else changes until the transaction ends."""
    # SQLite has no such clause, and needs none: there the transaction holds the write lock.
    return await one_row(connection, owned(owner, conversation_id).with_for_update())


async def last_number(connection: AsyncConnection, row: Row[Any]) -> int:
    """Give the highest number that any message ever had, 0 before the first."""
    last = select(func.max(messages.c.number)).where(messages.c.conversation_id == row.id)
    return await connection.scalar(last) or 0


async def find(connection: AsyncConnection, conversation_id: ConversationId, number: int) -> Message | None:
    """Give one message, unless it was deleted."""
    one = (messages.c.conversation_id == conversation_id, messages.c.number == number, is_there)
    row = (await connection.execute(select(messages).where(*one))).one_or_none()
    return None if row is None else as_message(row)


async def pieces_of(connection: AsyncConnection, conversation_id: ConversationId, number: int) -> Sequence[Row[Any]]:
    """Give the checkpoints of a running reply in order."""
    kept = (checkpoints.c.conversation_id == conversation_id, checkpoints.c.number == number)
    return (await connection.execute(select(checkpoints).where(*kept).order_by(checkpoints.c.start))).all()


def joined(text: str, pieces: Sequence[Row[Any]]) -> str:
    """Join a reply's pieces as far as they go on from one another."""
    parts, length = [text], len(text)
    for piece in pieces:
        if piece.start > length:
            break
        parts.append(piece.text[length - piece.start :])
        length += len(parts[-1])
    return "".join(parts)


async def with_branch(
    connection: AsyncConnection, row: Row[Any], window: Window = WHOLE, head: int | None = None
) -> Conversation:
    """Give the conversation of a row with its showing branch, or what a window shows of that.

    With `head`, it is the branch that ends there.
    """
    # The branch is found here: PostgreSQL, before it has statistics, plans the recursive query as quadratic work.
    parents = await parents_of(connection, row)
    branch, siblings = branch_to(parents, row.head if head is None else head), children_of(parents)
    cut = window.of(branch)
    shown = branch[cut]
    found = await messages_of(connection, row, shown)
    if shown and found[shown[-1]].is_running:
        last = found[shown[-1]]
        found[last.number] = replace(last, text=joined(last.text, await pieces_of(connection, row.id, last.number)))
    return replace(
        _as_conversation(row),
        messages=tuple(replace(found[number], siblings=tuple(siblings[parents[number]])) for number in shown),
        earlier=cut.start,
        last_number=await last_number(connection, row),
    )


async def messages_of(connection: AsyncConnection, row: Row[Any], numbers: Sequence[int]) -> dict[int, Message]:
    """Read messages of a branch, oldest first; those of other branches that stand among them are few."""
    if not numbers:
        return {}
    among = messages.c.number.between(numbers[0], numbers[-1])
    found = await connection.execute(select(messages).where(messages.c.conversation_id == row.id, among))
    return {each.number: as_message(each) for each in found}


async def parents_of(connection: AsyncConnection, row: Row[Any]) -> dict[int, int | None]:
    """Give the parent of each message that is there, on whatever branch."""
    tree = select(messages.c.number, messages.c.parent).where(messages.c.conversation_id == row.id, is_there)
    return {found.number: found.parent for found in await connection.execute(tree)}


def _as_conversation(row: Row[Any]) -> Conversation:
    return Conversation(
        row.id,
        row.owner,
        row.title,
        row.updated_at,
        switches=row.switches,
        is_pinned=row.pinned_at is not None,
        is_archived=row.archived_at is not None,
        setup=Setup(row.system_prompt or "", _as_parameters(row), row.assistant or "", row.is_fixed),
    )


def _as_parameters(row: Row[Any]) -> Parameters:
    return Parameters(row.model, row.temperature, row.max_tokens)


def as_message(row: Row[Any]) -> Message:
    """Give the message of a row; of a running reply without its checkpoints."""
    return Message(
        number=row.number,
        parent=row.parent,
        role=Role(row.role),
        text=row.text,
        created_at=row.created_at,
        state=None if row.state is None else TurnState(row.state),
        cause=row.cause,
        rendering=None if row.html is None else Rendering(row.html, row.html_version or ""),
        reasoning=row.reasoning or "",
        measures=Measures(row.model or "", row.first_seconds, row.seconds, row.prompt_tokens, row.reply_tokens),
        rating=row.rating,
        comment=row.comment or "",
        attachments=read_attachments(row.attachments),
    )
