"""What an asker is told when Rill itself has a bug."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from webapp import create_app
from webapp.settings import read
from webapp.stores.catalog import SqlCatalog
from webapp.stores.sql import SqlStore


async def reply(messages: object) -> AsyncIterator[str]:
    yield "Hello"


@pytest.fixture
async def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    async def broken(*args: object) -> None:
        raise RuntimeError("a bug that quotes the secret words of a prompt")

    app = create_app(reply=reply, settings=read({"RILL_DATA_DIR": str(tmp_path)}, tmp_path / "none"))
    async with app.router.lifespan_context(app):
        monkeypatch.setattr(SqlCatalog, "beginning", broken)
        monkeypatch.setattr(SqlStore, "create_conversation", broken)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as asking:
            yield asking


@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}, {"Accept": "application/x-ndjson"}])
async def test_a_bug_is_told_in_a_sentence_and_without_its_words(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    for answer in (
        await client.get("/", headers=headers),
        await client.post("/messages", data={"prompt": "Hello"}, headers=headers),
    ):
        assert answer.status_code == 500
        assert "Something went wrong here. Please try again." in answer.text
        assert "secret" not in answer.text
        assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert answer.headers["x-content-type-options"] == "nosniff"
