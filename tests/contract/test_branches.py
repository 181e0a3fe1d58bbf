"""What every store promises about branches: siblings are kept, paged through, edited, continued."""

from __future__ import annotations

import pytest

from tests.stores import ADA, BOB, Clock, begin, finish, request
from webapp.domain import BegunTurn, Checkpoint, Conversation, Role, TurnState
from webapp.errors import ConversationNotFound, MessageNotFound, NothingToEdit, NothingToRetry, TurnRunning
from webapp.stores import Store


async def further(store: Store, turn: BegunTurn, prompt: str, number: int, reply: str) -> BegunTurn:
    """Add a whole turn to a conversation."""
    begun = await store.begin_turn(ADA, turn.conversation.id, prompt, request(number))
    await finish(store, begun, reply)
    return begun


def texts(conversation: Conversation) -> list[str]:
    return [message.text for message in conversation.messages]


class TestSiblings:
    async def test_a_message_alone_is_its_only_sibling(self, store: Store) -> None:
        turn = await begin(store)

        assert [message.siblings for message in turn.conversation.messages] == [(1,), (2,)]
        assert turn.reply.siblings == (2,)
        assert turn.conversation.last_number == 2

    async def test_a_retried_reply_stands_beside_the_old_one(self, store: Store) -> None:
        first = await begin(store)
        await finish(store, first, "Hi")
        again = await store.retry_turn(ADA, first.conversation.id, first.reply.number)

        assert again.reply.siblings == (2, 3)
        assert again.replaced is not None
        assert again.replaced.number == 2
        assert not again.is_switch

    async def test_retrying_an_earlier_reply_begins_another_branch(self, store: Store) -> None:
        first = await begin(store)
        await finish(store, first, "Hi")
        await further(store, first, "And now?", 2, "Bye")

        again = await store.retry_turn(ADA, first.conversation.id, first.reply.number)
        await finish(store, again, "Hello to you")

        shown = await store.conversation(ADA, first.conversation.id)
        assert texts(shown) == ["Hello", "Hello to you"]
        assert (again.is_switch, again.replaced) == (True, None)
        assert shown.switches == first.conversation.switches + 1

    async def test_another_branch_is_shown_to_its_newest_end(self, store: Store) -> None:
        first = await begin(store)
        await finish(store, first, "Hi")
        await further(store, first, "And now?", 2, "Bye")
        again = await store.retry_turn(ADA, first.conversation.id, first.reply.number)
        await finish(store, again, "Hello to you")

        shown = await store.show_branch(ADA, first.conversation.id, first.reply.number)

        assert texts(shown) == ["Hello", "Hi", "And now?", "Bye"]
        assert shown.messages[1].siblings == (first.reply.number, again.reply.number)
        assert shown == await store.conversation(ADA, first.conversation.id)
        assert shown.switches == again.conversation.switches + 1

    async def test_no_other_branch_is_shown_while_a_reply_is_being_written(self, store: Store) -> None:
        first = await begin(store)
        await finish(store, first, "Hi")
        await store.retry_turn(ADA, first.conversation.id, first.reply.number)

        with pytest.raises(TurnRunning):
            await store.show_branch(ADA, first.conversation.id, first.reply.number)

    async def test_a_branch_of_nothing_or_of_somebody_else_is_not_shown(self, store: Store) -> None:
        first = await begin(store)
        await finish(store, first, "Hi")
        before = await store.conversation(ADA, first.conversation.id)

        with pytest.raises(MessageNotFound):
            await store.show_branch(ADA, first.conversation.id, 99)
        with pytest.raises(ConversationNotFound):
            await store.show_branch(BOB, first.conversation.id, first.reply.number)

        assert await store.conversation(ADA, first.conversation.id) == before


class TestEditing:
    async def test_an_edited_prompt_begins_a_branch_and_the_old_one_is_kept(self, store: Store) -> None:
        first = await begin(store)
        await finish(store, first, "Hi")
        second = await further(store, first, "And now?", 2, "Bye")

        edited = await store.begin_turn(ADA, first.conversation.id, "Or now?", request(3), edits=second.prompt.number)
        await finish(store, edited, "Later")

        shown = await store.conversation(ADA, first.conversation.id)
        assert texts(shown) == ["Hello", "Hi", "Or now?", "Later"]
        assert edited.prompt.siblings == (second.prompt.number, edited.prompt.number)
        assert edited.is_switch
        back = await store.show_branch(ADA, first.conversation.id, second.prompt.number)
        assert texts(back) == ["Hello", "Hi", "And now?", "Bye"]

    async def test_the_first_prompt_can_be_edited_too(self, store: Store) -> None:
        first = await begin(store)
        await finish(store, first, "Hi")

        edited = await store.begin_turn(ADA, first.conversation.id, "Good day", request(2), edits=first.prompt.number)

        assert texts(edited.conversation) == ["Good day", ""]
        assert edited.prompt.parent is None

    async def test_an_edit_that_arrives_twice_is_stored_once(self, store: Store) -> None:
        first = await begin(store)
        await finish(store, first, "Hi")
        id_ = first.conversation.id
        edited = await store.begin_turn(ADA, id_, "Good day", request(2), edits=first.prompt.number)
        again = await store.begin_turn(ADA, id_, "Good day", request(2), edits=first.prompt.number)

        assert again.is_repeat
        assert again.conversation == edited.conversation

    @pytest.mark.parametrize("number", [2, 99, 0])
    async def test_only_prompts_are_edited(self, store: Store, number: int) -> None:
        first = await begin(store)
        await finish(store, first, "Hi")
        before = await store.conversation(ADA, first.conversation.id)

        with pytest.raises(NothingToEdit):
            await store.begin_turn(ADA, first.conversation.id, "Good day", request(2), edits=number)

        assert await store.conversation(ADA, first.conversation.id) == before


class TestContinuing:
    async def test_a_continued_reply_begins_with_the_text_of_the_old_one(self, store: Store) -> None:
        first = await begin(store)
        await finish(store, first, "Once upon", TurnState.STOPPED)

        on = await store.retry_turn(ADA, first.conversation.id, first.reply.number, continues=True)

        assert (on.reply.text, on.reply.state) == ("Once upon", TurnState.RUNNING)
        assert on.reply.siblings == (first.reply.number, on.reply.number)

    async def test_a_reply_without_a_word_cannot_be_continued(self, store: Store) -> None:
        first = await begin(store)
        await finish(store, first, "", TurnState.FAILED)

        with pytest.raises(NothingToRetry):
            await store.retry_turn(ADA, first.conversation.id, first.reply.number, continues=True)

    async def test_what_a_continued_reply_grew_by_is_kept_after_what_it_began_with(
        self, store: Store, clock: Clock
    ) -> None:
        first = await begin(store)
        await finish(store, first, "Once upon", TurnState.STOPPED)
        on = await store.retry_turn(ADA, first.conversation.id, first.reply.number, continues=True)
        await store.checkpoint([Checkpoint(on.conversation.id, on.reply.number, 9, " a time")])

        await store.interrupt_turns(clock.advance(30))

        assert texts(await store.conversation(ADA, first.conversation.id)) == ["Hello", "Once upon a time"]


class TestCheckpoints:
    async def test_pieces_are_joined_however_often_and_in_whatever_order_they_come(
        self, store: Store, clock: Clock
    ) -> None:
        turn = await begin(store)
        id_, number = turn.conversation.id, turn.reply.number
        pieces = [Checkpoint(id_, number, start, text) for start, text in [(0, "One "), (4, "two "), (8, "three")]]
        for piece in [pieces[1], pieces[0], pieces[1], pieces[2], pieces[0]]:
            await store.checkpoint([piece])

        running = (await store.conversation(ADA, id_)).running
        await store.interrupt_turns(clock.advance(30))

        reply = (await store.conversation(ADA, id_)).messages[-1]
        assert running is not None
        assert running.text == reply.text == "One two three"

    async def test_what_stands_after_a_gap_is_not_shown_as_if_it_were_whole(self, store: Store) -> None:
        turn = await begin(store)
        id_, number = turn.conversation.id, turn.reply.number
        await store.checkpoint([Checkpoint(id_, number, 0, "One "), Checkpoint(id_, number, 8, "three")])

        running = (await store.conversation(ADA, id_)).running

        assert running is not None
        assert running.text == "One "

    async def test_many_turns_are_kept_at_once_and_those_that_have_ended_left_alone(self, store: Store) -> None:
        turns = [await begin(store, number=number) for number in range(5)]
        await finish(store, turns[0], "Whole")

        await store.checkpoint([Checkpoint(turn.conversation.id, turn.reply.number, 0, "Part") for turn in turns])

        found = [(await store.conversation(ADA, turn.conversation.id)).messages[-1].text for turn in turns]
        assert found == ["Whole", "Part", "Part", "Part", "Part"]

    async def test_a_sign_of_life_without_text_keeps_a_turn_from_being_interrupted(
        self, store: Store, clock: Clock
    ) -> None:
        turn = await begin(store)
        since = clock.advance(30)
        await store.checkpoint([Checkpoint(turn.conversation.id, turn.reply.number, 0, "")])

        assert await store.interrupt_turns(since) == []

    async def test_the_end_of_a_turn_leaves_no_pieces_behind(self, store: Store) -> None:
        turn = await begin(store)
        await store.checkpoint([Checkpoint(turn.conversation.id, turn.reply.number, 0, "Part")])
        await finish(store, turn, "Part and whole")

        await store.retry_turn(ADA, turn.conversation.id, turn.reply.number)

        reply = (await store.conversation(ADA, turn.conversation.id)).messages[-1]
        assert (reply.role, reply.text) == (Role.ASSISTANT, "")
