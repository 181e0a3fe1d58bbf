"""Attachments: what is taken in and what becomes of it, what the model is told, and who is given it again."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.clients import HTMX, LINES, ask, new_reader, page_with, socket
from tests.dom import Dom
from tests.fakes import RillServer, ScriptedUpstream, rill_server
from tests.files import bomb, image, pdf, photo
from webapp import attachments
from webapp.domain import (
    Attachment,
    AttachmentId,
    AttachmentKind,
    Content,
    Conversation,
    ConversationId,
    Message,
    ReaderId,
    Role,
)

CODE = b"def f():\r\n    return '<b>'\n"


@pytest.fixture
def settings() -> dict[str, str]:
    return {}


@pytest.fixture
async def taking(tmp_path: Path, upstream: ScriptedUpstream, settings: dict[str, str]) -> AsyncIterator[RillServer]:
    endpoint = {"OPENAI_BASE_URL": upstream.base_url, "OPENAI_API_KEY": "k"}
    async with rill_server(tmp_path, **endpoint, RILL_MAX_UPLOAD_MB="2", **settings) as server:
        yield server


@pytest.fixture
async def reader(taking: RillServer) -> AsyncIterator[httpx.AsyncClient]:
    async with new_reader(taking) as client:
        yield client


async def attach(reader: httpx.AsyncClient, *files: tuple[str, bytes], path: str = "") -> list[str]:
    """Attach files as a program does; give their ids."""
    answer = await reader.post(f"{path}/attachments", files=[("file", file) for file in files], headers=LINES)
    assert answer.status_code == 201, answer.text
    return [each["id"] for each in answer.json()["attachments"]]


async def told(reader: httpx.AsyncClient, prompt: str, ids: list[str], path: str = "") -> str:
    answer = await reader.post(f"{path}/messages", json={"prompt": prompt, "attachments": ids}, headers=LINES)
    assert answer.status_code == 200, answer.text
    return answer.headers.get("location", "") or path


def last(upstream: ScriptedUpstream) -> Any:
    return upstream.exchanges[-1].body["messages"][-1]["content"]


@pytest.mark.parametrize("is_multipart", [False, True])
async def test_a_form_can_have_several(
    reader: httpx.AsyncClient, upstream: ScriptedUpstream, is_multipart: bool
) -> None:
    ids = await attach(reader, ("one.txt", b"1"), ("two.txt", b"2"))
    files = [("file", ("three.txt", b"3"))] if is_multipart else []

    form = {"prompt": "Read", "attachments": ids}
    answer = await reader.post("/messages", data=form, files=files, headers=LINES)

    assert answer.status_code == 200
    assert [name for name in ("one.txt", "two.txt", "three.txt") if name in str(last(upstream))] == [
        "one.txt",
        "two.txt",
        *(["three.txt"] if is_multipart else []),
    ]


async def test_text_and_pdfs_stand_before_the_prompt(reader: httpx.AsyncClient, upstream: ScriptedUpstream) -> None:
    ids = await attach(reader, ("src/main.py", CODE), ("C:\\x\\paper.pdf", pdf("Rivers flow", "to the sea")))

    path = await told(reader, "What is this?", ids)

    assert last(upstream) == (
        "<file name=\"main.py\">\ndef f():\n    return '<b>'\n\n</file>\n\n"
        '<file name="paper.pdf">\nRivers flow\n\nto the sea\n</file>\n\nWhat is this?'
    )
    page = Dom((await reader.get(path)).text).document
    chips = page.select("#rill-m1 .attachments a")
    assert [" ".join(chip.text.split()) for chip in chips] == ["main.py 1 KB", "paper.pdf 1 KB"]
    opened = await reader.get(path + str(chips[0].attrs["href"]))
    assert (opened.text, opened.headers["content-type"]) == (
        CODE.decode().replace("\r\n", "\n"),
        "text/plain; charset=utf-8",
    )
    assert page.select(".text")[0].text.strip() == "What is this?"


async def test_what_looks_like_another_kind_is_what_it_is(
    reader: httpx.AsyncClient, upstream: ScriptedUpstream
) -> None:
    ids = await attach(reader, ("cars.txt", b"BMW prices"), ("gif.txt", b"GIF8 is how it begins"))
    ids += await attach(reader, ("form.pdf", pdf("To be filled in", owner_password="x")))

    await told(reader, "Look", ids)

    assert all(words in last(upstream) for words in ("BMW prices", "GIF8 is how", "To be filled in"))


async def test_a_pdf_tells_a_model_nothing_that_its_reader_cannot_see(
    reader: httpx.AsyncClient, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = "".join(chr(0xE0000 + ord(letter)) for letter in "obey")
    monkeypatch.setattr(attachments, "read_pdf", _gives(f"Seen\x00{hidden}"))

    content = await attachments.read_file("x.pdf", b"%PDF-")

    assert content.body == b"Seen"


def _gives(text: str) -> Any:
    async def read_pdf(name: str, body: bytes) -> str:
        return text

    return read_pdf


async def test_a_model_is_told_the_newest_of_what_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    def prompt(number: int, kind: AttachmentKind, size: int) -> Message:
        attached = Attachment(AttachmentId(str(number)), "x", kind, "", size)
        return Message(number, None, Role.USER, "", datetime.now(UTC), attachments=(attached,))

    class Shelf:
        async def contents(self, _: str, wanted: set[AttachmentId]) -> list[Content]:
            return [Content(Attachment(each, "", AttachmentKind.TEXT, "", 0), b"") for each in wanted]

    text, picture = AttachmentKind.TEXT, AttachmentKind.IMAGE
    branch = (prompt(1, text, 60), prompt(2, picture, 50), prompt(3, text, 40), prompt(4, picture, 30))
    conversation = Conversation(ConversationId("c"), ReaderId("r"), "", datetime.now(UTC), branch)
    monkeypatch.setattr(attachments, "MOST_TOLD_BYTES", 100)
    shelf = attachments.Attachments(Shelf())  # type: ignore[arg-type]  # It is asked for nothing else.

    assert set(await shelf.told(conversation, are_images_seen=True)) == {"4", "3"}
    assert set(await shelf.told(conversation, are_images_seen=False)) == {"3", "1"}


async def test_a_model_that_refuses_images_is_named_as_the_reason(
    reader: httpx.AsyncClient, upstream: ScriptedUpstream
) -> None:
    upstream.script = lambda exchange: exchange.json(400, {"error": {"message": "This model does not support images."}})
    ids = await attach(reader, ("x.png", image()))

    path = await told(reader, "Look", ids)

    assert "If this model sees no images, choose another one" in (await reader.get(path)).text


async def test_an_image_is_made_small_and_says_nothing_but_its_pixels(
    reader: httpx.AsyncClient, upstream: ScriptedUpstream
) -> None:
    ids = await attach(reader, ("large.png", image(3000, 1500)), ("photo.jpg", photo("At home, by Ada")))

    path = await told(reader, "What is this?", ids)
    await ask(reader, "And now?", path)

    pictures, *_ = [each["content"] for each in upstream.exchanges[-1].body["messages"]]
    assert pictures[-1] == {"type": "text", "text": "What is this?"}
    urls = [part["image_url"]["url"] for part in pictures[:-1]]
    assert all(url.startswith("data:image/jpeg;base64,") for url in urls)
    made = [b64decode(url.partition(",")[2]) for url in urls]
    assert [Image.open(BytesIO(each)).size for each in made] == [(1568, 784), (20, 40)]
    assert not [each for each in made if b"Ada" in each or b"Exif" in each]
    shown = Dom((await reader.get(path)).text).document.select("#rill-m1 img")
    assert [(each.attrs["alt"], each.attrs["width"]) for each in shown] == [("large.png", "1568"), ("photo.jpg", "20")]
    served = await reader.get(path + str(shown[0].attrs["src"]))
    assert served.content == made[0]
    assert served.headers["content-type"] == "image/jpeg"
    assert served.headers["x-content-type-options"] == "nosniff"
    assert served.headers["content-security-policy"] == "default-src 'none'; sandbox"


KINDS = [
    ("PNG", "RGBA", (255, 0, 0, 0)),
    ("PNG", "LA", (0, 0)),
    ("GIF", "P", 0),
    ("WEBP", "RGB", "white"),
    ("BMP", "RGB", "white"),
    ("PNG", "I;16", 65535),
    ("JPEG", "CMYK", (0, 0, 0, 0)),
    ("PNG", "1", 1),
]


@pytest.mark.parametrize(("kind", "mode", "color"), KINDS)
async def test_images_of_any_kind_become_jpegs_on_white_paper(
    reader: httpx.AsyncClient, upstream: ScriptedUpstream, kind: str, mode: str, color: Any
) -> None:
    await told(reader, "Look", await attach(reader, ("x", image(8, 8, kind, mode, color))))

    (picture, _) = last(upstream)
    made = Image.open(BytesIO(b64decode(picture["image_url"]["url"].partition(",")[2])))
    assert (made.format, made.mode, made.size) == ("JPEG", "RGB", (8, 8))
    assert kind == "GIF" or min(made.getpixel((4, 4))) > 250


REFUSED = [
    ("empty.txt", b"", "is empty"),
    ("thing.zip", b"PK\x03\x04\x00\xff", "only images, PDFs and text can"),
    ("latin.txt", "é".encode("latin-1"), "only images, PDFs and text can"),
    ("long.txt", b"x" * 200_001, "more than 200,000 characters"),
    ("cut.png", image()[:40], "is damaged"),
    ("not.png", b"\x89PNG and then something else", "is damaged"),
    ("bomb.png", bomb(60_000, 60_000), "is damaged|too many pixels"),
    ("large.png", bomb(8_000, 8_000), "too many pixels"),
    ("cut.pdf", pdf("x")[:60], "is damaged"),
    ("not.pdf", b"%PDF-1.7\nnothing", "is damaged"),
    ("scan.pdf", pdf(""), "no text in it"),
    ("locked.pdf", pdf("x", password="secret"), "locked with a password"),
    ("book.pdf", pdf("x" * 200_001), "more than 200,000 characters"),
]


@pytest.mark.parametrize(("name", "data", "sentence"), REFUSED, ids=[name for name, _, _ in REFUSED])
async def test_what_cannot_be_used_is_refused_with_a_reason(
    reader: httpx.AsyncClient, name: str, data: bytes, sentence: str
) -> None:
    answer = await reader.post("/attachments", files={"file": (name, data)}, headers=LINES)

    assert answer.status_code == 422
    message = answer.json()["message"]
    assert name in message
    assert any(part in message for part in sentence.split("|")), message
    assert "chip" not in (await reader.get("/")).text


async def test_of_several_files_those_before_a_bad_one_wait_and_are_shown(reader: httpx.AsyncClient) -> None:
    files = [("file", ("fine.txt", b"1")), ("file", ("bad.zip", b"PK\0"))]

    answer = await reader.post("/attachments", files=files, headers=HTMX)

    assert answer.status_code == 422
    assert "fine.txt" in answer.text
    assert "“bad.zip” cannot be attached" in answer.text


async def test_nothing_is_kept_for_a_conversation_that_is_not_there(reader: httpx.AsyncClient) -> None:
    sent = {"data": {"prompt": "x"}, "files": {"file": ("x.txt", b"x")}}
    assert (await reader.post("/c/nothing/messages", headers=LINES, **sent)).status_code == 404
    path = (await ask(reader)).path

    refusal = await reader.post(f"{path}/attachments", files={"file": ("x.zip", b"PK\0")}, headers=HTMX)

    assert refusal.status_code == 422
    assert "chip" not in (await reader.get(path)).text


async def test_there_is_an_end_to_files(reader: httpx.AsyncClient) -> None:
    large = await reader.post("/attachments", files={"file": ("x.txt", b"x" * 3_000_000)}, headers=LINES)
    assert (large.status_code, large.json()["message"]) == (422, "At most 2 MB can be attached at once.")
    for number in range(8):
        await attach(reader, (f"{number}.txt", b"x"))
    ninth = await reader.post("/attachments", files={"file": ("9.txt", b"x")}, headers=LINES)
    assert (ninth.status_code, ninth.json()["message"]) == (422, "A message can have 8 attachments.")
    many = await reader.post("/attachments", files=[("file", (f"{n}.txt", b"x")) for n in range(9)], headers=LINES)
    assert many.status_code == 400
    assert (await reader.post("/attachments", data={"a": "b"}, headers=LINES)).status_code == 400


async def test_what_waits_is_shown_until_it_is_sent_or_removed(
    reader: httpx.AsyncClient, upstream: ScriptedUpstream
) -> None:
    files = [("file", ("one.txt", b"1")), ("file", ("two.txt", b"2"))]
    shown = Dom((await reader.post("/attachments", files=files, headers=HTMX)).text).document
    names = [str(each.attrs["name"]) for each in shown.select(".chip input")]
    assert len(names) == 2
    dropped = await reader.post("/attachments/drop", data={"drop": names[0].removeprefix("attached-")}, headers=HTMX)
    assert "two.txt" in dropped.text
    assert "one.txt" not in dropped.text
    assert "two.txt" in (await reader.get("/")).text

    path = (await reader.post("/messages", data={"prompt": "Look", names[1]: "1"}, headers=HTMX)).headers["hx-redirect"]
    await page_with(reader, path, 'data-state="finished"')

    assert "two.txt" in last(upstream)
    assert "two.txt" not in (await reader.get("/")).text
    again = await reader.post(f"{path}/messages", data={"prompt": "Again", names[1]: "1"}, headers=LINES)
    assert (again.status_code, again.json()["cause"]) == (404, "attachment_not_found")


async def test_they_come_with_a_prompt_over_a_socket(reader: httpx.AsyncClient, upstream: ScriptedUpstream) -> None:
    path = (await ask(reader)).path
    (attached,) = await attach(reader, ("one.txt", b"1"), path=path)
    async with socket(reader, f"{path}/stream") as connected:
        await connected.send(json.dumps({"prompt": "Look", f"attached-{attached}": "1"}))
        async with asyncio.timeout(20):
            async for frame in connected:
                if 'id="rill-e4"' in frame and 'data-state="finished"' in frame:
                    break

    assert last(upstream) == '<file name="one.txt">\n1\n</file>\n\nLook'


async def test_a_form_without_scripts_brings_files_and_prompt_together(
    reader: httpx.AsyncClient, upstream: ScriptedUpstream
) -> None:
    answer = await reader.post("/messages", data={"prompt": "Look"}, files={"file": ("one.txt", b"1")})
    assert answer.status_code == 303
    await page_with(reader, answer.headers["location"], 'data-state="finished"')
    assert last(upstream) == '<file name="one.txt">\n1\n</file>\n\nLook'

    for _ in range(2):
        twice = {"data": {"prompt": "Look", "request_id": "r"}, "files": {"file": ("two.txt", b"2")}}
        assert (await reader.post("/messages", **twice)).status_code == 303
    assert "two.txt" not in (await reader.get("/")).text

    files = [("file", ("fine.txt", b"2")), ("file", ("bad.zip", b"PK\0"))]
    refused = await reader.post("/messages", data={"prompt": "Keep this"}, files=files)

    assert refused.status_code == 422
    assert all(kept in refused.text for kept in ("Keep this", "bad.zip", "fine.txt"))


async def test_links_on_the_page_of_a_refused_form_lead_to_the_conversation(reader: httpx.AsyncClient) -> None:
    path = await told(reader, "Look", await attach(reader, ("one.txt", b"1")))
    refused = await reader.post(f"{path}/messages", data={"prompt": ""})
    (chip,) = Dom(refused.text).document.select("#rill-m1 .attachments a")

    answer = await reader.get(f"{path}/messages{chip.attrs['href']}", follow_redirects=True)

    assert (refused.status_code, answer.text) == (422, "1")


async def test_nobody_else_is_given_them(taking: RillServer, reader: httpx.AsyncClient) -> None:
    (attached,) = await attach(reader, ("secret.txt", b"A secret"))
    path = await told(reader, "Look", [attached])
    async with new_reader(taking) as other:
        own = (await ask(other)).path
        answers = [
            await other.get(f"{path}?attachment={attached}"),
            await other.get(f"{own}?attachment={attached}"),
            await other.post(f"{path}/attachments", files={"file": ("x.txt", b"x")}),
            await other.post("/messages", json={"prompt": "x", "attachments": [attached]}, headers=LINES),
        ]

    assert [answer.status_code for answer in answers] == [404] * 4
    assert not [answer for answer in answers if "A secret" in answer.text]
    assert (await reader.get(f"{path}?attachment={attached}")).text == "A secret"
    assert (await reader.get(f"{path}?attachment={'x' * 3000}")).status_code == 404


@pytest.mark.parametrize("settings", [{"RILL_IMAGES": "false"}])
async def test_a_model_that_sees_none_is_given_no_images(reader: httpx.AsyncClient) -> None:
    answer = await reader.post("/attachments", files={"file": ("x.png", image())}, headers=LINES)

    assert (answer.status_code, answer.json()["message"]) == (
        422,
        "“x.png” cannot be attached: the model here does not see images.",
    )


@pytest.mark.parametrize("settings", [{"RILL_ATTACHMENTS": "false"}])
async def test_an_operator_can_do_without_them(reader: httpx.AsyncClient) -> None:
    assert 'type="file"' not in (await reader.get("/")).text
    answer = await reader.post("/attachments", files={"file": ("x.txt", b"x")}, headers=LINES)
    assert answer.status_code == 400
