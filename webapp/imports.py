"""Conversations brought along: what Rill, ChatGPT and Open WebUI export, read into one form.

All three keep a tree of messages, each in its own words. Here a tree is a sequence of nodes, parents before children;
what is neither a prompt nor a reply (tools, system messages, empty ones) is left out, and what hangs on it moves up.
"""

from __future__ import annotations

import asyncio
import binascii
import hashlib
import json
import zipfile
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import structlog

from webapp import errors
from webapp.attachments import read_file
from webapp.domain import (
    MAX_COMMENT_CHARS,
    MOST_ATTACHMENTS,
    Content,
    ImportedConversation,
    Measures,
    Message,
    Parameters,
    ReaderId,
    Role,
    Setup,
    TurnState,
)
from webapp.exports import FORMAT
from webapp.languages import gettext as _
from webapp.lists import MAX_TITLE_CHARS
from webapp.setups import MAX_MODEL_CHARS, MAX_NAME_CHARS, read_setup
from webapp.stores import ImportStore
from webapp.stores.texts import title_from
from webapp.text import clean, one_line, without_tags

log = structlog.get_logger()

MOST_CONVERSATIONS = 5_000
MOST_MESSAGES = 10_000
"""In one conversation."""
MOST_BYTES = 50_000_000
"""Of what a zip file holds, unpacked."""
MOST_TEXT_CHARS = 1_000_000
_ROLES = {"user": Role.USER, "assistant": Role.ASSISTANT}


@dataclass(slots=True)
class Node:
    """A message as it came; `key` and `parent` are whatever names messages there."""

    key: str
    parent: str | None
    role: str
    text: str
    at: datetime | None
    about: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class File:
    """What was attached to a message, as it came."""

    name: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Found:
    """A conversation in an export, with the files of its messages, by their numbers."""

    conversation: ImportedConversation
    files: Mapping[int, Sequence[File]]


Opener = Callable[[str], bytes | None]
"""Gives a file beside the JSON by its path, or `None` where there is none."""


class Imports:
    """Keeps what readers bring along. Methods raise `StoreUnavailable` when the database fails.

    `are_own_allowed` says whether readers may set conversations up; otherwise what is imported is set up as a new one.
    `are_files_kept` says whether what is attached is brought along too.
    """

    def __init__(self, store: ImportStore, *, are_own_allowed: bool, are_files_kept: bool) -> None:
        self._store, self._are_own_allowed, self._are_files_kept = store, are_own_allowed, are_files_kept
        self._one_at_a_time = asyncio.Lock()

    async def keep(self, owner: ReaderId, body: bytes) -> int:
        """Add the conversations of an export to a reader's own; give how many were new.

        One that was brought along before is there already, and is left as it is. Raises `ImportRefused`, and
        `AttachmentsBusy` when no file can be read just now; what was added before that stays.
        """
        async with self._one_at_a_time:
            return sum([await self._keep(owner, found) for found in await asyncio.to_thread(read, body)])

    async def _keep(self, owner: ReaderId, found: Found) -> bool:
        conversation = found.conversation
        if await self._store.has(owner, conversation.source_key):
            return False
        if not self._are_own_allowed:
            conversation = replace(conversation, setup=Setup())
        if self._are_files_kept:
            conversation = await _with_files(conversation, found.files)
        return await self._store.keep(owner, conversation)


async def _with_files(conversation: ImportedConversation, files: Mapping[int, Sequence[File]]) -> ImportedConversation:
    """Attach what can be attached here: files are read like those that a reader chooses, whatever they claim to be."""
    kept = {number: await _read_files(those) for number, those in files.items()}
    messages = [
        replace(each, attachments=tuple(content.attachment for content in kept.get(each.number, ())))
        for each in conversation.messages
    ]
    contents = tuple(content for those in kept.values() for content in those)
    return replace(conversation, messages=tuple(messages), contents=contents)


async def _read_files(files: Sequence[File]) -> Sequence[Content]:
    contents = []
    for file in files:
        try:
            contents.append(await read_file(file.name, file.body))
        except errors.AttachmentsBusy:
            raise
        except errors.AttachmentRefused as error:
            log.info("import.file_refused", cause=error.cause)
    return contents


def read(body: bytes) -> Sequence[Found]:
    """Read an export: JSON, or a zip file with such JSON in it. Raises `ImportRefused`."""
    found = [each for text, opener in _texts(body) for each in _conversations(text, opener)]
    if not found:
        raise errors.ImportRefused(_("No conversations of Rill, ChatGPT or Open WebUI were found in this file."))
    if len(found) > MOST_CONVERSATIONS:
        raise errors.ImportRefused(
            _("At most %(limit)s conversations can be imported at once.", limit=MOST_CONVERSATIONS)
        )
    return found


def _texts(body: bytes) -> Iterator[tuple[bytes, Opener]]:
    if not body.startswith(b"PK"):
        yield body, lambda _path: None
        return
    try:
        with zipfile.ZipFile(BytesIO(body)) as archive:
            named = [each for each in archive.infolist() if each.filename.lower().endswith(".json")]
            # ChatGPT's has other files of JSON beside this one.
            whole = [each for each in named if each.filename.rpartition("/")[2] == "conversations.json"]
            packed = _Packed(archive)
            for each in whole or named:
                yield packed.read(each), packed.open
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError, EOFError) as error:
        raise errors.ImportRefused(_("This zip file cannot be read."), detail=type(error).__name__) from error


class _Packed:
    """A zip file, of which no more is unpacked than may be."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive, self._left = archive, MOST_BYTES
        self._files = {each.filename: each for each in archive.infolist()}

    def read(self, info: zipfile.ZipInfo) -> bytes:
        """Unpack a file. Raises `ImportRefused`."""
        self._left -= info.file_size
        if self._left < 0:
            raise errors.ImportRefused(_("This file holds too much to be imported at once."))
        return self._archive.read(info)

    def open(self, path: str) -> bytes | None:
        """Unpack a file, if it is there."""
        info = self._files.get(path)
        return None if info is None else self.read(info)


def _conversations(text: bytes, opener: Opener) -> Iterator[Found]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise errors.ImportRefused(_("This file is not valid JSON."), detail=type(error).__name__) from error
    for each in content if isinstance(content, list) else [content]:
        if isinstance(each, dict) and (made := _conversation(each, opener)) is not None:
            yield made


def _conversation(each: Mapping[str, Any], opener: Opener) -> Found | None:
    """Read one conversation, in whichever of the three forms it is; `None` for what is none of them."""
    if each.get("format") == FORMAT:
        messages, head = each.get("messages"), each.get("head")
        nodes = [_of_rill(about) for about in messages if isinstance(about, dict)] if isinstance(messages, list) else []
        return _made(each, nodes, None if head is None else str(head), each.get("updated_at"), opener)
    if isinstance(each.get("mapping"), dict):
        nodes = [_of_chatgpt(key, entry) for key, entry in each["mapping"].items() if isinstance(entry, dict)]
        return _made(each, nodes, _key(each.get("current_node")), each.get("update_time"))
    chat = each.get("chat")
    history = chat.get("history") if isinstance(chat, dict) else None
    if isinstance(chat, dict) and isinstance(history, dict) and isinstance(history.get("messages"), dict):
        entries = history["messages"].items()
        nodes = [_of_open_webui(key, entry) for key, entry in entries if isinstance(entry, dict)]
        return _made({**chat, **each}, nodes, _key(history.get("currentId")), each.get("updated_at"))
    return None


def _of_rill(about: Mapping[str, Any]) -> Node:
    parent = about.get("parent")
    key = None if parent is None else str(parent)
    role, text, at = str(about.get("role")), _text(about.get("text")), _moment(about.get("created_at"))
    return Node(str(about.get("number")), key, role, text, at, about)


def _of_chatgpt(key: str, entry: Mapping[str, Any]) -> Node:
    message = entry.get("message")
    message = message if isinstance(message, dict) else {}
    author, content, more = (message.get(name) for name in ("author", "content", "metadata"))
    role = str(author.get("role")) if isinstance(author, dict) else ""
    parts = content.get("parts") if isinstance(content, dict) else None
    texts = [part for part in parts if isinstance(part, str)] if isinstance(parts, list) else []
    model = more.get("model_slug") if isinstance(more, dict) else None
    is_hidden = isinstance(more, dict) and bool(more.get("is_visually_hidden_from_conversation"))
    text = "" if is_hidden else _text("\n\n".join(texts))
    return Node(key, _key(entry.get("parent")), role, text, _moment(message.get("create_time")), {"model": model})


def _of_open_webui(key: str, entry: Mapping[str, Any]) -> Node:
    role, text, at = str(entry.get("role")), _text(entry.get("content")), _moment(entry.get("timestamp"))
    return Node(key, _key(entry.get("parentId")), role, text, at, {"model": entry.get("model")})


def _made(
    about: Mapping[str, Any],
    nodes: Sequence[Node],
    head: str | None,
    updated_at: object,
    opener: Opener | None = None,
) -> Found | None:
    by_key = {node.key: node for node in nodes}
    if len(by_key) > MOST_MESSAGES:
        raise errors.ImportRefused(_("A conversation can have %(limit)s messages.", limit=MOST_MESSAGES))
    moment = _moment(updated_at) or datetime.now(UTC)
    messages, numbers = _numbered(by_key, moment)
    if not messages:
        return None
    source = f"{about.get('id') or about.get('conversation_id') or ''}\0{messages[0].text}\0{messages[0].created_at}"
    conversation = ImportedConversation(
        hashlib.sha256(source.encode("utf-8", "replace")).hexdigest(),
        one_line(_string(about.get("title")))[:MAX_TITLE_CHARS] or title_from(messages[0].text),
        min(moment, datetime.now(UTC)),
        _setup(about),
        messages,
        _kept(by_key, numbers, head) or messages[-1].number,
    )
    if opener is None:
        return Found(conversation, {})
    files = {numbers[key]: _files(by_key[key].about.get("attachments"), opener) for key in numbers}
    return Found(conversation, {number: those for number, those in files.items() if those})


def _files(listed: object, opener: Opener) -> Sequence[File]:
    """Read what a message of Rill's has attached, whether it is in the JSON or beside it."""
    entries = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    files = []
    for each in entries[:MOST_ATTACHMENTS]:
        body = opener(_string(each.get("file"))) or _data(each.get("data"))
        if body:
            files.append(File(_string(each.get("name")), body))
    return files


def _data(value: object) -> bytes:
    try:
        return b64decode(_string(value), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _numbered(by_key: Mapping[str, Node], moment: datetime) -> tuple[tuple[Message, ...], dict[str, int]]:
    """Number what is kept, parents before children and otherwise in the order in which it came."""
    children: dict[str | None, list[str]] = {}
    for key, node in by_key.items():
        children.setdefault(node.parent if node.parent in by_key else None, []).append(key)
    messages: list[Message] = []
    numbers: dict[str, int] = {}
    waiting: list[tuple[str, int | None]] = [(key, None) for key in reversed(children.get(None, []))]
    while waiting:
        key, parent = waiting.pop()
        node = by_key[key]
        if node.role in _ROLES and node.text:
            numbers[key] = len(messages) + 1
            messages.append(_message(node, numbers[key], parent, moment))
            parent = numbers[key]
        waiting += [(child, parent) for child in reversed(children.get(key, []))]
    return tuple(messages), numbers


def _kept(by_key: Mapping[str, Node], numbers: Mapping[str, int], key: str | None) -> int | None:
    """Give the number of a message, or of the nearest before it that is kept."""
    seen = set[str]()
    while key is not None and key not in numbers and key in by_key and key not in seen:
        seen.add(key)
        key = by_key[key].parent
    return None if key is None else numbers.get(key)


def _message(node: Node, number: int, parent: int | None, moment: datetime) -> Message:
    role, at = _ROLES[node.role], min(node.at or moment, datetime.now(UTC))
    if role is Role.USER:
        return Message(number, parent, role, node.text, at)
    about = node.about
    states = {state.value: state for state in TurnState if state is not TurnState.RUNNING}
    rating = about.get("rating")
    is_rated = isinstance(rating, int) and not isinstance(rating, bool) and rating in (1, -1)
    return Message(
        number,
        parent,
        role,
        node.text,
        at,
        states.get(str(about.get("state", "finished")), TurnState.INTERRUPTED),
        _string(about.get("cause"))[:64] or None,
        reasoning=_text(about.get("reasoning")),
        measures=Measures(clean(_string(about.get("model")))[:MAX_MODEL_CHARS]),
        rating=rating if is_rated else None,
        comment=clean(_string(about.get("comment")))[:MAX_COMMENT_CHARS],
    )


def _setup(about: Mapping[str, Any]) -> Setup:
    """Read how a conversation of Rill's was set up; what cannot be used any more is left out."""
    if about.get("format") != FORMAT:
        return Setup()
    try:
        setup = read_setup(about)
    except errors.SetupRefused:
        setup = Setup()
    model = _string(about.get("model"))[:MAX_MODEL_CHARS] or None
    parameters = Parameters(model, setup.parameters.temperature, setup.parameters.max_tokens)
    return Setup(setup.system_prompt, parameters, clean(_string(about.get("assistant")))[:MAX_NAME_CHARS])


def _text(value: object) -> str:
    return without_tags(clean(_string(value)))[:MOST_TEXT_CHARS].strip("\n")


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _key(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _moment(value: object) -> datetime | None:
    """Read a moment: ISO 8601, or seconds since 1970, or milliseconds, or nanoseconds."""
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        if isinstance(value, int | float) and not isinstance(value, bool):
            seconds = float(value)
            while seconds > 1e11:
                seconds /= 1000
            return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None
