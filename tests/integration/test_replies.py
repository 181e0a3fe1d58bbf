"""Replies as HTML in the running app: kept, made anew when they have to be, highlighted, bounded."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.clients import ask, new_reader
from tests.fakes import RillServer, ScriptedUpstream, rill_server
from tests.stores import query
from webapp.markdown import VERSION

ANSWER = "# Title\n\nSome **bold** text.\n\n```python\nx = 1\n```\n"


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/data/rill.db"


async def a_page(reader: httpx.AsyncClient, upstream: ScriptedUpstream) -> tuple[str, str]:
    upstream.script = lambda exchange: exchange.reply(ANSWER)
    path = (await ask(reader)).path
    return path, (await reader.get(path)).text


async def test_a_reply_is_kept_as_the_html_that_was_streamed(
    server: RillServer, upstream: ScriptedUpstream, database: str
) -> None:
    async with new_reader(server) as reader:
        _, page = await a_page(reader, upstream)

    ((html, version),) = await query(database, "SELECT html, html_version FROM messages WHERE role = 'assistant'")
    assert version == str(VERSION)
    assert str(html) in page
    assert "<h1>Title</h1><p>Some <strong>bold</strong> text.</p>" in str(html)
    assert '<code class="language-python">x = <span class=n>1</span>\n</code>' in str(html)


@pytest.mark.parametrize("change", ["html = NULL, html_version = NULL", "html = 'old', html_version = '0'"])
async def test_a_reply_of_another_version_is_rendered_anew_once(
    server: RillServer, upstream: ScriptedUpstream, database: str, change: str
) -> None:
    async with new_reader(server) as reader:
        path, before = await a_page(reader, upstream)
        rows = "SELECT html, html_version FROM messages WHERE role = 'assistant'"
        kept = await query(database, rows)
        await query(database, f"UPDATE messages SET {change} WHERE role = 'assistant'")

        after = (await reader.get(path)).text

        assert str(kept[0][0]) in after
        assert await query(database, rows) == kept
    assert "<strong>bold</strong>" in before


async def test_a_rule_about_images_renders_replies_anew(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    upstream.script = lambda exchange: exchange.reply("![A heron](https://ok.example/a.png)")
    async with rill_server(tmp_path, OPENAI_BASE_URL=upstream.base_url) as server, new_reader(server) as reader:
        path = (await ask(reader)).path
        assert '<a class="image" href="https://ok.example/a.png"' in (await reader.get(path)).text
        cookies = reader.cookies

    environ = {"OPENAI_BASE_URL": upstream.base_url, "RILL_IMAGE_HOSTS": "ok.example"}
    async with rill_server(tmp_path, **environ) as server, new_reader(server) as reader:
        reader.cookies = cookies
        assert '<img src="../image?url=https%3A%2F%2Fok.example%2Fa.png" alt="A heron"' in (await reader.get(path)).text


async def test_a_book_in_one_chunk_does_not_stop_the_others(server: RillServer, upstream: ScriptedUpstream) -> None:
    book = "word *and* `code` " * 20_000
    async with new_reader(server) as reader:
        upstream.script = lambda exchange: exchange.reply(book)
        told = await ask(reader, "A book, please.")
        page = (await reader.get(told.path)).text

    assert told.text == book
    assert page.count("<em>and</em>") == 20_000


async def test_the_styleguide_is_there_only_when_it_is_asked_for(
    tmp_path: Path, server: RillServer, upstream: ScriptedUpstream
) -> None:
    async with new_reader(server) as reader:
        assert (await reader.get("/styleguide")).status_code == 404

    environ = {"OPENAI_BASE_URL": upstream.base_url, "RILL_STYLEGUIDE": "true"}
    (tmp_path / "other").mkdir()
    async with rill_server(tmp_path / "other", **environ) as other, new_reader(other) as reader:
        page = (await reader.get("/styleguide")).text

    for construct in ["<table>", "<math", "blockquote", "footnotes", "checkbox", "alert", "<span class=k>", "<del>"]:
        assert construct in page
