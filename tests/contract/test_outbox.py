"""What every store promises about what is still to be told to other programs."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from tests.stores import Clock
from webapp.domain import Delivery
from webapp.stores import Outbox, Store

LEASE = timedelta(seconds=60)


async def test_what_is_due_is_given_once_until_its_lease_is_over(store: Store, outbox: Outbox, clock: Clock) -> None:
    assert await outbox.put(Delivery("1", "shop", '{"a": "日本"}'))
    assert not await outbox.put(Delivery("1", "shop", "again"))

    assert await outbox.take(10, LEASE) == [Delivery("1", "shop", '{"a": "日本"}', 1)]
    assert await outbox.take(10, LEASE) == []
    due = await outbox.next_due()
    assert due == clock() + LEASE
    clock.advance(61)
    assert [delivery.attempts for delivery in await outbox.take(10, LEASE)] == [2]


async def test_it_waits_as_long_as_it_is_put_off_and_is_gone_once_it_was_told(
    store: Store, outbox: Outbox, clock: Clock
) -> None:
    await outbox.put(Delivery("1", "shop", "{}"))
    await outbox.take(10, LEASE)
    await outbox.put_off("1", clock() + timedelta(seconds=5))
    clock.advance(4)
    assert await outbox.take(10, LEASE) == []
    clock.advance(2)
    assert len(await outbox.take(10, LEASE)) == 1

    await outbox.drop("1")

    assert await outbox.next_due() is None
    assert await outbox.take(10, LEASE) == []


async def test_what_was_told_is_not_told_again_for_days(store: Store, outbox: Outbox, clock: Clock) -> None:
    await outbox.put(Delivery("1", "shop", "{}"))
    await outbox.drop("1")
    assert not await outbox.put(Delivery("1", "shop", "{}"))
    clock.advance(8 * 86_400)
    await outbox.put(Delivery("2", "shop", "{}"))
    await outbox.drop("2")

    assert await outbox.put(Delivery("1", "shop", "{}"))


async def test_the_oldest_come_first_and_no_more_than_wanted(store: Store, outbox: Outbox, clock: Clock) -> None:
    for number in range(3):
        await outbox.put(Delivery(str(number), "shop", "{}"))
        clock.advance(1)

    taken = [await outbox.take(2, LEASE), await outbox.take(2, LEASE)]

    assert [[delivery.id for delivery in each] for each in taken] == [["0", "1"], ["2"]]


async def test_two_who_take_at_once_take_each_thing_once(store: Store, outbox: Outbox, clock: Clock) -> None:
    for number in range(20):
        await outbox.put(Delivery(str(number), "shop", "{}"))

    taken = await asyncio.gather(*(outbox.take(3, LEASE) for _ in range(8)))

    ids = [delivery.id for each in taken for delivery in each]
    assert len(ids) == len(set(ids))
