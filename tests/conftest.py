from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes import RillServer, ScriptedUpstream, rill_server


def pytest_xdist_auto_num_workers() -> int:
    """Most tests wait more than they compute: with one process for each core half of them stands idle."""
    return max(2, (os.cpu_count() or 1) * 3 // 2)


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    """A model service that answers as the test says."""
    service = ScriptedUpstream()
    await service.start()
    yield service
    await service.stop()


@pytest.fixture(scope="module")
async def shared_upstream() -> AsyncIterator[ScriptedUpstream]:
    """A model service for all tests of a module."""
    service = ScriptedUpstream()
    await service.start()
    yield service
    await service.stop()


@pytest.fixture
async def server(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[RillServer]:
    """`rill serve` with the scripted model service behind it."""
    async with rill_server(tmp_path, OPENAI_BASE_URL=upstream.base_url, OPENAI_API_KEY="sk-test-canary-key") as running:
        yield running
