"""Assistants, drafts and setups, in every database."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.stores import ADA, BOB, Clock, begin, finish, request
from webapp.domain import Assistant, AssistantId, Parameters, RequestId, Setup
from webapp.errors import ConversationNotFound
from webapp.stores import Catalog, Store, Workshop

EDITOR = Assistant(
    AssistantId("editor"),
    "Editor",
    "✍️",
    "Improve my\nEnglish.",
    Parameters("small", 0.25, 300),
    ("Fix this", "Shorten “that”"),
    is_own=True,
)
SETUP = Setup("Be brief.", Parameters("small", 0.5, 100), "✍️ Editor", is_fixed=True)


class TestAssistants:
    async def test_they_come_back_as_they_were_in_the_order_of_their_making(
        self, workshop: Workshop, clock: Clock
    ) -> None:
        other = replace(EDITOR, id=AssistantId("a"), name="Other", parameters=Parameters(), starters=())
        assert await workshop.keep_assistant(ADA, EDITOR, most=9)
        clock.advance(1)
        assert await workshop.keep_assistant(ADA, other, most=9)

        assert await workshop.assistants(ADA) == [EDITOR, other]
        assert await workshop.assistants(BOB) == []

    async def test_one_is_changed_where_it_is(self, workshop: Workshop) -> None:
        await workshop.keep_assistant(ADA, EDITOR, most=1)
        changed = replace(EDITOR, name="Proofreader", parameters=Parameters())

        assert await workshop.keep_assistant(ADA, changed, most=1)

        assert await workshop.assistants(ADA) == [changed]

    async def test_no_more_are_kept_than_is_allowed(self, workshop: Workshop) -> None:
        await workshop.keep_assistant(ADA, EDITOR, most=1)

        assert not await workshop.keep_assistant(ADA, replace(EDITOR, id=AssistantId("b")), most=1)

        assert await workshop.assistants(ADA) == [EDITOR]

    async def test_nobody_changes_or_deletes_another_readers(self, workshop: Workshop) -> None:
        await workshop.keep_assistant(ADA, EDITOR, most=9)

        await workshop.keep_assistant(BOB, replace(EDITOR, name="Mine"), most=9)
        await workshop.drop_assistant(BOB, EDITOR.id)

        assert await workshop.assistants(ADA) == [EDITOR]
        assert await workshop.assistants(BOB) == []

    async def test_one_is_deleted(self, workshop: Workshop) -> None:
        await workshop.keep_assistant(ADA, EDITOR, most=9)

        await workshop.drop_assistant(ADA, EDITOR.id)

        assert await workshop.assistants(ADA) == []


class TestSetups:
    async def test_a_conversation_keeps_how_it_is_answered(self, store: Store) -> None:
        begun = await store.create_conversation(ADA, "Hello", request(1), SETUP)

        assert begun.conversation.setup == SETUP
        assert (await store.conversation(ADA, begun.conversation.id)).setup == SETUP

    async def test_it_is_set_up_anew(self, store: Store) -> None:
        begun = await store.create_conversation(ADA, "Hello", request(1), replace(SETUP, is_fixed=False))

        await store.set_up(ADA, begun.conversation.id, Setup("Be long.", Parameters(None, 1.5)))

        assert (await store.conversation(ADA, begun.conversation.id)).setup == Setup(
            "Be long.", Parameters("small", 1.5), "✍️ Editor"
        )

    async def test_nobody_sets_up_another_readers(self, store: Store) -> None:
        begun = await begin(store)

        with pytest.raises(ConversationNotFound):
            await store.set_up(BOB, begun.conversation.id, SETUP)


class TestDrafts:
    async def test_each_place_and_each_reader_has_one(self, store: Store, workshop: Workshop) -> None:
        place = (await begin(store)).conversation.id
        await workshop.keep_draft(ADA, place, "Here", request(2))
        await workshop.keep_draft(ADA, None, "There", request(3))
        await workshop.keep_draft(ADA, None, "There, longer", request(3))

        assert await workshop.draft(ADA, place) == "Here"
        assert await workshop.draft(ADA, None) == "There, longer"
        assert await workshop.draft(BOB, None) == ""

    async def test_it_ends_when_it_is_sent_whatever_comes_late(self, store: Store, workshop: Workshop) -> None:
        first = await begin(store)
        await finish(store, first)
        place = first.conversation.id
        await workshop.keep_draft(ADA, place, "Half a sen", request(2))
        await workshop.keep_draft(ADA, None, "Another", request(3))

        await store.begin_turn(ADA, place, "Half a sentence", request(2))
        await workshop.keep_draft(ADA, place, "Half a sente", request(2))
        await store.create_conversation(ADA, "Another one", request(3))
        await workshop.keep_draft(ADA, None, "Another on", request(3))

        assert await workshop.draft(ADA, place) == ""
        assert await workshop.draft(ADA, None) == ""
        await workshop.keep_draft(ADA, None, "The next", request(4))
        assert await workshop.draft(ADA, None) == "The next"

    async def test_the_first_that_comes_of_one_that_was_sent_is_none(self, store: Store, workshop: Workshop) -> None:
        await begin(store, "Hello", number=1)

        await workshop.keep_draft(ADA, None, "Hel", request(1))
        await workshop.keep_draft(ADA, None, "Hello ", request(1))

        assert await workshop.draft(ADA, None) == ""

    async def test_an_edit_leaves_what_waits_in_the_composer(self, store: Store, workshop: Workshop) -> None:
        first = await begin(store)
        await finish(store, first)
        place = first.conversation.id
        await workshop.keep_draft(ADA, place, "Half a sentence", request(2))

        await store.begin_turn(ADA, place, "Edited", request(3), edits=1)

        assert await workshop.draft(ADA, place) == "Half a sentence"

    async def test_they_are_not_kept_for_ever(
        self, store: Store, catalog: Catalog, workshop: Workshop, clock: Clock
    ) -> None:
        first = await begin(store)
        await finish(store, first)
        await workshop.keep_draft(ADA, first.conversation.id, "Here", request(2))
        await workshop.keep_draft(BOB, None, "Old", request(3))
        clock.advance(60)
        await workshop.keep_draft(ADA, None, "New", request(4))
        await catalog.delete(ADA, first.conversation.id)
        clock.advance(1)
        await catalog.purge(clock())

        assert await workshop.purge_drafts(clock() - timedelta(seconds=30)) == 2

        assert await workshop.draft(ADA, None) == "New"
        assert await workshop.draft(ADA, first.conversation.id) == ""
        assert await workshop.draft(BOB, None) == ""

    async def test_any_text_can_be_kept(self, workshop: Workshop) -> None:
        await workshop.keep_draft(ADA, None, "a\x00b\ud800 'x'", RequestId("r\x00"))

        assert (await workshop.draft(ADA, None)).startswith("a")
