"""A reader's list of conversations, in every database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from tests.stores import ADA, BOB, Clock, begin, finish, request
from webapp.domain import ConversationId, ListedConversation, Place, ReaderId, TurnState
from webapp.errors import ConversationNotFound
from webapp.stores import Catalog, Shelf, Store

RECENT, PINNED, ARCHIVED = Shelf.RECENT, Shelf.PINNED, Shelf.ARCHIVED


STRANGE_QUERIES = [
    '"',
    '"""',
    "'",
    "a'b\"c",
    "fox OR slow",
    "fox AND",
    "NEAR(fox quick)",
    "words:fox",
    "-fox",
    "fox*",
    "^fox",
    "fox & | !",
    "fox:*",
    "fox\\",
    "<->",
    "{fox}",
    "\x00fox\ud800",
    "x" * 50_000,
    "y " * 50_000,
]


async def conversation(
    store: Store, clock: Clock, prompt: str, reply: str = "Hi", owner: ReaderId = ADA, number: int = 1
) -> ConversationId:
    clock.advance(1)
    turn = await begin(store, prompt, owner, number)
    await finish(store, turn, reply)
    return turn.conversation.id


async def several(store: Store, clock: Clock, count: int) -> list[ConversationId]:
    """Make conversations; the latest comes first."""
    return [await conversation(store, clock, f"Prompt {number}") for number in range(count)][::-1]


def ids(listed: Sequence[ListedConversation]) -> list[ConversationId]:
    return [each.id for each in listed]


async def found(catalog: Catalog, query: str, owner: ReaderId = ADA) -> list[tuple[ConversationId, int]]:
    return [(hit.listed.id, hit.number) for hit in await catalog.search(owner, query, 50)]


class TestList:
    async def test_the_latest_changed_comes_first(self, store: Store, catalog: Catalog, clock: Clock) -> None:
        first, second, third = (await several(store, clock, 3))[::-1]
        assert ids(await catalog.page(ADA, RECENT, 50)) == [third, second, first]
        clock.advance(1)

        await store.begin_turn(ADA, first, "And?", request(2))

        assert ids(await catalog.page(ADA, RECENT, 50)) == [first, third, second]

    async def test_it_goes_on_after_a_place(self, store: Store, catalog: Catalog, clock: Clock) -> None:
        made = await several(store, clock, 7)
        pages: list[ConversationId] = []
        after: Place | None = None
        while page := await catalog.page(ADA, RECENT, 3, after):
            pages += ids(page)
            after = Place.parse(str(page[-1].place))
            assert after == page[-1].place

        assert pages == made

    async def test_conversations_of_one_moment_are_all_listed_once(
        self, store: Store, catalog: Catalog, clock: Clock
    ) -> None:
        made = [(await begin(store, f"Prompt {number}")).conversation.id for number in range(5)]
        first = await catalog.page(ADA, RECENT, 2)
        rest = await catalog.page(ADA, RECENT, 50, first[-1].place)

        assert sorted(ids(first) + ids(rest)) == sorted(made)

    async def test_a_running_reply_shows(self, store: Store, catalog: Catalog, clock: Clock) -> None:
        turn = await begin(store)
        assert [each.is_running for each in await catalog.page(ADA, RECENT, 50)] == [True]

        await finish(store, turn, state=TurnState.STOPPED)

        assert [each.is_running for each in await catalog.page(ADA, RECENT, 50)] == [False]

    async def test_everyone_has_their_own(self, store: Store, catalog: Catalog, clock: Clock) -> None:
        own = await conversation(store, clock, "Mine")
        other = await conversation(store, clock, "Yours", owner=BOB)

        assert ids(await catalog.page(ADA, RECENT, 50)) == [own]
        for change in (
            catalog.find(ADA, other),
            catalog.rename(ADA, other, "x"),
            catalog.pin(ADA, other, is_on=True),
            catalog.archive(ADA, other, is_on=True),
            catalog.delete(ADA, other),
            catalog.restore(ADA, other),
            catalog.neighbour(ADA, other, is_newer=True),
        ):
            with pytest.raises(ConversationNotFound):
                await change
        assert await catalog.entitle(ADA, other, "x") is None
        assert (await catalog.find(BOB, other)).title == "Yours"

    async def test_neighbours_are_those_of_the_list(self, store: Store, catalog: Catalog, clock: Clock) -> None:
        third, second, first = await several(store, clock, 3)
        await catalog.archive(ADA, second, is_on=True)

        newer = await catalog.neighbour(ADA, first, is_newer=True)
        older = await catalog.neighbour(ADA, third, is_newer=False)

        assert newer is not None
        assert older is not None
        assert (newer.id, older.id) == (third, first)
        assert await catalog.neighbour(ADA, third, is_newer=True) is None
        assert await catalog.neighbour(ADA, first, is_newer=False) is None


class TestShelves:
    async def test_each_conversation_stands_on_one(self, store: Store, catalog: Catalog, clock: Clock) -> None:
        plain, pinned, archived = await several(store, clock, 3)

        assert (await catalog.pin(ADA, pinned, is_on=True)).is_pinned
        assert (await catalog.archive(ADA, archived, is_on=True)).is_archived
        await catalog.pin(ADA, archived, is_on=True)

        assert ids(await catalog.page(ADA, RECENT, 50)) == [plain]
        assert ids(await catalog.page(ADA, PINNED, 50)) == [pinned]
        assert ids(await catalog.page(ADA, ARCHIVED, 50)) == [archived]

    async def test_both_can_be_undone(self, store: Store, catalog: Catalog, clock: Clock) -> None:
        first, second = await several(store, clock, 2)
        await catalog.pin(ADA, first, is_on=True)
        await catalog.archive(ADA, second, is_on=True)

        await catalog.pin(ADA, first, is_on=False)
        await catalog.archive(ADA, second, is_on=False)

        assert ids(await catalog.page(ADA, RECENT, 50)) == [first, second]

    async def test_a_deleted_one_is_nowhere_until_it_is_restored(
        self, store: Store, catalog: Catalog, clock: Clock
    ) -> None:
        (one,) = await several(store, clock, 1)

        assert (await catalog.delete(ADA, one)).title == "Prompt 0"

        for shelf in Shelf:
            assert await catalog.page(ADA, shelf, 50) == []
        assert await found(catalog, "prompt") == []
        for call in (catalog.find(ADA, one), store.conversation(ADA, one), store.begin_turn(ADA, one, "x", request(9))):
            with pytest.raises(ConversationNotFound):
                await call
        assert (await catalog.restore(ADA, one)).id == one
        assert len((await store.conversation(ADA, one)).messages) == 2
        assert ids(await catalog.page(ADA, RECENT, 50)) == [one]

    async def test_what_certain_owners_left_alone_expires(self, store: Store, catalog: Catalog, clock: Clock) -> None:
        theirs, other, alike = (ReaderId(name) for name in ("embed:a_:1", "embed:ab:1", "embed:a"))
        for owner in (theirs, other, alike):
            await finish(store, await begin(store, owner=owner))
        clock.advance(10)
        fresh = await begin(store, owner=theirs, number=2)
        await finish(store, fresh)
        running = await begin(store, owner=ReaderId("embed:a_:2"))

        assert await catalog.expire("embed:a_:", clock.advance(-5)) == 1
        assert await catalog.expire("embed:a_:", clock.advance(100)) == 1

        for owner, left in ((theirs, 0), (other, 1), (alike, 1), (running.conversation.owner, 1)):
            assert len(await catalog.page(owner, RECENT, 50)) == left

    async def test_it_can_be_restored_until_it_is_purged(self, store: Store, catalog: Catalog, clock: Clock) -> None:
        kept, gone, later = await several(store, clock, 3)
        await catalog.delete(ADA, gone)
        deleted = clock.time
        clock.advance(10)
        await catalog.delete(ADA, later)

        assert await catalog.purge(deleted + timedelta(seconds=1)) == 1

        with pytest.raises(ConversationNotFound):
            await catalog.restore(ADA, gone)
        await catalog.restore(ADA, later)
        assert set(ids(await catalog.page(ADA, RECENT, 50))) == {kept, later}
        assert {hit for hit, _ in await found(catalog, "prompt")} == {kept, later}

    async def test_a_reply_that_runs_in_a_deleted_one_is_kept(
        self, store: Store, catalog: Catalog, clock: Clock
    ) -> None:
        turn = await begin(store)
        await catalog.delete(ADA, turn.conversation.id)
        await finish(store, turn, "It went on")

        await catalog.restore(ADA, turn.conversation.id)

        assert (await store.conversation(ADA, turn.conversation.id)).messages[-1].text == "It went on"


class TestTitles:
    async def test_a_model_may_give_one_unless_the_reader_has(
        self, store: Store, catalog: Catalog, clock: Clock
    ) -> None:
        one, other = await several(store, clock, 2)
        await catalog.rename(ADA, other, "My own")

        entitled = await catalog.entitle(ADA, one, "From the model")

        assert entitled is not None
        assert entitled.title == "From the model"
        assert await catalog.entitle(ADA, one, "Another") is None
        assert await catalog.entitle(ADA, other, "From the model") is None
        assert (await catalog.find(ADA, other)).title == "My own"

    async def test_a_new_title_moves_nothing(self, store: Store, catalog: Catalog, clock: Clock) -> None:
        second, first = await several(store, clock, 2)
        clock.advance(1)

        await catalog.rename(ADA, first, "Renamed")

        assert [each.title for each in await catalog.page(ADA, RECENT, 50)] == ["Prompt 1", "Renamed"]
        assert [hit.listed.id for hit in await catalog.search(ADA, "renamed", 9)] == [first]
        assert ids(await catalog.page(ADA, RECENT, 1)) == [second]


class TestVersion:
    async def test_it_changes_with_all_that_a_list_shows(self, store: Store, catalog: Catalog, clock: Clock) -> None:
        assert await catalog.version(ADA) == 0
        turn = await begin(store)
        one = turn.conversation.id
        seen = [await catalog.version(ADA)]

        async def note() -> None:
            seen.append(await catalog.version(ADA))
            clock.advance(1)

        clock.advance(1)
        await finish(store, turn)
        await note()
        await catalog.rename(ADA, one, "x")
        await note()
        await catalog.pin(ADA, one, is_on=True)
        await note()
        await catalog.archive(ADA, one, is_on=True)
        await note()
        await catalog.delete(ADA, one)
        await note()
        await catalog.restore(ADA, one)
        await note()

        assert len(set(seen)) == len(seen)
        assert await catalog.version(BOB) == 0

    async def test_it_stays_while_nothing_changes(self, store: Store, catalog: Catalog, clock: Clock) -> None:
        (one,) = await several(store, clock, 1)
        before = await catalog.version(ADA)
        clock.advance(5)
        await catalog.find(ADA, one)

        assert await catalog.version(ADA) == before


class TestSearch:
    @pytest.mark.parametrize(
        ("text", "query"),
        [
            ("The quick brown fox", "quick"),
            ("The quick brown fox", "FOX quick"),
            ("The quick brown fox", "qui bro"),
            ("The quick brown fox", '"quick brown"'),
            ("Straße und Café", "strasse cafe"),
            ("Ünïcode", "unic"),
            ("it's Ada's", "ada's"),
            ("use snake_case here", "snake_case"),
            ("call f(x) -> y", "f(x)"),
            ("東京都に住んでいます", "東京"),
            ("東京都に住んでいます", "住んで"),
            ("한국어로 말해 주세요", "국어"),
            ("สวัสดีชาวโลก", "ชาวโลก"),
            ("مرحبا بالعالم", "بالعالم"),
            ("Привет, мир", "привет"),
            ("version 3.11.7 of it", "3.11"),
            ("see https://example.com/a?b=c", "example.com/a"),
            ("ｆｕｌｌ width", "full"),
            ("zero\x00byte and \ud800", "zerobyte"),
        ],
    )
    async def test_it_finds(self, store: Store, catalog: Catalog, clock: Clock, text: str, query: str) -> None:
        await conversation(store, clock, "Something else")
        one = await conversation(store, clock, "A prompt", text)

        assert await found(catalog, query) == [(one, 2)]

    @pytest.mark.parametrize(
        ("text", "query"),
        [
            ("The quick brown fox", "slow"),
            ("The quick brown fox", "quick slow"),
            ("The quick brown fox", '"brown quick"'),
            ("The quick brown fox", '"quick bro"'),
            ("The quick brown fox", "uick"),
            ("東京都", "京東"),
            ("The quick brown fox", ""),
            ("The quick brown fox", "  ?! ** "),
        ],
    )
    async def test_it_does_not_find(self, store: Store, catalog: Catalog, clock: Clock, text: str, query: str) -> None:
        await conversation(store, clock, "A prompt", text)

        assert await found(catalog, query) == []

    async def test_no_query_is_an_error(self, store: Store, catalog: Catalog, clock: Clock) -> None:
        await conversation(store, clock, "The quick brown fox")

        for query in STRANGE_QUERIES:
            await catalog.search(ADA, query, 50)

    async def test_what_is_not_ones_own_is_never_found(self, store: Store, catalog: Catalog, clock: Clock) -> None:
        own = await conversation(store, clock, "secret plans")
        await conversation(store, clock, "secret plans", owner=BOB)

        assert await found(catalog, "secret") == [(own, 1)]
        assert await found(catalog, f"zqowner{BOB}") == []

    async def test_a_conversation_is_found_once_by_its_newest_message(
        self, store: Store, catalog: Catalog, clock: Clock
    ) -> None:
        one = await conversation(store, clock, "apples", "apples and pears")
        turn = await store.begin_turn(ADA, one, "apples again", request(2))
        await finish(store, turn, "no fruit")

        assert await found(catalog, "apples") == [(one, 3)]
        assert await found(catalog, "pears") == [(one, 2)]

    async def test_a_title_is_found_by_itself(self, store: Store, catalog: Catalog, clock: Clock) -> None:
        one = await conversation(store, clock, "apples")
        await catalog.rename(ADA, one, "Cooking")

        assert await found(catalog, "cooking") == [(one, 0)]

    async def test_a_running_reply_is_found_once_it_has_ended(
        self, store: Store, catalog: Catalog, clock: Clock
    ) -> None:
        turn = await begin(store)
        assert await found(catalog, "pears") == []

        await finish(store, turn, "pears")

        assert await found(catalog, "pears") == [(turn.conversation.id, 2)]

    async def test_an_interrupted_reply_is_found(self, store: Store, catalog: Catalog, clock: Clock) -> None:
        turn = await begin(store)
        clock.advance(60)
        ((listed, _),) = await store.interrupt_turns(clock.time)

        assert (listed.id, listed.owner, listed.is_running) == (turn.conversation.id, ADA, False)
        assert await found(catalog, "hello") == [(turn.conversation.id, 1)]

    async def test_it_goes_on_after_a_place(self, store: Store, catalog: Catalog, clock: Clock) -> None:
        made = await several(store, clock, 5)
        first = await catalog.search(ADA, "prompt", 2)
        rest = await catalog.search(ADA, "prompt", 50, first[-1].listed.place)

        assert [hit.listed.id for hit in [*first, *rest]] == made

    async def test_a_reply_of_a_megabyte_can_be_found(self, store: Store, catalog: Catalog, clock: Clock) -> None:
        words = " ".join(f"w{number}" for number in range(150_000))
        one = await conversation(store, clock, "Everything", f"beginning {words}")

        assert await found(catalog, "beginning") == [(one, 2)]
