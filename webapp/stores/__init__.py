"""The durable truth: conversations and their messages.

Every query is by owner, so that object-level authorisation lives here and in no route.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import Protocol

from webapp.domain import (
    WHOLE,
    Assistant,
    AssistantId,
    Attachment,
    AttachmentId,
    BegunTurn,
    Checkpoint,
    Content,
    Conversation,
    ConversationId,
    Delivery,
    Hit,
    ImportedConversation,
    KeyScope,
    ListedConversation,
    Listing,
    Message,
    Place,
    ProgramKey,
    RatedReply,
    ReaderId,
    Rendering,
    RequestId,
    Setup,
    Share,
    ShareToken,
    Visitor,
    Window,
)

NO_SETUP = Setup()


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

    async def create_conversation(
        self,
        owner: ReaderId,
        prompt: str,
        request_id: RequestId,
        setup: Setup = NO_SETUP,
        attached: Sequence[AttachmentId] = (),
    ) -> BegunTurn:
        """Store a first prompt with the conversation it opens, and a running, empty reply.

        The same `request_id` with the same prompt from the same owner gives the conversation of the first time. What is
        `attached` has waited for it (see `AttachmentStore`). Raises `AttachmentNotFound`.
        """

    async def begin_turn(
        self,
        owner: ReaderId,
        conversation_id: ConversationId,
        prompt: str,
        request_id: RequestId,
        edits: int | None = None,
        model: str | None = None,
        attached: Sequence[AttachmentId] = (),
    ) -> BegunTurn:
        """Store a further prompt, and a running, empty reply to it; or, with `edits`, a sibling of that prompt.

        The same `request_id` with the same prompt in the same conversation gives the turn of the first time. A sibling
        has the attachments of the prompt that it edits, too. Raises `ConversationNotFound`, `TurnRunning` while another
        reply is being written, `NothingToEdit`, `AttachmentNotFound`, and `AttachmentRefused` if that makes too many.
        """

    async def retry_turn(
        self, owner: ReaderId, conversation_id: ConversationId, number: int, *, continues: bool = False
    ) -> BegunTurn:
        """Add a running sibling to the reply `number` and show it; the old reply is kept.

        The sibling is empty, or begins with the old reply's text if it `continues` that. Raises `ConversationNotFound`,
        `TurnRunning` while a reply is being written, and `NothingToRetry` unless the number is that of a reply on the
        showing branch (which, to be continued, has to have text).
        """

    async def set_up(self, owner: ReaderId, conversation_id: ConversationId, setup: Setup) -> None:
        """Give a conversation another system prompt, temperature and longest reply, from its next reply on.

        Its model and its assistant stay. Raises `ConversationNotFound`.
        """

    async def show_branch(self, owner: ReaderId, conversation_id: ConversationId, number: int) -> Conversation:
        """Show the newest branch that message `number` is on.

        Raises `ConversationNotFound`, `TurnRunning` while a reply is being written, and `MessageNotFound`.
        """

    async def delete_message(
        self, owner: ReaderId, conversation_id: ConversationId, number: int
    ) -> Conversation | None:
        """Delete a message with all that follows it; with the only reply to a prompt, the prompt too.

        Gives the conversation as it is then, or `None` if nothing is left of it, and it is deleted as a whole. Raises
        `ConversationNotFound`, `TurnRunning` while a reply is being written, and `MessageNotFound`.
        """

    async def rate(
        self, owner: ReaderId, conversation_id: ConversationId, number: int, rating: int | None, comment: str = ""
    ) -> Message:
        """Keep what the reader thinks of a reply that has ended, 1 or -1 with a comment, or no longer anything.

        Raises `ConversationNotFound` and `MessageNotFound`.
        """

    async def ratings(self) -> Sequence[RatedReply]:
        """Give all replies that were rated, whoever did, in the order of their conversations."""

    async def conversation(
        self, owner: ReaderId, conversation_id: ConversationId, window: Window = WHOLE
    ) -> Conversation:
        """Give a conversation with its showing branch, or what a window shows of that. Raises `ConversationNotFound`.

        What is read grows with the window, not with the conversation, but for the numbers of its messages.
        """

    async def every_message(self, owner: ReaderId, conversation_id: ConversationId) -> Sequence[Message]:
        """Give the messages of all branches in the order of their numbers. Raises `ConversationNotFound`."""

    async def checkpoint(self, checkpoints: Sequence[Checkpoint]) -> None:
        """Keep what running replies grew by, and note that their turns are alive, all in one transaction.

        A piece that is kept already changes nothing, nor does one of a turn that has ended.
        """

    async def end_turn(self, conversation_id: ConversationId, reply: Message) -> ListedConversation | None:
        """Keep a reply as it ended: text, rendering, state and cause; give the conversation as lists show it then.

        A turn that has ended already stays as it is, and gives `None`.
        """

    async def keep_rendering(self, conversation_id: ConversationId, number: int, rendering: Rendering) -> None:
        """Keep the rendering of a reply that has ended."""

    async def interrupt_turns(self, silent_since: datetime) -> Sequence[tuple[ListedConversation, Message]]:
        """End each running turn that gave no sign of life since then; give the replies that this call ended."""


class Shelf(Enum):
    """The parts of a reader's list; each conversation that is not deleted stands in one."""

    PINNED = "pinned"
    RECENT = "recent"
    ARCHIVED = "archived"


class Catalog(Protocol):
    """A reader's conversations as a list.

    A deleted conversation is in no list and is not found, but can be restored until it is purged. All methods but
    `entitle` and `restore` raise `ConversationNotFound` for what is not the owner's or was deleted; all raise
    `StoreUnavailable` when the database fails.
    """

    async def page(
        self, owner: ReaderId, shelf: Shelf, limit: int, after: Place | None = None
    ) -> Sequence[ListedConversation]:
        """Give the first conversations of a shelf after a place, the latest changed first."""

    async def beginning(self, owner: ReaderId, most_pinned: int, size: int) -> Listing:
        """Give the beginning of an owner's list as it is at one moment: what is pinned, and the latest of the rest."""

    async def find(self, owner: ReaderId, conversation_id: ConversationId) -> ListedConversation:
        """Give one conversation as a list shows it."""

    async def neighbour(
        self, owner: ReaderId, conversation_id: ConversationId, *, is_newer: bool
    ) -> ListedConversation | None:
        """Give the conversation that was changed next, or last before, among those that are not archived."""

    async def version(self, owner: ReaderId) -> int:
        """Give a number that is another one after each change of what the owner's list shows."""

    async def rename(self, owner: ReaderId, conversation_id: ConversationId, title: str) -> ListedConversation:
        """Give a conversation the reader's own title."""

    async def entitle(self, owner: ReaderId, conversation_id: ConversationId, title: str) -> ListedConversation | None:
        """Give a conversation a title in the place of its prompt's first words; `None` if it has another one."""

    async def pin(self, owner: ReaderId, conversation_id: ConversationId, *, is_on: bool) -> ListedConversation:
        """Keep a conversation at the top, or no longer."""

    async def archive(self, owner: ReaderId, conversation_id: ConversationId, *, is_on: bool) -> ListedConversation:
        """Put a conversation out of the way, or back."""

    async def delete(self, owner: ReaderId, conversation_id: ConversationId) -> ListedConversation:
        """Delete a conversation; give it as it was."""

    async def restore(self, owner: ReaderId, conversation_id: ConversationId) -> ListedConversation:
        """Undo a deletion. Raises `ConversationNotFound` once it is purged."""

    async def purge(self, deleted_before: datetime) -> int:
        """Delete for good what was deleted before then; give how many conversations that were."""

    async def expire(self, owners: str, before: datetime) -> int:
        """Delete for good what owners whose ids begin so last changed before then, but for running replies."""

    async def search(self, owner: ReaderId, query: str, limit: int, after: Place | None = None) -> Sequence[Hit]:
        """Give the conversations in which all of what is searched for was written, the latest changed first.

        The query is words, which may be the beginnings of words, and phrases in quotation marks; one without words
        finds nothing. A title and each message, on whatever branch, have to have all of it.
        """


class Workshop(Protocol):
    """What readers keep beside conversations: assistants of their own, and what they have not sent yet.

    All methods raise `StoreUnavailable` when the database fails.
    """

    async def assistants(self, owner: ReaderId) -> Sequence[Assistant]:
        """Give an owner's assistants, oldest first."""

    async def keep_assistant(self, owner: ReaderId, assistant: Assistant, most: int) -> bool:
        """Keep a new assistant, or a changed one of this owner's; nothing if there would be more than `most`."""

    async def drop_assistant(self, owner: ReaderId, assistant_id: AssistantId) -> None:
        """Delete an assistant; conversations that began with it stay as they are."""

    async def draft(self, owner: ReaderId, conversation_id: ConversationId | None) -> str:
        """Give what was written and not sent, in a conversation or for a new one."""

    async def keep_draft(
        self, owner: ReaderId, conversation_id: ConversationId | None, text: str, request_id: RequestId
    ) -> None:
        """Keep what was written in the composer that this request id was minted into, unless it was sent already.

        It ends when the store is given a prompt with that request id.
        """

    async def purge_drafts(self, before: datetime) -> int:
        """Delete drafts that were last changed before then, and those of conversations that are no more."""


class AttachmentStore(Protocol):
    """What readers attach to prompts. It waits until the store is given the prompt, and then is the conversation's.

    What belongs to a conversation is deleted with the last message that has it. All methods raise `StoreUnavailable`
    when the database fails.
    """

    async def add(self, owner: ReaderId, conversation_id: ConversationId | None, content: Content, most: int) -> bool:
        """Keep an attachment for the next prompt in a conversation, or for a new one's; no more than `most` wait."""

    async def waiting(self, owner: ReaderId, conversation_id: ConversationId | None) -> Sequence[Attachment]:
        """Give what waits for the next prompt, oldest first."""

    async def drop(self, owner: ReaderId, attachment_id: AttachmentId) -> None:
        """Delete an attachment that waits."""

    async def content(self, owner: ReaderId, conversation_id: ConversationId, attachment_id: AttachmentId) -> Content:
        """Give what was sent in an owner's conversation. Raises `AttachmentNotFound`."""

    async def contents(self, conversation_id: ConversationId, wanted: Collection[AttachmentId]) -> Sequence[Content]:
        """Give those of a conversation's attachments that are wanted, in no order."""

    async def purge_waiting(self, before: datetime) -> int:
        """Delete what was attached before then and never sent."""


class ShareStore(Protocol):
    """Conversations that anybody with a link may read, as they were when they were shared; each has at most one.

    A link leads nowhere while its conversation is deleted, and no longer exists once a message that it shows is. All
    methods raise `StoreUnavailable` when the database fails.
    """

    async def share(self, owner: ReaderId, conversation_id: ConversationId) -> Share:
        """Share the showing branch as it is now; a link that there is already shows that from now on.

        Raises `ConversationNotFound`, and `TurnRunning` while a reply is being written.
        """

    async def find(self, owner: ReaderId, conversation_id: ConversationId) -> Share | None:
        """Tell whether a conversation is shared. Raises `ConversationNotFound`."""

    async def take_back(self, owner: ReaderId, conversation_id: ConversationId) -> None:
        """Have the link lead nowhere for ever. Raises `ConversationNotFound`."""

    async def conversation(self, token: ShareToken) -> tuple[Share, Conversation]:
        """Give what a link shows, under the title that it had, whoever asks. Raises `ShareNotFound`."""


class VisitorStore(Protocol):
    """Readers whom other sites have introduced; and what visitors of an embed have said, for its operator.

    All methods raise `StoreUnavailable` when the database fails.
    """

    async def keep(self, reader: ReaderId, visitor: Visitor) -> None:
        """Keep who a reader is, as a site has just said it."""

    async def find(self, reader: ReaderId) -> Visitor | None:
        """Tell who a reader is, if any site ever did."""

    async def conversations(
        self, readers: str, limit: int, after: Place | None = None
    ) -> Sequence[tuple[Visitor | None, Conversation]]:
        """Give the latest conversations after a place, of readers whose ids begin so, with who these are."""

    async def forget(self, readers: str, before: datetime) -> int:
        """Delete what is known of such readers who were last seen before then, and have no conversation any more."""


class KeyStore(Protocol):
    """The keys that programs show in the place of a cookie.

    All methods raise `StoreUnavailable` when the database fails. What a program has written is its key's
    own; it stays in the store when the key is revoked, and nobody can reach it.
    """

    async def make(self, name: str, scopes: Collection[KeyScope], days: int | None = None) -> str | None:
        """Make a key that works for some days, or until it is revoked; give it, which nobody can do a second time.

        Nothing is made, and nothing given, if there is one of that name, expired or not.
        """

    async def every(self) -> Sequence[ProgramKey]:
        """Give all keys, also those that have expired, oldest first."""

    async def revoke(self, name: str) -> bool:
        """Have a key open nothing from now on; tell whether there was one of that name."""

    async def find(self, key: str) -> ProgramKey:
        """Tell whose key this is, and note that it was used. Raises `ProgramKeyUnknown`."""

    async def require(self, reader: ReaderId) -> None:
        """Raise `ProgramKeyUnknown` if the key of a reader that has one works no longer."""


class Outbox(Protocol):
    """What is still to be told to other programs. All methods raise `StoreUnavailable` when the database fails."""

    async def put(self, delivery: Delivery) -> bool:
        """Keep something to be told at once; tell whether it is new, and none with its id came in the last days."""

    async def take(self, limit: int, lease: timedelta) -> Sequence[Delivery]:
        """Give what is due, counting an attempt; nobody else is given it until the lease is over."""

    async def put_off(self, delivery_id: str, until: datetime) -> None:
        """Have something be due later."""

    async def drop(self, delivery_id: str) -> None:
        """Be done with something that was told, or is given up."""

    async def next_due(self) -> datetime | None:
        """Tell when the next is due, if any is there."""


class ImportStore(Protocol):
    """Conversations that readers bring along."""

    async def has(self, owner: ReaderId, source_key: str) -> bool:
        """Tell whether an owner brought a conversation along before."""

    async def keep(self, owner: ReaderId, imported: ImportedConversation) -> bool:
        """Add a conversation to an owner's own; tell whether it is new, and was not brought along before."""
