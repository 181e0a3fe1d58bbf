"""What every store promises about messages that are deleted, and about replies that are rated."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.contract.test_branches import further, texts
from tests.stores import ADA, BOB, Clock, begin, ended, finish
from webapp.domain import Measures, TurnState
from webapp.errors import ConversationNotFound, MessageNotFound, TurnRunning
from webapp.stores import Catalog, Store


class TestDeleting:
    async def test_what_follows_goes_too(self, store: Store) -> None:
        first = await begin(store, "One")
        await finish(store, first, "Reply one")
        second = await further(store, first, "Two", 2, "Reply two")
        await further(store, first, "Three", 3, "Reply three")

        left = await store.delete_message(ADA, first.conversation.id, second.prompt.number)

        assert left is not None
        assert texts(left) == ["One", "Reply one"]
        assert await store.conversation(ADA, first.conversation.id) == left

    async def test_a_version_goes_and_the_newest_other_one_shows(self, store: Store) -> None:
        first = await begin(store, "One")
        await finish(store, first, "Reply one")
        again = await store.retry_turn(ADA, first.conversation.id, 2)
        await finish(store, again, "Another")

        left = await store.delete_message(ADA, first.conversation.id, again.reply.number)

        assert left is not None
        assert texts(left) == ["One", "Reply one"]
        assert left.messages[-1].siblings == (2,)

    async def test_with_the_only_reply_goes_its_prompt(self, store: Store) -> None:
        first = await begin(store, "One")
        await finish(store, first, "Reply one")
        second = await further(store, first, "Two", 2, "Reply two")

        left = await store.delete_message(ADA, first.conversation.id, second.reply.number)

        assert left is not None
        assert texts(left) == ["One", "Reply one"]

    async def test_a_number_is_never_given_again(self, store: Store) -> None:
        first = await begin(store, "One")
        await finish(store, first, "Reply one")
        second = await further(store, first, "Two", 2, "Reply two")
        await store.delete_message(ADA, first.conversation.id, second.prompt.number)

        third = await further(store, first, "Three", 3, "Reply three")

        assert third.prompt.number == 5
        assert third.prompt.parent == 2
        assert third.conversation.last_number == 6

    async def test_each_deletion_is_a_switch_that_pages_notice(self, store: Store) -> None:
        first = await begin(store, "One")
        await finish(store, first, "Reply one")
        second = await further(store, first, "Two", 2, "Reply two")

        left = await store.delete_message(ADA, first.conversation.id, second.prompt.number)

        assert left is not None
        assert (left.switches, left.last_number) == (1, 4)

    async def test_with_the_last_message_goes_the_conversation(self, store: Store, catalog: Catalog) -> None:
        first = await begin(store, "One")
        await finish(store, first, "Reply one")

        assert await store.delete_message(ADA, first.conversation.id, 1) is None

        with pytest.raises(ConversationNotFound):
            await store.conversation(ADA, first.conversation.id)
        with pytest.raises(ConversationNotFound):
            await catalog.find(ADA, first.conversation.id)
        await catalog.restore(ADA, first.conversation.id)
        assert texts(await store.conversation(ADA, first.conversation.id)) == ["One", "Reply one"]

    async def test_nothing_of_it_is_found_or_shown_any_more(self, store: Store, catalog: Catalog) -> None:
        first = await begin(store, "One")
        await finish(store, first, "Reply one")
        second = await further(store, first, "Secret", 2, "The secret")
        await store.delete_message(ADA, first.conversation.id, second.prompt.number)

        assert await catalog.search(ADA, "secret", 9) == []
        for call in (
            store.show_branch(ADA, first.conversation.id, second.reply.number),
            store.delete_message(ADA, first.conversation.id, second.prompt.number),
            store.rate(ADA, first.conversation.id, second.reply.number, 1),
        ):
            with pytest.raises(MessageNotFound):
                await call

    async def test_only_what_is_ones_own_and_at_rest(self, store: Store) -> None:
        first = await begin(store, "One")

        with pytest.raises(TurnRunning):
            await store.delete_message(ADA, first.conversation.id, 1)
        with pytest.raises(ConversationNotFound):
            await store.delete_message(BOB, first.conversation.id, 1)


class TestRating:
    async def test_a_rating_is_kept_and_given_back(self, store: Store) -> None:
        turn = await begin(store, "One")
        await store.end_turn(
            turn.conversation.id,
            replace(ended(turn, "Reply", TurnState.FINISHED), reasoning="Hm", measures=Measures("m", 0.5, 2.0, 10, 20)),
        )

        rated = await store.rate(ADA, turn.conversation.id, 2, -1, "Wrong")

        assert (rated.rating, rated.comment) == (-1, "Wrong")
        assert (await store.conversation(ADA, turn.conversation.id)).messages[-1] == rated
        assert (rated.reasoning, rated.measures) == ("Hm", Measures("m", 0.5, 2.0, 10, 20))
        ((conversation_id, reply, prompt),) = [
            (each.conversation_id, each.reply, each.prompt) for each in await store.ratings()
        ]
        assert (conversation_id, prompt) == (turn.conversation.id, "One")
        assert (reply.text, reply.rating, reply.comment) == ("Reply", -1, "Wrong")

    async def test_it_can_be_taken_back_with_its_comment(self, store: Store) -> None:
        turn = await begin(store)
        await finish(store, turn)
        await store.rate(ADA, turn.conversation.id, 2, 1, "Good")

        rated = await store.rate(ADA, turn.conversation.id, 2, None)

        assert (rated.rating, rated.comment) == (None, "")
        assert await store.ratings() == []

    async def test_only_ones_own_ended_replies_are_rated(self, store: Store, clock: Clock) -> None:
        turn = await begin(store)
        for number in (1, 2, 3):
            with pytest.raises(MessageNotFound):
                await store.rate(ADA, turn.conversation.id, number, 1)
        await finish(store, turn)

        with pytest.raises(ConversationNotFound):
            await store.rate(BOB, turn.conversation.id, 2, 1)
        assert await store.ratings() == []
