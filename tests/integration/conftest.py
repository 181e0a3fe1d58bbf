"""One server for all tests of a module, and a new reader for each."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.clients import new_reader
from tests.fakes import RillServer, ScriptedUpstream, rill_server, until

KEY = "sk-test-canary-key"


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """What a module's server is started with besides the model; modules override it."""
    return {}


@pytest.fixture(scope="module")
async def rill(
    tmp_path_factory: pytest.TempPathFactory, shared_upstream: ScriptedUpstream, settings: dict[str, str]
) -> AsyncIterator[RillServer]:
    """`rill serve` for all tests of a module. It must not be restarted or ended."""
    model = {"OPENAI_BASE_URL": shared_upstream.base_url, "OPENAI_API_KEY": KEY}
    async with rill_server(tmp_path_factory.mktemp("rill"), **{**model, **settings}) as running:
        yield running


@pytest.fixture
async def model(rill: RillServer, shared_upstream: ScriptedUpstream) -> AsyncIterator[ScriptedUpstream]:
    """The model behind `rill`, as it answers before a test says otherwise; no turn outlives its test."""
    shared_upstream.script = ScriptedUpstream().script
    shared_upstream.exchanges.clear()
    yield shared_upstream
    await shared_upstream.break_off()
    await until(lambda: rill.output.count("turn.began") == rill.output.count("turn.ended"), "every turn to end")


@pytest.fixture
async def reader(rill: RillServer, model: ScriptedUpstream) -> AsyncIterator[httpx.AsyncClient]:
    async with new_reader(rill) as client:
        yield client


@pytest.fixture
async def stranger(rill: RillServer, model: ScriptedUpstream) -> AsyncIterator[httpx.AsyncClient]:
    """Another reader, who has a cookie of their own."""
    async with new_reader(rill) as client:
        await client.get("/")
        yield client
