"""The one way in which any transport follows a conversation: subscribe, then a snapshot, then what comes after it.

Page load, reconnect, second tab, second device and fallback all take this way; a delta is given at most once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from itertools import takewhile

from webapp.brokers import Lagged, Subscription
from webapp.deadlines import Deadline
from webapp.domain import (
    NOTHING,
    PAGE_OF_MESSAGES,
    BegunTurn,
    Conversation,
    ConversationId,
    Fragment,
    FragmentKind,
    ListChange,
    Listing,
    ListNews,
    Position,
    ReaderId,
    TurnState,
    Window,
)
from webapp.lists import Lists
from webapp.turns import Turns

RECENT = Window(PAGE_OF_MESSAGES)
"""What a page begins with."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A conversation as it is at a position of its feed, with a running reply's text so far.

    With `runs_elsewhere` that is the last checkpoint: the turn runs in another process, or is about to begin here.
    """

    conversation: Conversation
    position: Position
    runs_elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class Beat:
    """A sign that the feed is alive, every `BEAT_SECONDS` while a reader follows it."""


Item = Snapshot | Listing | ListNews | Sequence[Fragment] | Beat
"""What a feed gives: fragments come in order and together, news of the reader's list each by themselves."""

BEAT_SECONDS = 10.0
"""The page says that the connection is lost after 25 seconds without a beat: two may be missed."""


@dataclass(frozen=True, slots=True)
class ListCursor:
    """Which version of a reader's list a page shows."""

    lists: Lists
    version: int


@dataclass(frozen=True, slots=True)
class TextPiece:
    """What one turn's reply grew by."""

    text: str


@dataclass(frozen=True, slots=True)
class TurnEnd:
    """How one turn ended."""

    state: TurnState
    cause: str | None


async def snapshot(turns: Turns, owner: ReaderId, conversation_id: ConversationId, window: Window = RECENT) -> Snapshot:
    """Read a conversation as it is now, or what a window shows of it. Raises `ConversationNotFound`."""
    was_read_before = False
    while True:
        conversation = await turns.rendered(await turns.store.conversation(owner, conversation_id, window))
        turn, running = turns.running(conversation_id), conversation.running
        if running is None:
            return Snapshot(conversation, _position(conversation))
        if turn is not None and turn.reply.number == running.number:
            await turn.has_begun.wait()
            return Snapshot(replace(conversation, messages=(*conversation.messages[:-1], turn.showing)), turn.position)
        # The turn ended while the store was read; or it runs in another process, and its checkpoint is what is known.
        if was_read_before and running.rendering is not None:
            return Snapshot(conversation, Position(running.number, -1), runs_elsewhere=True)
        was_read_before = True


def _position(conversation: Conversation) -> Position:
    return Position(conversation.last_number, Position.END + conversation.switches)


async def follow(
    turns: Turns,
    owner: ReaderId,
    conversation_id: ConversationId | None,
    after: Position | None = None,
    *,
    is_allowed: bool = False,
    cursor: ListCursor | None = None,
    window: Window = RECENT,
) -> AsyncGenerator[Item, None]:
    """Follow a conversation for ever: a snapshot first, then fragments in order, each at most once, and beats.

    With `after`, the snapshot is left out if everything since that position is still at hand. A reader too slow for
    the feed gets a fresh snapshot. The `window` says how much snapshots show. With `cursor`, the owner's list is
    followed too: whole if it is not of that version any more, then each change of it; without a conversation, only
    that. Raises `ConversationNotFound` at the first step; not if it is known that the owner `is_allowed` to follow. It
    keeps nothing of what it gave: readers wait for hours, and are many.
    """
    if conversation_id is not None and after is not None and not is_allowed:
        await turns.store.conversation(owner, conversation_id, NOTHING)  # A snapshot would have asked by itself.
    with turns.broker.subscribe(conversation_id, after, reader=owner if cursor else None) as subscription:
        position, is_behind = after or Position(-1, 0), False
        if conversation_id is not None and after is None:
            now = await snapshot(turns, owner, conversation_id, window)
            position, is_behind = now.position, now.runs_elsewhere
            yield now
            del now
        if cursor is not None and (listing := await cursor.lists.changed_since(owner, cursor.version)) is not None:
            yield listing
            del listing
        loop = asyncio.get_running_loop()
        while True:
            next_beat = loop.time() + BEAT_SECONDS
            with suppress(TimeoutError):
                async with Deadline() as deadline:
                    while loop.time() < next_beat:
                        deadline.set(next_beat)
                        came = await _next(subscription, position)
                        # Whoever is given an item may take longer for it than there is to the next beat.
                        deadline.clear()
                        if came.fragments and not is_behind:
                            position = came.fragments[-1].position
                            yield came.fragments
                        if conversation_id is not None and (came.is_due or (came.fragments and is_behind)):
                            # A page that shows a turn's checkpoint has no places for what that turn goes on to write.
                            now = await snapshot(turns, owner, conversation_id, window)
                            if now.position != position:
                                position, is_behind = now.position, now.runs_elsewhere
                                yield now
                            del now
                        if cursor is not None:
                            for news in came.news:
                                is_moved = news.change is ListChange.MOVED
                                yield await cursor.lists.listing(owner) if is_moved else news
                            if came.has_lagged:
                                yield await cursor.lists.listing(owner)
                        del came
            yield Beat()


def follow_turn(turns: Turns, owner: ReaderId, begun: BegunTurn) -> AsyncGenerator[Item, None]:
    """Follow a feed from the first fragment of a turn that this owner has just begun."""
    return follow(turns, owner, begun.conversation.id, Position(begun.reply.number, -1), is_allowed=True)


@dataclass(frozen=True, slots=True)
class _Came:
    """What came at once. With `is_due`, a snapshot has to take the place of what came after the fragments."""

    fragments: Sequence[Fragment] = ()
    news: Sequence[ListNews] = ()
    is_due: bool = False
    has_lagged: bool = False


async def _next(subscription: Subscription, position: Position) -> _Came:
    """Wait for the next fragments after a position, or for news."""
    try:
        items = await subscription.next()
    except Lagged:
        return _Came(is_due=True, has_lagged=True)
    fresh = [item for item in items if isinstance(item, Fragment) and item.position > position]
    shown = list(takewhile(lambda fragment: not fragment.needs_snapshot, fresh))
    news = [item for item in items if isinstance(item, ListNews)]
    return _Came(shown, news, is_due=len(shown) < len(fresh))


def follow_reply(
    turns: Turns, owner: ReaderId, conversation_id: ConversationId, number: int
) -> AsyncGenerator[TextPiece | TurnEnd, None]:
    """Follow one reply as plain text, from its first character to its end, each character once.

    Raises `ConversationNotFound` at the first step.
    """
    return _read_reply(follow(turns, owner, conversation_id, Position(number, -1)), number)


def follow_begun_reply(turns: Turns, owner: ReaderId, begun: BegunTurn) -> AsyncGenerator[TextPiece | TurnEnd, None]:
    """Follow the reply of a turn that this owner has just begun, as `follow_reply` does."""
    return _read_reply(follow_turn(turns, owner, begun), begun.reply.number)


async def _read_reply(items: AsyncGenerator[Item, None], number: int) -> AsyncGenerator[TextPiece | TurnEnd, None]:
    sent = 0
    async with aclosing(items) as feed:
        async for item in feed:
            for news in _news(item, number, sent):
                yield news
                if isinstance(news, TurnEnd):
                    return
                sent += len(news.text)


def _news(item: Item, number: int, sent_chars: int) -> list[TextPiece | TurnEnd]:
    """Tell what an item of a feed says about one reply, of which `sent_chars` characters are known."""
    if isinstance(item, Beat | Listing | ListNews):
        return []
    if isinstance(item, Snapshot):
        message = next((m for m in item.conversation.messages if m.number == number), None)
        if message is None:
            # Another reply took this one's place, so this one had ended.
            return [TurnEnd(TurnState.STOPPED, None)]
        told: list[TextPiece | TurnEnd] = [TextPiece(piece)] if (piece := message.text[sent_chars:]) else []
        return told if message.is_running else [*told, _end(message.state, message.cause, message.is_saved)]
    told = []
    for fragment in item:
        if fragment.position.turn == number:
            told += [TextPiece(fragment.text)] if fragment.text else []
            is_saved = fragment.kind is not FragmentKind.UNSAVED
            told += [_end(fragment.state, fragment.cause, is_saved)] if fragment.is_end else []
    return told


def _end(state: TurnState | None, cause: str | None, is_saved: bool) -> TurnEnd:
    return TurnEnd(state or TurnState.FINISHED, cause if is_saved else "not_saved")
