"""Time limits that are moved, set and cleared many times."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from webapp.deadlines import Deadline


async def wait_for_ever(set_times: Callable[[Deadline], None]) -> None:
    async with asyncio.timeout(10), Deadline() as deadline:
        set_times(deadline)
        await asyncio.Event().wait()


async def test_a_block_ends_when_its_time_is_over() -> None:
    def set_times(deadline: Deadline) -> None:
        deadline.allow(0.01)

    with pytest.raises(TimeoutError):
        await wait_for_ever(set_times)


async def test_a_time_that_was_cleared_ends_nothing() -> None:
    loop = asyncio.get_running_loop()
    async with Deadline() as deadline:
        deadline.allow(0.01)
        deadline.clear()
        later = asyncio.Event()
        loop.call_later(0.05, later.set)

        await later.wait()


async def test_a_time_that_was_moved_back_counts_from_then() -> None:
    def set_times(deadline: Deadline) -> None:
        deadline.allow(0.01)
        deadline.allow(0.05)

    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(TimeoutError):
        await wait_for_ever(set_times)

    assert loop.time() - began >= 0.05


async def test_a_time_that_was_moved_forward_counts() -> None:
    def set_times(deadline: Deadline) -> None:
        deadline.allow(60)
        deadline.allow(0.01)

    with pytest.raises(TimeoutError):
        await wait_for_ever(set_times)


async def test_a_time_set_after_one_was_cleared_counts() -> None:
    def set_times(deadline: Deadline) -> None:
        deadline.allow(0.01)
        deadline.clear()
        deadline.allow(0.02)

    with pytest.raises(TimeoutError):
        await wait_for_ever(set_times)


async def test_a_time_that_is_over_already_ends_the_next_wait() -> None:
    def set_times(deadline: Deadline) -> None:
        deadline.set(asyncio.get_running_loop().time() - 1)

    with pytest.raises(TimeoutError):
        await wait_for_ever(set_times)


async def test_a_block_that_ends_in_time_leaves_nothing_behind() -> None:
    task = asyncio.current_task()
    assert task is not None
    async with Deadline() as deadline:
        deadline.allow(0.01)
    later = asyncio.Event()
    asyncio.get_running_loop().call_later(0.03, later.set)

    await later.wait()

    assert task.cancelling() == 0
