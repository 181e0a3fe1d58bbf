"""The durable truth: conversations and their messages.

Every query is by owner, so that object-level authorisation lives here and in no route.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from webapp.domain import BegunTurn, Checkpoint, Conversation, ConversationId, Message, ReaderId, Rendering, RequestId


class Store(Protocol):
    """What any store promises.

    All methods may be called concurrently from one event loop. None holds a connection, a lock or a transaction after
    it has returned. Failures of the database itself are raised as `StoreUnavailable`.
    """

    async def open(self) -> None:
        """Connect, and bring the schema up to date."""

    async def close(self) -> None:
        """Give back every connection; the store cannot be used after it."""

    async def check(self) -> None:
        """Raise `StoreUnavailable` unless a query can be answered now."""

    async def create_conversation(self, owner: ReaderId, prompt: str, request_id: RequestId) -> BegunTurn:
        """Store a first prompt with the conversation it opens, and a running, empty reply.

        The same `request_id` with the same prompt from the same owner gives the conversation of the first time.
        """

    async def begin_turn(
        self,
        owner: ReaderId,
        conversation_id: ConversationId,
        prompt: str,
        request_id: RequestId,
        edits: int | None = None,
    ) -> BegunTurn:
        """Store a further prompt, and a running, empty reply to it; or, with `edits`, a sibling of that prompt.

        The same `request_id` with the same prompt in the same conversation gives the turn of the first time.
        Raises `ConversationNotFound`, `TurnRunning` while another reply is being written, and `NothingToEdit`.
        """

    async def retry_turn(
        self, owner: ReaderId, conversation_id: ConversationId, number: int, *, continues: bool = False
    ) -> BegunTurn:
        """Add a running sibling to the reply `number` and show it; the old reply is kept.

        The sibling is empty, or begins with the old reply's text if it `continues` that. Raises `ConversationNotFound`,
        `TurnRunning` while a reply is being written, and `NothingToRetry` unless the number is that of a reply on the
        showing branch (which, to be continued, has to have text).
        """

    async def show_branch(self, owner: ReaderId, conversation_id: ConversationId, number: int) -> Conversation:
        """Show the newest branch that message `number` is on.

        Raises `ConversationNotFound`, `TurnRunning` while a reply is being written, and `MessageNotFound`.
        """

    async def conversation(self, owner: ReaderId, conversation_id: ConversationId) -> Conversation:
        """Give a conversation with its showing branch. Raises `ConversationNotFound`."""

    async def conversations(self, owner: ReaderId, limit: int) -> Sequence[Conversation]:
        """List an owner's conversations without messages, the latest changed first."""

    async def checkpoint(self, checkpoints: Sequence[Checkpoint]) -> None:
        """Keep what running replies grew by, and note that their turns are alive, all in one transaction.

        A piece that is kept already changes nothing, nor does one of a turn that has ended.
        """

    async def end_turn(self, conversation_id: ConversationId, reply: Message) -> None:
        """Keep a reply as it ended: text, rendering, state and cause. A turn that has ended already stays as it is."""

    async def keep_rendering(self, conversation_id: ConversationId, number: int, rendering: Rendering) -> None:
        """Keep the rendering of a reply that has ended."""

    async def interrupt_turns(self, silent_since: datetime) -> Sequence[tuple[ConversationId, Message]]:
        """End each running turn that gave no sign of life since then; give the replies that this call ended."""
