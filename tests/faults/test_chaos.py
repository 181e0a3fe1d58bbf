"""Sixty seeded readers, ten faults each, and a server that is ended by SIGTERM and SIGKILL while they are there.

`python -m tests.soak` runs the same for as long as one likes.
"""

from __future__ import annotations

import gc
import os
import secrets
from pathlib import Path

import pytest

from tests.soak.engine import soak
from tests.soak.plans import FAULTS_OF_A_STREAM, plan

STREAMS = 60
CONCURRENCY = 20
FAULTS = STREAMS * FAULTS_OF_A_STREAM
SEED = os.environ.get("RILL_CHAOS_SEED") or secrets.token_hex(4)


@pytest.mark.timeout(300)
# asyncio leaves a connection that is cancelled while it opens to the garbage collector; these readers are impatient.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_the_model_the_store_and_every_page_agree_whatever_readers_and_the_server_go_through(
    tmp_path: Path,
) -> None:
    outcome = await soak(
        tmp_path, (plan(SEED, number) for number in range(STREAMS)), concurrency=CONCURRENCY, is_forked=True
    )

    gc.collect()  # Here, so that what the readers left open is said of this test and of no later one.
    assert not outcome.problems, f"RILL_CHAOS_SEED={SEED}\n" + "\n".join(outcome.problems)
    assert sum(life.step for life in outcome.lives) == FAULTS
    assert {restart.how.name for restart in outcome.place.restarts[:-1]} == {"SIGTERM", "SIGKILL"}
    assert "interrupted" in outcome.result.states
    assert outcome.result.states["finished"] > STREAMS / 4
