"""What every store promises about turns, asked of each implementation."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from tests.stores import ADA, BOB, NOWHERE, Clock, begin, ended, finish, query, request
from webapp.domain import BegunTurn, Checkpoint, Rendering, Role, TurnState
from webapp.errors import ConversationNotFound, NothingToRetry, TurnRunning
from webapp.stores import Catalog, Shelf, Store
from webapp.stores.sql import SqlStore


class TestCreatingAConversation:
    async def test_a_first_prompt_opens_a_conversation_with_a_running_empty_reply(
        self, store: Store, clock: Clock
    ) -> None:
        turn = await begin(store, "Why is  the sky blue?")

        assert not turn.is_repeat
        assert (turn.prompt.role, turn.prompt.text) == (Role.USER, "Why is  the sky blue?")
        assert (turn.prompt.parent, turn.prompt.state, turn.prompt.cause) == (None, None, None)
        assert (turn.reply.role, turn.reply.text, turn.reply.state) == (Role.ASSISTANT, "", TurnState.RUNNING)
        assert turn.reply.parent == turn.prompt.number
        assert turn.prompt.created_at == turn.reply.created_at == turn.conversation.updated_at == clock()
        assert turn.conversation.messages == (turn.prompt, turn.reply)
        assert turn.conversation.title == "Why is the sky blue?"

    async def test_an_id_has_22_url_safe_characters_and_is_new_each_time(self, store: Store) -> None:
        ids = [(await begin(store, number=number)).conversation.id for number in range(20)]

        assert len(set(ids)) == 20
        assert all(len(id) == 22 and id.replace("-", "").replace("_", "").isalnum() for id in ids)

    async def test_a_first_prompt_that_arrives_twice_gives_the_conversation_of_the_first_time(
        self, store: Store
    ) -> None:
        first = await begin(store)
        again = await begin(store)

        assert again.is_repeat
        assert again.conversation == first.conversation
        assert (again.prompt, again.reply) == (first.prompt, first.reply)

    async def test_an_edited_first_prompt_under_the_same_request_id_is_a_new_one(self, store: Store) -> None:
        first = await begin(store, "Hello")
        edited = await begin(store, "Hello!")

        assert not edited.is_repeat
        assert edited.conversation.id != first.conversation.id

    async def test_ten_arrivals_at_once_of_one_first_prompt_open_one_conversation(
        self, store: Store, catalog: Catalog
    ) -> None:
        turns = await asyncio.gather(*(begin(store) for _ in range(10)))

        assert Counter(turn.is_repeat for turn in turns) == {False: 1, True: 9}
        assert len({turn.conversation.id for turn in turns}) == 1
        assert len(await catalog.page(ADA, Shelf.RECENT, 50)) == 1

    async def test_two_readers_with_the_same_request_id_get_a_conversation_each(self, store: Store) -> None:
        adas = await begin(store, owner=ADA)
        bobs = await begin(store, owner=BOB)

        assert not bobs.is_repeat
        assert adas.conversation.id != bobs.conversation.id


class TestBeginningATurn:
    async def test_a_further_prompt_continues_the_branch(self, store: Store, clock: Clock) -> None:
        first = await begin(store)
        await finish(store, first, "Hi")
        later = clock.advance(60)

        turn = await store.begin_turn(ADA, first.conversation.id, "And now?", request(2))

        assert not turn.is_repeat
        assert (turn.prompt.parent, turn.reply.parent) == (first.reply.number, turn.prompt.number)
        assert [message.text for message in turn.conversation.messages] == ["Hello", "Hi", "And now?", ""]
        assert turn.conversation.running == turn.reply
        assert turn.conversation.updated_at == turn.reply.created_at == later
        assert await store.conversation(ADA, first.conversation.id) == turn.conversation

    async def test_a_prompt_while_a_reply_is_being_written_is_refused(self, store: Store) -> None:
        first = await begin(store)

        with pytest.raises(TurnRunning):
            await store.begin_turn(ADA, first.conversation.id, "And now?", request(2))

        assert await store.conversation(ADA, first.conversation.id) == first.conversation

    async def test_a_prompt_that_arrives_twice_is_stored_once_even_while_its_reply_runs(self, store: Store) -> None:
        first = await begin(store)
        await finish(store, first)

        turn = await store.begin_turn(ADA, first.conversation.id, "And now?", request(2))
        again = await store.begin_turn(ADA, first.conversation.id, "And now?", request(2))

        assert again.is_repeat
        assert (again.prompt, again.reply, again.conversation) == (turn.prompt, turn.reply, turn.conversation)

    async def test_a_prompt_repeated_long_after_its_turn_gives_that_turn_as_it_ended(self, store: Store) -> None:
        first = await begin(store)
        await finish(store, first, "Hi", TurnState.STOPPED)
        second = await store.begin_turn(ADA, first.conversation.id, "And now?", request(2))
        await finish(store, second)

        again = await store.begin_turn(ADA, first.conversation.id, "Hello", request(1))

        assert again.is_repeat
        assert again.prompt == first.prompt
        assert again.reply.number == first.reply.number
        assert (again.reply.text, again.reply.state) == ("Hi", TurnState.STOPPED)
        assert len(again.conversation.messages) == 4

    async def test_a_repeated_prompt_gives_its_first_reply_although_another_shows_now(self, store: Store) -> None:
        first = await begin(store)
        await finish(store, first)
        retried = await store.retry_turn(ADA, first.conversation.id, first.reply.number)

        again = await begin(store)

        assert again.is_repeat
        assert again.reply.number == first.reply.number
        assert again.conversation.running == retried.reply

    async def test_an_edited_prompt_under_the_same_request_id_is_a_new_one(self, store: Store) -> None:
        first = await begin(store, "Hello")
        await finish(store, first)

        edited = await store.begin_turn(ADA, first.conversation.id, "Hello!", request(1))

        assert not edited.is_repeat
        assert len(edited.conversation.messages) == 4

    async def test_of_ten_different_prompts_at_once_one_begins_a_turn(self, store: Store) -> None:
        first = await begin(store)
        await finish(store, first)

        outcomes = await asyncio.gather(
            *(store.begin_turn(ADA, first.conversation.id, f"Prompt {n}", request(n)) for n in range(10)),
            return_exceptions=True,
        )

        assert Counter(type(outcome) for outcome in outcomes) == {BegunTurn: 1, TurnRunning: 9}
        assert len((await store.conversation(ADA, first.conversation.id)).messages) == 4

    async def test_ten_arrivals_at_once_of_one_prompt_begin_one_turn(self, store: Store) -> None:
        first = await begin(store)
        await finish(store, first)

        turns = await asyncio.gather(
            *(store.begin_turn(ADA, first.conversation.id, "And now?", request(2)) for _ in range(10))
        )

        assert Counter(turn.is_repeat for turn in turns) == {False: 1, True: 9}
        assert len({(turn.prompt.number, turn.reply.number) for turn in turns}) == 1
        assert len((await store.conversation(ADA, first.conversation.id)).messages) == 4

    async def test_many_conversations_can_be_written_at_once(self, store: Store) -> None:
        turns = await asyncio.gather(*(begin(store, number=number) for number in range(40)))
        await asyncio.gather(*(finish(store, turn) for turn in turns))

        states = {(await store.conversation(ADA, turn.conversation.id)).messages[-1].state for turn in turns}
        assert states == {TurnState.FINISHED}

    async def test_two_stores_on_one_database_begin_one_turn(self, store: Store, store_url: str) -> None:
        first = await begin(store)
        await finish(store, first)
        other = SqlStore(store_url)
        await other.open()

        outcomes = await asyncio.gather(
            *(
                either.begin_turn(ADA, first.conversation.id, f"Prompt {n}", request(n))
                for n in range(5)
                for either in (store, other)
            ),
            return_exceptions=True,
        )
        await other.close()

        # Both send each prompt: the one that wins begins a turn and is recognised at the other.
        begun = [outcome for outcome in outcomes if isinstance(outcome, BegunTurn)]
        assert Counter(type(outcome) for outcome in outcomes) == {BegunTurn: 2, TurnRunning: 8}
        assert sorted(turn.is_repeat for turn in begun) == [False, True]
        assert len((await store.conversation(ADA, first.conversation.id)).messages) == 4


class TestRetrying:
    async def test_a_retry_shows_a_new_empty_reply_to_the_same_prompt(self, store: Store, clock: Clock) -> None:
        first = await begin(store)
        await finish(store, first, "Hm", TurnState.FAILED)
        later = clock.advance(5)

        retried = await store.retry_turn(ADA, first.conversation.id, first.reply.number)

        assert not retried.is_repeat
        assert retried.prompt == first.prompt
        assert retried.reply.number > first.reply.number
        assert (retried.reply.parent, retried.reply.text) == (first.prompt.number, "")
        assert retried.conversation.messages == (retried.prompt, retried.reply)
        assert retried.conversation.running == retried.reply
        assert retried.conversation.updated_at == later

    async def test_the_old_reply_is_kept_though_it_no_longer_shows(self, store: Store, store_url: str) -> None:
        first = await begin(store)
        await finish(store, first, "The old reply")
        await store.retry_turn(ADA, first.conversation.id, first.reply.number)

        texts = await query(store_url, "SELECT text FROM messages ORDER BY number")

        assert texts == [("Hello",), ("The old reply",), ("",)]

    async def test_the_conversation_goes_on_from_the_reply_that_shows(self, store: Store) -> None:
        first = await begin(store)
        await finish(store, first, "Old")
        retried = await store.retry_turn(ADA, first.conversation.id, first.reply.number)
        await finish(store, retried, "New")

        turn = await store.begin_turn(ADA, first.conversation.id, "And now?", request(2))

        assert [message.text for message in turn.conversation.messages] == ["Hello", "New", "And now?", ""]
        assert turn.prompt.number > retried.reply.number

    async def test_only_a_reply_on_the_showing_branch_can_be_tried_again(self, store: Store) -> None:
        first = await begin(store)
        conversation_id = first.conversation.id
        with pytest.raises(TurnRunning):
            await store.retry_turn(ADA, conversation_id, first.reply.number)
        await finish(store, first)
        again = await store.retry_turn(ADA, conversation_id, first.reply.number)
        await finish(store, again)

        for number in (first.prompt.number, first.reply.number, 0, -1, 99, 2**70):
            with pytest.raises(NothingToRetry):
                await store.retry_turn(ADA, conversation_id, number)

    async def test_of_ten_retries_at_once_one_begins_a_turn(self, store: Store) -> None:
        first = await begin(store)
        await finish(store, first)

        outcomes = await asyncio.gather(
            *(store.retry_turn(ADA, first.conversation.id, first.reply.number) for _ in range(10)),
            return_exceptions=True,
        )

        assert Counter(type(outcome) for outcome in outcomes) == {BegunTurn: 1, TurnRunning: 9}


class TestWritingAReply:
    async def test_a_checkpoint_keeps_the_text_so_far_of_a_running_reply(self, store: Store) -> None:
        turn = await begin(store)
        await store.checkpoint([Checkpoint(turn.conversation.id, turn.reply.number, 0, "Once upon")])

        running = (await store.conversation(ADA, turn.conversation.id)).running

        assert running is not None
        assert running.text == "Once upon"

    async def test_a_checkpoint_after_the_end_changes_nothing(self, store: Store) -> None:
        turn = await begin(store)
        await finish(store, turn, "Once upon a time")
        ended = await store.conversation(ADA, turn.conversation.id)

        await store.checkpoint([Checkpoint(turn.conversation.id, turn.reply.number, 0, "Once")])

        assert await store.conversation(ADA, turn.conversation.id) == ended

    @pytest.mark.parametrize("state", [state for state in TurnState if state is not TurnState.RUNNING])
    async def test_the_end_of_a_turn_is_kept_with_its_cause(self, store: Store, clock: Clock, state: TurnState) -> None:
        turn = await begin(store)
        later = clock.advance(9)
        await store.end_turn(turn.conversation.id, ended(turn, "Once", state, "length"))

        stored = await store.conversation(ADA, turn.conversation.id)

        reply = stored.messages[-1]
        assert (reply.text, reply.state, reply.cause) == ("Once", state, "length")
        assert reply.rendering == Rendering("<p>Once</p>", "7")
        assert stored.running is None
        assert stored.updated_at == later

    async def test_a_turn_ends_only_once(self, store: Store, clock: Clock) -> None:
        turn = await begin(store)
        await finish(store, turn, "Whole")
        first = await store.conversation(ADA, turn.conversation.id)
        clock.advance(9)

        await store.end_turn(turn.conversation.id, ended(turn, "Cut", TurnState.STOPPED, "late"))

        assert await store.conversation(ADA, turn.conversation.id) == first

    async def test_a_rendering_is_kept_for_a_reply_that_has_ended(self, store: Store) -> None:
        turn = await begin(store)
        await finish(store, turn, "Whole")
        before = await store.conversation(ADA, turn.conversation.id)

        await store.keep_rendering(turn.conversation.id, turn.reply.number, Rendering("<p>Anew</p>", "8"))

        after = await store.conversation(ADA, turn.conversation.id)
        anew = replace(before.messages[-1], rendering=Rendering("<p>Anew</p>", "8"))
        assert after == replace(before, messages=(before.messages[0], anew))

    async def test_a_running_reply_has_no_rendering_to_keep(self, store: Store) -> None:
        turn = await begin(store)

        await store.keep_rendering(turn.conversation.id, turn.reply.number, Rendering("<p>Early</p>", "8"))

        assert await store.conversation(ADA, turn.conversation.id) == turn.conversation

    async def test_a_prompt_cannot_be_overwritten_as_if_it_were_a_reply(self, store: Store) -> None:
        turn = await begin(store)

        await store.checkpoint([Checkpoint(turn.conversation.id, turn.prompt.number, 0, "Overwritten")])
        await store.end_turn(turn.conversation.id, replace(turn.prompt, state=TurnState.FINISHED))
        await store.keep_rendering(turn.conversation.id, turn.prompt.number, Rendering("<p>Overwritten</p>", "8"))

        assert await store.conversation(ADA, turn.conversation.id) == turn.conversation

    async def test_writing_to_a_conversation_that_is_not_there_does_nothing(self, store: Store) -> None:
        turn = await begin(store)
        await store.checkpoint([Checkpoint(NOWHERE, 2, 0, "Once")])
        await store.end_turn(NOWHERE, ended(turn, "Once", TurnState.FINISHED))
        await store.keep_rendering(NOWHERE, 2, Rendering("<p>Once</p>", "8"))

        with pytest.raises(ConversationNotFound):
            await store.conversation(ADA, NOWHERE)
