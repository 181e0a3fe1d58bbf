"""What other programs export is read as it was meant, and nothing in it can do harm."""

from __future__ import annotations

import json
import zipfile
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import pytest

from webapp.domain import ImportedConversation, TurnState
from webapp.errors import ImportRefused
from webapp.imports import MOST_BYTES, MOST_MESSAGES, File, read


def chatgpt_node(
    role: str, text: object, parent: str | None, at: float = 1_700_000_000.5, **more: Any
) -> dict[str, Any]:
    content = {"content_type": "text", "parts": [text]}
    message = {"author": {"role": role}, "content": content, "create_time": 1_700_000_000.5, "metadata": more}
    return {"message": message, "parent": parent}


CHATGPT = {
    "title": "Rivers",
    "create_time": 1_700_000_000.0,
    "update_time": 1_700_000_100.0,
    "conversation_id": "a-b-c",
    "current_node": "r2",
    "mapping": {
        "root": {"message": None, "parent": None, "children": ["sys"]},
        "sys": chatgpt_node("system", "", "root"),
        "p1": chatgpt_node("user", "Tell me of rivers", "sys"),
        "r1": chatgpt_node("assistant", "They flow.", "p1", model_slug="gpt-4o"),
        "r2": chatgpt_node("assistant", "Water runs.", "p1"),
        "tool": chatgpt_node("tool", "{}", "r2"),
        "p2": chatgpt_node("user", "And lakes?", "tool"),
        "r3": chatgpt_node("assistant", {"asset_pointer": "file://x"}, "p2"),
    },
}
OPEN_WEBUI = {
    "id": "x",
    "title": "Lakes",
    "updated_at": 1_700_000_200,
    "chat": {
        "title": "Lakes",
        "history": {
            "currentId": "b",
            "messages": {
                "a": {"id": "a", "parentId": None, "role": "user", "content": "Lakes?", "timestamp": 1_700_000_150},
                "b": {"parentId": "a", "role": "assistant", "content": "They lie.", "model": "llama3"},
            },
        },
    },
}


def only(content: object) -> ImportedConversation:
    (found,) = read(json.dumps(content).encode())
    return found.conversation


def shape(conversation: ImportedConversation) -> list[tuple[int, int | None, str, str]]:
    return [(each.number, each.parent, each.role.value, each.text) for each in conversation.messages]


def test_chatgpt() -> None:
    conversation = only([CHATGPT])

    assert shape(conversation) == [
        (1, None, "user", "Tell me of rivers"),
        (2, 1, "assistant", "They flow."),
        (3, 1, "assistant", "Water runs."),
        (4, 3, "user", "And lakes?"),
    ]
    assert (conversation.title, conversation.head) == ("Rivers", 3)
    assert conversation.updated_at == datetime.fromtimestamp(1_700_000_100, UTC)
    assert conversation.messages[1].measures.model == "gpt-4o"
    assert conversation.messages[1].state is TurnState.FINISHED


def test_open_webui() -> None:
    conversation = only([OPEN_WEBUI])

    assert shape(conversation) == [(1, None, "user", "Lakes?"), (2, 1, "assistant", "They lie.")]
    assert (conversation.title, conversation.head) == ("Lakes", 2)
    assert conversation.messages[1].measures.model == "llama3"


@pytest.mark.parametrize(("rating", "kept"), [(1, 1), (-1, -1), (True, None), (1.0, None), ([1], None), (2, None)])
def test_only_a_rating_is_kept_as_one(rating: object, kept: int | None) -> None:
    message = {"number": 1, "role": "assistant", "text": "a", "rating": rating}

    assert only(rill(message)).messages[0].rating == kept


def test_a_zip_file_with_other_files_in_it() -> None:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("export/conversations.json", json.dumps([CHATGPT, CHATGPT]))
        archive.writestr("export/user.json", json.dumps({"mapping": {}}))
        archive.writestr("chat.html", "<html>")

    first, second = read(packed.getvalue())

    assert first.conversation.source_key == second.conversation.source_key
    assert shape(first.conversation) == shape(only(CHATGPT))


def attached(*files: Any) -> dict[str, Any]:
    return rill({"number": 1, "role": "user", "text": "a", "attachments": list(files)})


def test_files_are_in_the_json_or_beside_it() -> None:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        files = [{"name": "a.txt", "file": "T/1-a.txt"}, {"name": "b", "file": "../b"}, {"name": "c", "data": "Yw=="}]
        archive.writestr("T.json", json.dumps(attached(*files)))
        archive.writestr("T/1-a.txt", b"A")

    (found,) = read(packed.getvalue())

    assert found.files == {1: [File("a.txt", b"A"), File("c", b"c")]}


@pytest.mark.parametrize(
    "file", [3, {}, {"name": "a", "data": "no base64!"}, {"name": "a", "data": 3}, {"name": "a", "file": "/etc/passwd"}]
)
def test_a_file_that_did_not_come_along_is_left_out(file: object) -> None:
    (found,) = read(json.dumps(attached(file)).encode())

    assert shape(found.conversation) == [(1, None, "user", "a")]
    assert found.files == {}


def test_files_beside_the_json_count_as_what_is_unpacked() -> None:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("T.json", json.dumps(attached({"name": "a", "file": "a"}, {"name": "b", "file": "a"})))
        archive.writestr("a", b" " * (MOST_BYTES * 2 // 3))

    with pytest.raises(ImportRefused, match="too much"):
        read(packed.getvalue())


def rill(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"format": "rill.conversation", "version": 1, "title": "T", "messages": list(messages), **more}


@pytest.mark.parametrize(
    ("messages", "texts"),
    [
        ([{"number": 1, "parent": 2, "role": "user", "text": "a"}, {"number": 2, "parent": 1, "role": "user"}], None),
        ([{"number": 1, "parent": 1, "role": "user", "text": "a"}], None),
        ([{"number": 1, "parent": 9, "role": "user", "text": "a"}], ["a"]),
        ([{"number": 1, "role": "admin", "text": "a"}], None),
        ([{"number": 1, "role": "user", "text": ["a"]}], None),
        ([{"number": 1, "role": "user", "text": "a\0\ud800b"}], ["a\ufffdb"]),
        ([{"number": 1, "role": "user", "text": "a", "created_at": "yesterday"}], ["a"]),
        ([{"number": 1, "role": "user", "text": "a", "created_at": 1e300}], ["a"]),
        ([{"number": 1, "role": "assistant", "text": "a", "state": "running", "rating": 7, "cause": 3}], ["a"]),
        (["a", None, 3], None),
    ],
)
def test_what_makes_no_sense_is_left_out(messages: list[Any], texts: list[str] | None) -> None:
    content = json.dumps(rill(*messages, head=99, temperature="hot", system_prompt=3)).encode()
    if texts is None:
        with pytest.raises(ImportRefused):
            read(content)
        return
    (found,) = read(content)
    conversation = found.conversation

    assert [message.text for message in conversation.messages] == texts
    assert conversation.head in {message.number for message in conversation.messages}
    assert all(message.state is not TurnState.RUNNING for message in conversation.messages)
    assert all(message.created_at <= datetime.now(UTC) for message in conversation.messages)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"[]",
        b"{}",
        b'{"mapping": 3}',
        b'[[["x"]]]',
        b"[" * 100_000,
        b"PK\x03\x04 and nothing more",
        b'{"chat": {"history": {"messages": []}}}',
        json.dumps(rill(*({"number": n, "role": "user", "text": "a"} for n in range(MOST_MESSAGES + 1)))).encode(),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(body: bytes) -> None:
    with pytest.raises(ImportRefused):
        read(body)


def test_a_zip_file_that_grows_beyond_all_bounds_is_refused() -> None:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("conversations.json", "w") as file:
        for _ in range(51):
            file.write(b" " * 1_000_000)

    with pytest.raises(ImportRefused):
        read(packed.getvalue())


def test_a_conversation_as_deep_as_it_may_be() -> None:
    chain = [
        {"number": n, "parent": n - 1 or None, "role": "user" if n % 2 else "assistant", "text": str(n)}
        for n in range(1, MOST_MESSAGES + 1)
    ]

    conversation = only(rill(*chain, head=MOST_MESSAGES))

    assert len(conversation.messages) == MOST_MESSAGES
    assert conversation.head == MOST_MESSAGES
