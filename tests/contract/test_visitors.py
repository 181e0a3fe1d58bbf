"""What every store promises about readers whom other sites introduce."""

from __future__ import annotations

from tests.contract.test_branches import texts
from tests.stores import Clock, begin, finish
from webapp.domain import ReaderId, Visitor
from webapp.stores import Catalog, Store, VisitorStore

ADA = ReaderId("embed:shop:known.a")
NOBODY = ReaderId("embed:shop:x")
ELSEWHERE = ReaderId("embed:shops:x")
SHOP = "embed:shop:"


async def test_a_visitor_is_kept_as_last_introduced(store: Store, visitors: VisitorStore) -> None:
    assert await visitors.find(ADA) is None
    await visitors.keep(ADA, Visitor("7", "Ada", "Buys much."))
    await visitors.keep(ADA, Visitor("7", "Ada L.", "日本 \x00"))

    found = await visitors.find(ADA)

    assert found is not None
    assert (found.subject, found.name) == ("7", "Ada L.")
    assert "日本" in found.context
    assert await visitors.find(NOBODY) is None


async def test_an_operator_has_what_an_embed_s_visitors_said(
    store: Store, visitors: VisitorStore, catalog: Catalog, clock: Clock
) -> None:
    await visitors.keep(ADA, Visitor("7", "Ada"))
    first = await begin(store, owner=ADA)
    await finish(store, first)
    for number, owner in enumerate((NOBODY, ELSEWHERE, ADA)):
        clock.advance(1)
        turn = await begin(store, prompt=f"Prompt {number}", owner=owner, number=number + 2)
        await finish(store, turn)
    await catalog.delete(ADA, first.conversation.id)

    one = await visitors.conversations(SHOP, 1)
    rest = await visitors.conversations(SHOP, 10, one[-1][1].listed.place)

    assert [(who and who.name, texts(said)) for who, said in one] == [("Ada", ["Prompt 2", "Hi"])]
    assert [(who, texts(said)) for who, said in rest] == [(None, ["Prompt 0", "Hi"])]


async def test_it_gives_the_showing_branch(store: Store, visitors: VisitorStore) -> None:
    first = await begin(store, owner=NOBODY)
    await finish(store, first, "Hi")

    ((_, said),) = await visitors.conversations(SHOP, 10)

    assert texts(said) == ["Hello", "Hi"]
    assert said.owner == NOBODY


async def test_who_has_no_conversation_any_more_is_forgotten(
    store: Store, visitors: VisitorStore, catalog: Catalog, clock: Clock
) -> None:
    gone, talks, elsewhere = ReaderId("embed:shop:known.b"), ADA, ReaderId("embed:shops:known.a")
    for reader in (gone, talks, elsewhere):
        await visitors.keep(reader, Visitor("7"))
    await finish(store, await begin(store, owner=talks))
    later = clock.advance(10)
    fresh = ReaderId("embed:shop:known.c")
    await visitors.keep(fresh, Visitor("8"))

    assert await visitors.forget(SHOP, later) == 1

    left = [await visitors.find(reader) is not None for reader in (gone, talks, elsewhere, fresh)]
    assert left == [False, True, True, True]
