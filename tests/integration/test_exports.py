"""Conversations are taken along whole: as Markdown, as a page that stands alone, as JSON with every branch, zipped."""

from __future__ import annotations

import asyncio
import json
import re
import zipfile
from base64 import b64decode
from io import BytesIO
from pathlib import Path

import httpx

from tests.clients import LINES, Gated, ask, asking, new_reader
from tests.dom import Dom
from tests.fakes import RillServer, ScriptedUpstream, rill_server
from tests.files import image, pdf

REPLY = "A *river* <b>flows</b>.\n\n```python\nprint(1)\n```"


async def test_a_conversation_as_markdown(server: RillServer, upstream: ScriptedUpstream) -> None:
    upstream.script = lambda exchange: exchange.reply(REPLY)
    async with new_reader(server) as reader:
        path = (await ask(reader, "Tell me of rivers / lakes")).path
        answer = await reader.get(f"{path}/export?as=markdown")

    name = f"Tell-me-of-rivers-lakes-{path.removeprefix('/c/')[:6]}.md"
    assert answer.headers["content-disposition"] == f"attachment; filename*=UTF-8''{name}"
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    assert answer.text == (
        f"# Tell me of rivers / lakes\n\n## You\n\nTell me of rivers / lakes\n\n## scripted-1\n\n{REPLY}\n"
    )


async def test_a_conversation_as_a_page_that_stands_alone(server: RillServer, upstream: ScriptedUpstream) -> None:
    upstream.script = lambda exchange: exchange.reply(REPLY)
    async with new_reader(server) as reader:
        path = (await ask(reader, "Rivers & <script>")).path
        answer = await reader.get(f"{path}/export?as=html")

    page = Dom(answer.text).document
    assert [element.text for element in page.select("h1")] == ["Rivers & <script>"]
    assert [element.text for element in page.select(".prompt .text")] == ["Rivers & <script>"]
    assert "print(1)" in page.select(".reply pre")[0].text
    assert len(page.select("style")) == 1
    assert not re.search(r"<script|<link|\ssrc=|hx-|@import|url\((?!data:)", answer.text)
    assert answer.headers["content-disposition"].startswith("attachment; ")


async def test_a_conversation_as_json_has_every_branch(server: RillServer, upstream: ScriptedUpstream) -> None:
    upstream.script = lambda exchange: exchange.reply("One")
    async with new_reader(server) as reader:
        path = (await ask(reader, "First")).path
        await ask(reader, "Second", path)
        upstream.script = lambda exchange: exchange.reply("Other")
        await ask(reader, "Instead", path, edits="3")
        whole = (await reader.get(f"{path}/export?as=json")).json()

    assert (whole["format"], whole["version"], whole["title"]) == ("rill.conversation", 1, "First")
    assert [(each["number"], each["parent"], each["role"], each["text"]) for each in whole["messages"]] == [
        (1, None, "user", "First"),
        (2, 1, "assistant", "One"),
        (3, 2, "user", "Second"),
        (4, 3, "assistant", "One"),
        (5, 2, "user", "Instead"),
        (6, 5, "assistant", "Other"),
    ]
    assert whole["head"] == 6
    assert {each["state"] for each in whole["messages"] if each["role"] == "assistant"} == {"finished"}


async def test_how_an_operator_s_assistant_is_set_up_stays_here(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    (tmp_path / "assistants.toml").write_text(
        '[[assistants]]\nname = "Translator"\nsystem_prompt = "A trade secret"\ntemperature = 0.1'
    )
    settings = {"RILL_ASSISTANTS": str(tmp_path / "assistants.toml"), "OPENAI_API_KEY": "k"}
    async with (
        rill_server(tmp_path, OPENAI_BASE_URL=upstream.base_url, **settings) as server,
        new_reader(server) as reader,
    ):
        path = (await ask(reader, "Mine", assistant="translator")).path
        exported = await reader.get(f"{path}/export?as=json")
        every = (await reader.get("/export")).content

    assert upstream.exchanges[-1].body["messages"][0]["content"] == "A trade secret"
    assert "Translator" in exported.json()["assistant"]
    assert exported.json()["temperature"] is None
    assert "secret" not in exported.text
    with zipfile.ZipFile(BytesIO(every)) as archive:
        assert all(b"secret" not in archive.read(name) for name in archive.namelist())


async def test_a_running_reply_is_exported_as_far_as_it_is_stored(
    server: RillServer, upstream: ScriptedUpstream
) -> None:
    gated = Gated(upstream, "Half ", "whole")
    async with new_reader(server) as reader, asking(reader, "Mine") as (path, events):
        gated.let()
        await anext(events)

        async def exported() -> list[str]:
            return [each["text"] for each in (await reader.get(f"{path}/export?as=json")).json()["messages"]]

        async with asyncio.timeout(10):
            while await exported() != ["Mine", "Half "]:
                pass
        gated.let_all()


async def test_all_conversations_in_one_file(server: RillServer, upstream: ScriptedUpstream) -> None:
    upstream.script = lambda exchange: exchange.reply("Yes")
    async with new_reader(server) as reader, new_reader(server) as other:
        paths = {name: (await ask(reader, name)).path for name in ("../../etc", "الأنهار", "Same", "Same ", "Gone")}
        await ask(other, "Not mine")
        ids = {name: path.removeprefix("/c/") for name, path in paths.items()}
        await reader.post("/conversations", data={"archive": ids["Same"]})
        await reader.post("/conversations", data={"pin": ids["الأنهار"]})
        await reader.post("/conversations", data={"delete": ids["Gone"]})
        answer = await reader.get("/export")

    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        titles = {json.loads(archive.read(name))["title"] for name in names if name.endswith(".json")}
    stems = {"../../etc": "etc", "الأنهار": "الأنهار", "Same": "Same", "Same ": "Same"}
    assert sorted(names) == sorted(
        f"{stem}-{ids[name][:6]}.{suffix}" for name, stem in stems.items() for suffix in ("md", "json")
    )
    assert titles == {"../../etc", "الأنهار", "Same"}


async def attached(reader: httpx.AsyncClient, *files: tuple[str, bytes]) -> str:
    """Have a prompt with files answered; give the path of its conversation."""
    answer = await reader.post("/attachments", files=[("file", file) for file in files], headers=LINES)
    sent = {"prompt": "Look", "attachments": [each["id"] for each in answer.json()["attachments"]]}
    return (await reader.post("/messages", json=sent, headers=LINES)).headers["location"]


FILES = (
    ("a <cat>.png", image()),
    ("notes [1].md", b"Some <b>notes</b>"),
    ("paper.pdf", pdf("Rivers")),
    ("x.json", b"{"),
)


async def test_a_page_that_stands_alone_has_what_is_attached_in_it(server: RillServer) -> None:
    async with new_reader(server) as reader:
        path = await attached(reader, *FILES)
        page = Dom((await reader.get(f"{path}/export?as=html")).text).document

    (picture,) = page.select(".attachments img")
    assert str(picture.attrs["src"]).startswith("data:image/jpeg;base64,")
    assert (picture.attrs["alt"], picture.attrs["width"]) == ("a <cat>.png", "64")
    links = page.select(".attachments a[download]")
    assert [link.text for link in links] == ["notes [1].md", "paper.pdf", "x.json"]
    start, _, data = str(links[0].attrs["href"]).partition(",")
    assert (start, b64decode(data)) == ("data:text/plain;charset=utf-8;base64", b"Some <b>notes</b>")


async def test_a_file_of_all_has_what_is_attached_beside_each(server: RillServer) -> None:
    async with new_reader(server) as reader:
        path = await attached(reader, *FILES)
        stem = f"Look-{path.removeprefix('/c/')[:6]}"
        answer = await reader.get("/export")

    with zipfile.ZipFile(BytesIO(answer.content)) as archive:
        (prompt, _reply) = json.loads(archive.read(f"{stem}.json"))["messages"]
        files = {each["name"]: each["file"] for each in prompt["attachments"]}
        text = archive.read(f"{stem}.md").decode()
        contents = {name: archive.read(file) for name, file in files.items()}

    assert files == {
        "a <cat>.png": f"{stem}/1-a-cat.jpg",
        "notes [1].md": f"{stem}/2-notes-1.md",
        "paper.pdf": f"{stem}/3-paper-pdf.txt",
        "x.json": f"{stem}/4-x-json.txt",
    }
    assert contents["a <cat>.png"].startswith(b"\xff\xd8\xff")
    assert contents["notes [1].md"] == b"Some <b>notes</b>"
    assert b"Rivers" in contents["paper.pdf"]
    assert f"- ![a <cat>.png](<{stem}/1-a-cat.jpg>)\n- [notes \\[1\\].md](<{stem}/2-notes-1.md>)\n" in text


async def test_nobody_else_and_in_no_other_form(server: RillServer) -> None:
    async with new_reader(server) as reader, new_reader(server) as other:
        path = (await ask(reader, "Mine")).path

        for form in ("markdown", "html", "json"):
            assert (await other.get(f"{path}/export?as={form}")).status_code == 404
        assert (await reader.get(f"{path}/export?as=pdf")).status_code == 400
        with zipfile.ZipFile(BytesIO((await other.get("/export")).content)) as archive:
            assert archive.namelist() == []


async def test_the_links_to_them_are_where_one_looks(server: RillServer) -> None:
    async with new_reader(server) as reader:
        path = (await ask(reader, "Mine")).path
        actions = Dom((await reader.get(f"/conversations/actions?of={path.removeprefix('/c/')}")).text).document
        archive = Dom((await reader.get("/archive")).text).document
        links = [str(link.attrs["href"]) for link in actions.select(".menu a[download]")]
        answers = [(await reader.get(link)).status_code for link in links]

    assert (len(links), set(answers)) == (3, {200})
    assert [str(link.attrs["href"]) for link in archive.select("a[download]")] == ["/export"]
