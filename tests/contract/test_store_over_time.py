"""What every store promises about what it has kept, asked of each implementation."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import event

from tests.stores import ADA, BOB, NOWHERE, Clock, begin, ended, finish, query, request
from webapp.domain import BegunTurn, Checkpoint, ConversationId, RequestId, TurnState
from webapp.errors import ConversationNotFound, StoreUnavailable
from webapp.stores import Store
from webapp.stores.sql import SqlStore


@contextmanager
def cancelled_at_statement(store: SqlStore, count: int, task: asyncio.Task[BegunTurn]) -> Iterator[None]:
    """Cancel a task when the database is given its so-manieth statement."""
    statements = iter(range(count))

    def cancel(*_: object) -> None:
        if next(statements, None) == count - 1:
            task.cancel()

    engine = store.database._engine.sync_engine
    event.listen(engine, "before_cursor_execute", cancel)
    yield
    event.remove(engine, "before_cursor_execute", cancel)


class TestInterrupting:
    async def test_only_turns_that_went_silent_are_ended(self, store: Store, clock: Clock) -> None:
        silent = await begin(store, number=1)
        alive = await begin(store, number=2)
        await store.checkpoint([Checkpoint(silent.conversation.id, silent.reply.number, 0, "Once")])
        since = clock.advance(30)
        await store.checkpoint([Checkpoint(alive.conversation.id, alive.reply.number, 0, "Twice")])

        ended = await store.interrupt_turns(since)

        reply = (await store.conversation(ADA, silent.conversation.id)).messages[-1]
        assert [(listed.id, each) for listed, each in ended] == [(silent.conversation.id, replace(reply, siblings=()))]
        assert (reply.text, reply.state, reply.cause) == ("Once", TurnState.INTERRUPTED, "interrupted")
        assert (await store.conversation(ADA, alive.conversation.id)).running is not None

    async def test_a_turn_that_has_ended_is_left_alone(self, store: Store, clock: Clock) -> None:
        turn = await begin(store)
        await finish(store, turn)

        ended = await store.interrupt_turns(clock() + timedelta(days=1))

        assert ended == []
        assert (await store.conversation(ADA, turn.conversation.id)).messages[-1].state is TurnState.FINISHED

    async def test_each_interrupted_turn_is_given_once_however_many_ask(self, store: Store, clock: Clock) -> None:
        turns = [await begin(store, number=number) for number in range(5)]
        since = clock.advance(30)

        answers = await asyncio.gather(*(store.interrupt_turns(since) for _ in range(4)))

        given = [listed.id for answer in answers for listed, _ in answer]
        assert sorted(given) == sorted(turn.conversation.id for turn in turns)

    async def test_the_cut_off_is_understood_in_any_time_zone(self, store: Store, clock: Clock) -> None:
        await begin(store)
        half_past = clock() + timedelta(seconds=30)
        tokyo = half_past.astimezone(ZoneInfo("Asia/Tokyo"))

        assert await store.interrupt_turns(clock()) == []
        assert len(await store.interrupt_turns(tokyo)) == 1

    async def test_an_interrupted_turn_can_be_tried_again(self, store: Store, clock: Clock) -> None:
        turn = await begin(store)
        await store.interrupt_turns(clock.advance(30))

        retried = await store.retry_turn(ADA, turn.conversation.id, turn.reply.number)

        assert retried.conversation.running == retried.reply

    async def test_the_process_that_was_thought_dead_cannot_change_the_end(self, store: Store, clock: Clock) -> None:
        turn = await begin(store)
        await store.interrupt_turns(clock.advance(30))

        await store.checkpoint([Checkpoint(turn.conversation.id, turn.reply.number, 0, "Late")])
        await finish(store, turn, "Late")

        reply = (await store.conversation(ADA, turn.conversation.id)).messages[-1]
        assert (reply.text, reply.state) == ("", TurnState.INTERRUPTED)

    async def test_running_turns_are_found_by_an_index(self, store: Store, store_url: str) -> None:
        running = "SELECT number FROM messages WHERE state = 'running' AND seen_alive_at < '2026-01-01'"
        if store_url.startswith("sqlite"):
            plan = await query(store_url, f"EXPLAIN QUERY PLAN {running}")
        else:
            plan = await query(store_url, f"EXPLAIN {running}")

        assert "ix_messages_running" in str(plan)


class TestOwnership:
    async def test_another_readers_conversation_looks_like_none(self, store: Store) -> None:
        turn = await begin(store, owner=ADA)
        await finish(store, turn)
        conversation_id, number = turn.conversation.id, turn.reply.number
        before = await store.conversation(ADA, conversation_id)

        with pytest.raises(ConversationNotFound) as on_reading:
            await store.conversation(BOB, conversation_id)
        with pytest.raises(ConversationNotFound) as on_nothing:
            await store.conversation(BOB, NOWHERE)
        with pytest.raises(ConversationNotFound):
            await store.begin_turn(BOB, conversation_id, "Mine now?", request(2))
        with pytest.raises(ConversationNotFound):
            await store.begin_turn(BOB, conversation_id, "Hello", request(1))  # A repeat must not leak it either.
        with pytest.raises(ConversationNotFound):
            await store.retry_turn(BOB, conversation_id, number)

        assert str(on_reading.value) == str(on_nothing.value)
        assert await store.conversation(ADA, conversation_id) == before

    @pytest.mark.parametrize("id", ["", "x" * 10_000, "a\x00b", "\ud800", "' OR 1=1 --", "%"])
    async def test_an_id_of_any_shape_is_simply_not_found(self, store: Store, id: str) -> None:
        await begin(store)

        with pytest.raises(ConversationNotFound):
            await store.conversation(ADA, ConversationId(id))


class TestTexts:
    async def test_nul_and_lone_surrogates_do_not_fail(self, store: Store) -> None:
        turn = await store.create_conversation(ADA, "a\x00b \ud800 \ud83d\ude00 é", RequestId("\x00\udfff"))
        await store.checkpoint([Checkpoint(turn.conversation.id, turn.reply.number, 0, "c\x00d\udfff")])
        await store.end_turn(turn.conversation.id, ended(turn, "e\x00f\ud800", TurnState.FINISHED, "g\x00"))

        prompt, reply = (await store.conversation(ADA, turn.conversation.id)).messages

        assert prompt.text == turn.prompt.text == "ab \ufffd \N{GRINNING FACE} é"
        assert turn.conversation.title == prompt.text
        assert (reply.text, reply.cause) == ("ef\ufffd", "g")

    async def test_a_prompt_with_such_characters_is_recognised_when_it_is_repeated(self, store: Store) -> None:
        first = await begin(store, "a\x00b\ud800")
        again = await begin(store, "a\x00b\ud800")

        assert again.is_repeat
        assert again.conversation.id == first.conversation.id

    async def test_a_megabyte_comes_back_as_it_went_in(self, store: Store) -> None:
        text = "Grüße, 世界! 🙂\r\n\t" * 50_000
        assert len(text.encode()) > 1_000_000

        turn = await begin(store, text)
        await finish(store, turn, text[::-1])

        messages = (await store.conversation(ADA, turn.conversation.id)).messages
        assert [message.text for message in messages] == [text, text[::-1]]

    async def test_a_long_branch_is_read_whole_and_in_order(self, store: Store) -> None:
        turn = await begin(store)
        for number in range(2, 40):
            await finish(store, turn, f"Reply {number}")
            turn = await store.begin_turn(ADA, turn.conversation.id, f"Prompt {number}", request(number))

        numbers = [message.number for message in turn.conversation.messages]

        assert numbers == list(range(numbers[0], numbers[0] + 78))

    async def test_times_come_back_exact_and_in_utc(self, store: Store, clock: Clock) -> None:
        clock.time = clock.time.astimezone(ZoneInfo("America/New_York"))

        turn = await begin(store)

        assert turn.prompt.created_at == clock()
        assert turn.prompt.created_at.tzinfo is UTC
        assert turn.conversation.updated_at.tzinfo is UTC


class TestOpeningAndClosing:
    async def test_conversations_survive_a_restart(self, store_url: str) -> None:
        before = SqlStore(store_url)
        await before.open()
        turn = await begin(before)
        await before.close()

        after = SqlStore(store_url)
        await after.open()
        survived = await after.conversation(ADA, turn.conversation.id)
        await after.close()

        assert survived == turn.conversation

    async def test_an_open_store_passes_its_check(self, store: Store) -> None:
        await store.check()

    async def test_a_store_that_is_closed_answers_nothing(self, store_url: str) -> None:
        store = SqlStore(store_url)
        await store.open()
        await store.close()

        with pytest.raises(StoreUnavailable):
            await store.check()
        with pytest.raises(StoreUnavailable):
            await begin(store)

    async def test_a_broken_database_is_reported_without_what_people_wrote(self, store: Store, store_url: str) -> None:
        await query(store_url, "ALTER TABLE messages RENAME COLUMN text TO elsewhere")
        await store.check()

        with pytest.raises(StoreUnavailable) as caught:
            await begin(store, "CANARY")

        assert "text" in caught.value.detail
        assert "CANARY" not in f"{caught.value.detail} {caught.value} {caught.value.__cause__}"
        await query(store_url, "ALTER TABLE messages RENAME COLUMN elsewhere TO text")
        assert not (await begin(store, "CANARY")).is_repeat  # The failed call left nothing behind.

    async def test_a_database_without_the_tables_fails_the_check(self, store: Store, store_url: str) -> None:
        await query(store_url, "ALTER TABLE conversations RENAME TO elsewhere")

        with pytest.raises(StoreUnavailable):
            await store.check()


class TestBeingAbandoned:
    """Cancelled inside a driver, a connection can keep its lock on the database until Python collects it."""

    async def test_a_call_that_its_caller_abandons_anywhere_runs_to_its_end(self, store: SqlStore) -> None:
        for count in range(1, 8):
            call = asyncio.create_task(begin(store, number=count))
            with cancelled_at_statement(store, count, call):
                await asyncio.gather(call, return_exceptions=True)
                again = await begin(store, number=count)

            assert call.cancelled()
            assert again.is_repeat

    async def test_closing_waits_for_abandoned_calls(self, store: SqlStore) -> None:
        call = asyncio.create_task(begin(store))
        with cancelled_at_statement(store, 2, call):
            await asyncio.gather(call, return_exceptions=True)
            await store.close()
        await store.open()

        assert call.cancelled()
        assert (await begin(store)).is_repeat
