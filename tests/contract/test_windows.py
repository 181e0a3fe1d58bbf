"""What every store promises about long conversations: no more of them is read than is wanted."""

from __future__ import annotations

import pytest

from tests.contract.test_branches import further, texts
from tests.stores import ADA, begin, finish, request
from webapp.domain import NOTHING, WHOLE, Checkpoint, ConversationId, Window
from webapp.stores import Store


async def long_conversation(store: Store) -> ConversationId:
    """Eight messages, of which the third and fourth stand beside another pair: 1 2 5 6 7 8 9 10."""
    first = await begin(store, prompt="1")
    await finish(store, first, "2")
    await further(store, first, "3", 2, "4")
    edited = await store.begin_turn(ADA, first.conversation.id, "5", request(3), edits=3)
    await finish(store, edited, "6")
    await further(store, first, "7", 4, "8")
    await further(store, first, "9", 5, "10")
    return first.conversation.id


@pytest.mark.parametrize(
    ("window", "shown", "earlier"),
    [
        (WHOLE, [1, 2, 5, 6, 7, 8, 9, 10], 0),
        (Window(3), [8, 9, 10], 5),
        (Window(100), [1, 2, 5, 6, 7, 8, 9, 10], 0),
        (Window(2, since=6), [7, 8, 9, 10], 4),
        (Window(3, since=9), [8, 9, 10], 5),
        (Window(2, before=7), [5, 6], 2),
        (Window(2, before=1), [], 0),
        (Window(2, since=3), [5, 6, 7, 8, 9, 10], 2),
        (NOTHING, [], 8),
    ],
)
async def test_a_window_shows_a_part_of_the_branch(
    store: Store, window: Window, shown: list[int], earlier: int
) -> None:
    conversation_id = await long_conversation(store)

    conversation = await store.conversation(ADA, conversation_id, window)

    assert [message.number for message in conversation.messages] == shown
    assert texts(conversation) == [str(number) for number in shown]
    assert conversation.earlier == earlier
    assert conversation.last_number == 10
    assert all(message.siblings == (3, 5) for message in conversation.messages if message.number == 5)


async def test_a_running_reply_in_a_window_has_its_text(store: Store) -> None:
    conversation_id = await long_conversation(store)
    begun = await store.begin_turn(ADA, conversation_id, "11", request(6))
    await store.checkpoint([Checkpoint(conversation_id, begun.reply.number, 0, "so far")])

    conversation = await store.conversation(ADA, conversation_id, Window(1))

    assert conversation.running is not None
    assert conversation.running.text == "so far"
