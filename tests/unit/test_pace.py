"""How long chunks are left on the network: by how busy the process is, and how late."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.fakes import Exchange, ScriptedUpstream, until
from webapp import pace
from webapp.domain import ModelKind, TextChunk
from webapp.pace import BUSY_REST_SECONDS, LATE_REST_SECONDS, Pace
from webapp.providers import ChatMessage
from webapp.providers.endpoint import EndpointProvider

AT_EASE = (0.1, 0.0)
BUSY = (0.95, 0.004)
LATE = (0.5, 0.03)


def noted(*looks: tuple[float, float]) -> Pace:
    made = Pace()
    for look in looks:
        made.note(*look)
    return made


def test_a_process_that_has_time_takes_each_chunk_at_once() -> None:
    assert noted(*[AT_EASE] * 100).rest_seconds == 0


def test_a_busy_process_rests_for_two_chunks_at_most() -> None:
    assert noted(*[BUSY] * 20).rest_seconds > 0
    assert noted(*[BUSY] * 100).rest_seconds == BUSY_REST_SECONDS


def test_a_rest_stays_as_it_is_once_it_leaves_the_process_as_much_work_as_it_may_have() -> None:
    assert noted(*[BUSY] * 20, *[(pace.BUSY, 0.0)] * 40).rest_seconds == pytest.approx(
        noted(*[BUSY] * 20, *[(pace.BUSY, 0.0)] * 400).rest_seconds, rel=0.01
    )


def test_one_moment_of_work_does_not_make_a_process_busy() -> None:
    assert noted(AT_EASE, BUSY, BUSY, LATE, AT_EASE).rest_seconds == 0


def test_a_busy_process_does_not_rest_while_more_is_there() -> None:
    busy = noted(*[BUSY] * 100)

    assert (busy.is_due(200), busy.is_due(pace.LONG_PIECE_BYTES)) == (True, False)
    assert not noted(AT_EASE).is_due(200)


async def test_a_model_that_writes_faster_than_the_process_rests_is_read_in_few_rests(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    rests, rest, has_rested = 0, Pace.rest, asyncio.Event()

    async def counted(self: Pace, since: float) -> None:
        nonlocal rests
        rests += 1
        has_rested.set()
        await rest(self, since)

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        for number in range(300):
            await exchange.chunk(f"word{number} ")
            await has_rested.wait()  # A long piece right at the beginning would be no reason to rest.
        await exchange.finish()

    monkeypatch.setattr(Pace, "rest", counted)
    monkeypatch.setattr(Pace, "note", lambda self, busy, late: None)
    upstream.script = script
    provider = EndpointProvider(
        base_url=upstream.base_url, api_key="k", model_name="m", kind=ModelKind.ENDPOINT, where="here", trust_env=False
    )
    provider._pace._rest = BUSY_REST_SECONDS

    chunks = [chunk async for chunk in provider.stream([ChatMessage(role="user", content="Hello")])]
    await provider.close()

    assert "".join(chunk.text for chunk in chunks if isinstance(chunk, TextChunk)).count("word") == 300
    assert 0 < rests < 30


def test_chunks_that_came_together_stay_apart_unless_the_process_is_busy() -> None:
    assert noted(AT_EASE).together(["One", " two"]) == ["One", " two"]
    assert noted(*[LATE] * 100).together(["One", " two"]) == ["One two"]
    assert noted(*[LATE] * 100).together([]) == []


def test_a_process_that_is_late_rests_longer() -> None:
    assert noted(*[LATE] * 100).rest_seconds == LATE_REST_SECONDS


def test_a_process_that_is_in_time_again_rests_like_a_busy_one() -> None:
    assert noted(*[LATE] * 100, *[BUSY] * 100).rest_seconds == BUSY_REST_SECONDS


def test_a_rest_ends_slowly_when_there_is_time_again() -> None:
    after = noted(*[BUSY] * 100, *[AT_EASE] * 5)

    assert 0.3 * BUSY_REST_SECONDS < after.rest_seconds < BUSY_REST_SECONDS
    for _ in range(100):
        after.note(*AT_EASE)
    assert after.rest_seconds == 0


async def test_a_loop_that_works_all_the_time_is_noticed_while_a_stream_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "LOOK_SECONDS", 0.02)
    made = Pace()

    def is_resting() -> bool:
        until_then = time.thread_time() + 0.03
        while time.thread_time() < until_then:
            pass
        return made.rest_seconds > 0

    with made.stream():
        await until(is_resting, "a rest")
    await until(lambda: made.rest_seconds == 0, "no rest without streams")


async def test_a_rest_counts_from_when_the_chunk_was_read() -> None:
    made = noted(*[LATE] * 100)
    loop = asyncio.get_running_loop()
    read_at = loop.time()

    await made.rest(read_at)

    assert loop.time() >= read_at + made.rest_seconds
