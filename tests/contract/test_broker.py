"""What every broker promises, run over each of them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from webapp.brokers import Broker, Lagged, Subscription
from webapp.brokers.memory import KEPT_BYTES, WAITING_BYTES, MemoryBroker
from webapp.domain import (
    ConversationId,
    Fragment,
    FragmentKind,
    ListChange,
    ListedConversation,
    ListNews,
    Position,
    ReaderId,
)

HERE, THERE = ConversationId("here"), ConversationId("there")


@pytest.fixture(params=[MemoryBroker])
def broker(request: pytest.FixtureRequest) -> Broker:
    made: Broker = request.param()
    return made


def began(turn: int) -> Fragment:
    return Fragment(Position(turn, 0), FragmentKind.BEGAN, f"<began {turn}>")


def progress(turn: int, index: int, size: int = 0) -> Fragment:
    return Fragment(Position(turn, index), FragmentKind.PROGRESS, f"<{turn} {index}>".ljust(size))


def ended(turn: int) -> Fragment:
    return Fragment(Position(turn, Position.END), FragmentKind.ENDED, f"<ended {turn}>")


def publish(broker: Broker, *fragments: Fragment, to: ConversationId = HERE) -> None:
    for fragment in fragments:
        broker.publish(to, fragment)


async def read(subscription: Subscription, count: int) -> list[Fragment | ListNews]:
    """Read until `count` fragments have come."""
    got: list[Fragment | ListNews] = []
    async with asyncio.timeout(10):
        while len(got) < count:
            got += await subscription.next()
    return got


async def has_nothing(subscription: Subscription) -> bool:
    """Tell whether a reader would wait; whatever was published before this call would have woken it."""
    waiting = asyncio.ensure_future(subscription.next())
    done, _ = await asyncio.wait([waiting], timeout=0.1)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    return not done


async def test_fragments_come_in_the_order_of_publishing(broker: Broker) -> None:
    fragments = [began(2), *(progress(2, index) for index in range(1, 50)), ended(2)]
    with broker.subscribe(HERE) as subscription:
        publish(broker, *fragments)

        assert await read(subscription, len(fragments)) == fragments


async def test_each_fragment_comes_once(broker: Broker) -> None:
    with broker.subscribe(HERE) as subscription:
        publish(broker, began(2), progress(2, 1))
        assert len(await read(subscription, 2)) == 2

        assert await has_nothing(subscription)
        publish(broker, progress(2, 2))
        assert await read(subscription, 1) == [progress(2, 2)]


async def test_a_reader_who_waits_is_woken(broker: Broker) -> None:
    with broker.subscribe(HERE) as subscription:
        waiting = asyncio.ensure_future(read(subscription, 1))
        await asyncio.wait([waiting], timeout=0.05)
        assert not waiting.done()

        publish(broker, began(2))

        assert await waiting == [began(2)]


async def test_several_readers_get_the_same_fragments_each_at_their_own_pace(broker: Broker) -> None:
    with broker.subscribe(HERE) as quick, broker.subscribe(HERE) as slow:
        publish(broker, began(2))
        first = await read(quick, 1)
        publish(broker, progress(2, 1), ended(2))

        assert [*first, *await read(quick, 2)] == [began(2), progress(2, 1), ended(2)]
        assert await read(slow, 3) == [began(2), progress(2, 1), ended(2)]


async def test_conversations_do_not_mix(broker: Broker) -> None:
    with broker.subscribe(HERE) as here, broker.subscribe(THERE) as there:
        publish(broker, began(2), to=HERE)
        publish(broker, began(8), to=THERE)

        assert await read(here, 1) == [began(2)]
        assert await read(there, 1) == [began(8)]
        assert await has_nothing(here)


async def test_a_subscription_begins_with_what_comes_after_it(broker: Broker) -> None:
    publish(broker, began(2), progress(2, 1))
    with broker.subscribe(HERE) as subscription:
        publish(broker, progress(2, 2))

        assert await read(subscription, 1) == [progress(2, 2)]


async def test_a_reader_resumes_after_a_position(broker: Broker) -> None:
    publish(broker, began(2), *(progress(2, index) for index in range(1, 6)))
    with broker.subscribe(HERE, after=Position(2, 3)) as subscription:
        publish(broker, progress(2, 6))

        assert await read(subscription, 3) == [progress(2, 4), progress(2, 5), progress(2, 6)]


async def test_a_reader_who_has_everything_resumes_with_what_comes(broker: Broker) -> None:
    publish(broker, began(2), progress(2, 1))
    with broker.subscribe(HERE, after=Position(2, 1)) as subscription:
        assert await has_nothing(subscription)

        publish(broker, progress(2, 2))
        assert await read(subscription, 1) == [progress(2, 2)]


async def test_a_reader_resumes_from_before_a_turns_first_fragment(broker: Broker) -> None:
    publish(broker, began(2), progress(2, 1))
    with broker.subscribe(HERE, after=Position(2, -1)) as subscription:
        assert await read(subscription, 2) == [began(2), progress(2, 1)]


@pytest.mark.parametrize("after", [Position(0, 0), Position(2, 1), Position(2, Position.END)])
async def test_a_position_in_an_earlier_turn_has_lagged(broker: Broker, after: Position) -> None:
    with broker.subscribe(HERE):
        publish(broker, began(2), progress(2, 1), ended(2), began(4), progress(4, 1))
        with broker.subscribe(HERE, after=after) as subscription:
            with pytest.raises(Lagged):
                await read(subscription, 1)

            publish(broker, progress(4, 2))
            assert await read(subscription, 1) == [progress(4, 2)]


async def test_a_position_in_an_unknown_feed_has_lagged(broker: Broker) -> None:
    with broker.subscribe(HERE, after=Position(2, 3)) as subscription:
        with pytest.raises(Lagged):
            await read(subscription, 1)

        assert await has_nothing(subscription)


async def test_a_position_that_is_no_longer_kept_has_lagged(broker: Broker) -> None:
    size = KEPT_BYTES // 8
    publish(broker, began(2), *(progress(2, index, size) for index in range(1, 20)))

    with broker.subscribe(HERE, after=Position(2, 2)) as old, pytest.raises(Lagged):
        await read(old, 1)
    with broker.subscribe(HERE, after=Position(2, 17)) as new:
        assert [fragment.position.index for fragment in await read(new, 2)] == [18, 19]


async def test_a_reader_who_is_too_slow_lags_once_and_goes_on(broker: Broker) -> None:
    size = WAITING_BYTES // 4
    with broker.subscribe(HERE) as subscription:
        publish(broker, began(2), *(progress(2, index, size) for index in range(1, 30)))
        with pytest.raises(Lagged):
            await read(subscription, 1)
        assert await has_nothing(subscription)

        publish(broker, progress(2, 30))

        assert await read(subscription, 1) == [progress(2, 30)]


async def test_a_slow_reader_does_not_make_the_others_lag(broker: Broker) -> None:
    size = WAITING_BYTES // 2
    with broker.subscribe(HERE) as slow, broker.subscribe(HERE) as quick:
        got = []
        for index in range(1, 20):
            publish(broker, progress(2, index, size))
            got += await read(quick, 1)

        assert [fragment.position.index for fragment in got] == list(range(1, 20))
        with pytest.raises(Lagged):
            await read(slow, 1)


async def test_publishing_never_waits(broker: Broker) -> None:
    fragments = [progress(2, index, 1000) for index in range(2000)]
    with broker.subscribe(HERE):
        # `publish` is no coroutine, so that it returned at all is the proof; it must not pile up tasks either.
        before = len(asyncio.all_tasks())
        publish(broker, *fragments)

        assert len(asyncio.all_tasks()) == before


async def test_a_subscription_that_was_left_gets_nothing_more(broker: Broker) -> None:
    with broker.subscribe(HERE) as left, broker.subscribe(HERE) as stays:
        left.__exit__(None, None, None)
        publish(broker, began(2))

        assert await read(stays, 1) == [began(2)]
        assert await has_nothing(left)


def test_an_idle_feed_is_forgotten() -> None:
    broker = MemoryBroker()
    for number in range(100):
        conversation = ConversationId(f"conversation-{number}")
        with broker.subscribe(conversation):
            publish(broker, began(2), ended(2), to=conversation)
        publish(broker, began(4), progress(4, 1), ended(4), to=conversation)

    assert broker._feeds == {}


def test_a_running_turns_feed_is_kept_though_nobody_follows_it() -> None:
    broker = MemoryBroker()
    publish(broker, began(2))
    with broker.subscribe(HERE):
        publish(broker, progress(2, 1))

    assert list(broker._feeds) == [HERE]


def test_what_is_kept_is_bounded() -> None:
    broker = MemoryBroker()
    with broker.subscribe(HERE) as subscription:
        most_waiting = 0
        for index in range(200):
            publish(broker, progress(2, index, WAITING_BYTES // 10))
            most_waiting = max(most_waiting, sum(len(fragment.html) for fragment in subscription._waiting))
        kept = sum(len(fragment.html) for fragment in broker._feeds[HERE]._kept)

    assert most_waiting <= WAITING_BYTES
    assert KEPT_BYTES / 2 < kept <= KEPT_BYTES


async def test_what_a_resumed_reader_has_not_fetched_is_bounded() -> None:
    broker = MemoryBroker()
    publish(broker, began(2), *(progress(2, index, WAITING_BYTES // 2) for index in range(1, 4)))
    with broker.subscribe(HERE, after=Position(2, -1)) as subscription:
        publish(broker, *(progress(2, index, WAITING_BYTES // 8) for index in range(4, 12)))
        waiting = sum(len(fragment.html) for fragment in subscription._waiting)

    assert waiting <= KEPT_BYTES + WAITING_BYTES


ADA, BOB = ReaderId("a" * 32), ReaderId("b" * 32)


def news(title: str, owner: ReaderId = ADA) -> ListNews:
    return ListNews(ListChange.CAME, ListedConversation(HERE, owner, title, datetime(2026, 1, 2, tzinfo=UTC)))


class TestNews:
    async def test_they_go_to_all_pages_of_their_reader_that_asked(self, broker: Broker) -> None:
        with (
            broker.subscribe(HERE, reader=ADA) as here,
            broker.subscribe(None, reader=ADA) as anywhere,
            broker.subscribe(HERE) as without,
            broker.subscribe(HERE, reader=BOB) as bobs,
        ):
            broker.announce(ADA, news("first"))
            publish(broker, began(1))
            broker.announce(ADA, news("second"))

            assert await here.next() == [news("first"), began(1), news("second")]
            assert await anywhere.next() == [news("first"), news("second")]
            assert await without.next() == [began(1)]
            assert await bobs.next() == [began(1)]

    async def test_they_are_nobodys_once_all_pages_are_closed(self, broker: Broker) -> None:
        with broker.subscribe(None, reader=ADA):
            pass
        broker.announce(ADA, news("unread"))
        with broker.subscribe(None, reader=ADA) as again:
            assert await has_nothing(again)

    async def test_a_page_that_reads_none_of_them_lags(self, broker: Broker) -> None:
        with broker.subscribe(None, reader=ADA) as slow:
            for _ in range(10_000):
                broker.announce(ADA, news("again"))

            with pytest.raises(Lagged):
                await slow.next()
            assert await has_nothing(slow)
