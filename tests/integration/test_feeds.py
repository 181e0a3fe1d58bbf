"""Following a conversation, past every transport: beats, lagging, and replies as plain text."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes import ROOT, until
from webapp import errors, feeds
from webapp.attachments import Attachments
from webapp.brokers.memory import WAITING_BYTES, MemoryBroker
from webapp.domain import (
    Conversation,
    ConversationId,
    Fragment,
    FragmentKind,
    Position,
    ReaderId,
    RequestId,
    TurnState,
    Window,
)
from webapp.feeds import Beat, Snapshot, TextPiece, TurnEnd, follow, follow_reply
from webapp.providers import ChatMessage
from webapp.providers.function import FunctionProvider
from webapp.rendering import Renderer
from webapp.replies import ReplyRenderer
from webapp.stores.attachments import SqlAttachments
from webapp.stores.sql import SqlStore
from webapp.turns import TurnLimits, Turns

ADA, BOB = ReaderId("a" * 32), ReaderId("b" * 32)
Item = Snapshot | list[Fragment] | Beat


class Pen:
    """A reply function that writes what it is handed, until it is handed `None`."""

    def __init__(self) -> None:
        self.words: asyncio.Queue[str | None] = asyncio.Queue()

    async def __call__(self, messages: list[ChatMessage]) -> AsyncIterator[str]:
        while (word := await self.words.get()) is not None:
            yield word

    def write(self, *words: str | None) -> None:
        for word in words:
            self.words.put_nowait(word)


@pytest.fixture
def pen() -> Pen:
    return Pen()


@pytest.fixture
async def turns(tmp_path: Path, pen: Pen) -> AsyncIterator[Turns]:
    store = SqlStore(f"sqlite:///{tmp_path}/rill.db")
    await store.open()
    renderer, replies = Renderer(ROOT / "templates"), ReplyRenderer()
    attached = Attachments(SqlAttachments(store.database))
    made = Turns(store, MemoryBroker(), FunctionProvider(pen), renderer, replies, TurnLimits(flush_seconds=0), attached)
    await made.open()
    yield made
    await made.close(0)
    await replies.close()
    await store.close()


async def begin(turns: Turns, conversation: Conversation | None = None) -> tuple[ConversationId, int]:
    id_ = conversation.id if conversation else None
    begun = await turns.begin(ADA, id_, "Hello", RequestId("request"))
    return begun.conversation.id, begun.reply.number


async def has_written(turns: Turns, conversation_id: ConversationId, text: str) -> None:
    def is_written() -> bool:
        turn = turns.running(conversation_id)
        return turn is not None and turn.text == text

    await until(is_written, f"{text!r} to be written")


async def next_of(feed: AsyncGenerator[Item, None]) -> Item:
    async with asyncio.timeout(10):
        return await anext(feed)


async def test_a_feed_beats_while_nothing_happens(turns: Turns, pen: Pen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "BEAT_SECONDS", 0.02)
    conversation_id, _ = await begin(turns)
    async with aclosing(follow(turns, ADA, conversation_id)) as feed:
        assert isinstance(await next_of(feed), Snapshot)

        assert [await next_of(feed) for _ in range(3)] == [Beat(), Beat(), Beat()]
        pen.write("One")
        while isinstance(item := await next_of(feed), Beat):
            pass
        assert [fragment.text for fragment in item] == ["One"]


async def test_a_busy_feed_beats_too(turns: Turns, pen: Pen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "BEAT_SECONDS", 0.1)
    conversation_id, _ = await begin(turns)
    items: list[Item] = []
    async with asyncio.timeout(10), aclosing(follow(turns, ADA, conversation_id)) as feed:
        async for item in feed:
            items.append(item)
            pen.write("x")
            if items.count(Beat()) == 2:
                break

    assert len(items) > 5


async def test_a_reader_who_lagged_gets_a_snapshot_and_then_goes_on(turns: Turns, pen: Pen) -> None:
    conversation_id, _ = await begin(turns)
    async with aclosing(follow(turns, ADA, conversation_id)) as feed:
        await next_of(feed)
        long = "x" * (WAITING_BYTES // 4)
        pen.write(*[long] * 8)
        await has_written(turns, conversation_id, long * 8)

        item = await next_of(feed)

        assert isinstance(item, Snapshot)
        assert item.conversation.messages[-1].text == long * 8
        pen.write("end")
        after = await next_of(feed)
        assert isinstance(after, list)
        assert [fragment.text for fragment in after] == ["end"]
        assert after[0].position == Position(item.position.turn, item.position.index + 1)


async def test_what_is_written_while_a_snapshot_is_made_is_shown_once(
    turns: Turns, pen: Pen, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation_id, _ = await begin(turns)
    pen.write("One ")
    await has_written(turns, conversation_id, "One ")
    read = turns.store.conversation

    async def read_slowly(owner: ReaderId, id_: ConversationId, window: Window) -> Conversation:
        conversation = await read(owner, id_, window)
        if "two " not in turns.running(conversation_id).text:  # type: ignore[union-attr]  # It runs.
            pen.write("two ")
        await has_written(turns, conversation_id, "One two ")
        return conversation

    monkeypatch.setattr(turns.store, "conversation", read_slowly)
    async with aclosing(follow(turns, ADA, conversation_id)) as feed:
        item = await next_of(feed)
        assert isinstance(item, Snapshot)
        assert item.conversation.messages[-1].text == "One two "

        pen.write("three")

        after = await next_of(feed)
        assert isinstance(after, list)
        assert [fragment.text for fragment in after] == ["three"]


async def test_a_snapshot_and_what_follows_it_are_the_whole_reply(turns: Turns, pen: Pen) -> None:
    """Readers who come at any moment see each character once."""
    conversation_id, number = await begin(turns)
    words = [f"{word} " for word in range(300)]
    seen: list[str] = []

    async def read() -> None:
        text, is_over = "", False
        async with aclosing(follow(turns, ADA, conversation_id)) as feed:
            async for item in feed:
                if isinstance(item, Snapshot):
                    text = item.conversation.messages[-1].text
                    is_over = not item.conversation.running
                elif not isinstance(item, Beat):
                    text += "".join(fragment.text for fragment in item if fragment.position.turn == number)
                    is_over = item[-1].kind is FragmentKind.ENDED
                if is_over:
                    break
        seen.append(text)

    readers = []
    for start in range(0, 300, 10):
        readers.append(asyncio.create_task(read()))
        pen.write(*words[start : start + 10])
        await has_written(turns, conversation_id, "".join(words[: start + 10]))
    pen.write(None)
    async with asyncio.timeout(10):
        await asyncio.gather(*readers)

    assert seen == ["".join(words)] * len(readers)


async def test_a_reader_who_is_behind_is_told_the_end_before_another_branch_is_shown(turns: Turns, pen: Pen) -> None:
    conversation_id, number = await begin(turns)
    async with aclosing(follow(turns, ADA, conversation_id)) as feed:
        await next_of(feed)
        pen.write("One", None)
        await until(lambda: turns.running(conversation_id) is None, "the turn to end")
        conversation = await turns.store.conversation(ADA, conversation_id)
        shown = Renderer(ROOT / "templates").branch_shown(replace(conversation, switches=1))
        turns.broker.publish(conversation_id, shown)

        told = await next_of(feed)

    assert isinstance(told, list)
    assert "".join(fragment.text for fragment in told) == "One"
    assert (told[-1].position.turn, told[-1].kind) == (number, FragmentKind.ENDED)


async def test_a_reply_is_followed_from_its_first_character_whenever_one_comes(turns: Turns, pen: Pen) -> None:
    conversation_id, number = await begin(turns)
    pen.write("One ", "two ")
    await has_written(turns, conversation_id, "One two ")

    async with asyncio.timeout(10), aclosing(follow_reply(turns, ADA, conversation_id, number)) as news:
        early = [await anext(news)]
        pen.write("three", None)
        early += [item async for item in news]
    async with asyncio.timeout(10), aclosing(follow_reply(turns, ADA, conversation_id, number)) as news:
        late = [item async for item in news]

    assert "".join(item.text for item in early if isinstance(item, TextPiece)) == "One two three"
    assert early[-1] == late[-1] == TurnEnd(TurnState.FINISHED, None)
    assert late[:-1] == [TextPiece("One two three")]


async def test_another_readers_conversation_cannot_be_followed(turns: Turns) -> None:
    conversation_id, number = await begin(turns)

    for feed in [follow(turns, BOB, conversation_id), follow_reply(turns, BOB, conversation_id, number)]:
        with pytest.raises(errors.ConversationNotFound):
            await anext(feed)  # type: ignore[arg-type]  # Both are generators.


async def test_a_reader_who_leaves_leaves_nothing_behind(turns: Turns, pen: Pen) -> None:
    conversation_id, _ = await begin(turns)
    feed = follow(turns, ADA, conversation_id)
    await next_of(feed)

    await feed.aclose()
    pen.write(None)

    await until(lambda: turns.running(conversation_id) is None, "the turn to end")
    assert turns.broker._feeds == {}  # type: ignore[attr-defined]  # The memory broker's own.


async def test_a_turn_whose_attachments_cannot_be_read_fails_and_can_be_tried_again(
    turns: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def told(*_: object, **__: object) -> None:
        raise errors.AttachmentsUnread

    monkeypatch.setattr(turns._attachments, "told", told)

    begun = await turns.begin(ADA, None, "Look", RequestId("r"))
    running = turns.running(begun.conversation.id)
    assert running is not None
    assert running.task is not None
    await running.task

    reply = (await turns.store.conversation(ADA, begun.conversation.id)).messages[-1]
    assert (reply.state, reply.cause) == (TurnState.FAILED, "attachments_unread")
    assert "What was attached could not be read" in errors.sentence("attachments_unread")
