"""Conversations brought along: what Rill, ChatGPT and Open WebUI export, read into one form.

All three keep a tree of messages, each in its own words. Here a tree is a sequence of nodes, parents before children;
what is neither a prompt nor a reply (tools, system messages, empty ones) is left out, and what hangs on it moves up.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

from webapp import errors
from webapp.domain import (
    MAX_COMMENT_CHARS,
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


class Imports:
    """Keeps what readers bring along. Methods raise `StoreUnavailable` when the database fails.

    `are_own_allowed` says whether readers may set conversations up; otherwise what is imported is set up as a new one.
    """

    def __init__(self, store: ImportStore, *, are_own_allowed: bool) -> None:
        self._store, self._are_own_allowed = store, are_own_allowed
        self._one_at_a_time = asyncio.Lock()

    async def keep(self, owner: ReaderId, body: bytes) -> int:
        """Add the conversations of an export to a reader's own; give how many were new. Raises `ImportRefused`.

        One that was brought along before is there already, and is left as it is.
        """
        async with self._one_at_a_time:
            found = await asyncio.to_thread(read, body)
            if not self._are_own_allowed:
                found = [replace(conversation, setup=Setup()) for conversation in found]
            return sum([await self._store.keep(owner, conversation) for conversation in found])


def read(body: bytes) -> Sequence[ImportedConversation]:
    """Read an export: JSON, or a zip file with such JSON in it. Raises `ImportRefused`."""
    found = [each for text in _texts(body) for each in _conversations(text)]
    if not found:
        raise errors.ImportRefused(_("No conversations of Rill, ChatGPT or Open WebUI were found in this file."))
    if len(found) > MOST_CONVERSATIONS:
        raise errors.ImportRefused(
            _("At most %(limit)s conversations can be imported at once.", limit=MOST_CONVERSATIONS)
        )
    return found


def _texts(body: bytes) -> Iterator[bytes]:
    if not body.startswith(b"PK"):
        yield body
        return
    try:
        with zipfile.ZipFile(BytesIO(body)) as archive:
            named = [each for each in archive.infolist() if each.filename.lower().endswith(".json")]
            # ChatGPT's has other files of JSON beside this one.
            whole = [each for each in named if each.filename.rpartition("/")[2] == "conversations.json"]
            chosen = whole or named
            if sum(each.file_size for each in chosen) > MOST_BYTES:
                raise errors.ImportRefused(_("This file holds too much to be imported at once."))
            for each in chosen:
                yield archive.read(each)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError, EOFError) as error:
        raise errors.ImportRefused(_("This zip file cannot be read."), detail=type(error).__name__) from error


def _conversations(text: bytes) -> Iterator[ImportedConversation]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise errors.ImportRefused(_("This file is not valid JSON."), detail=type(error).__name__) from error
    for each in content if isinstance(content, list) else [content]:
        if isinstance(each, dict) and (made := _conversation(each)) is not None:
            yield made


def _conversation(each: Mapping[str, Any]) -> ImportedConversation | None:
    """Read one conversation, in whichever of the three forms it is; `None` for what is none of them."""
    if each.get("format") == FORMAT:
        messages, head = each.get("messages"), each.get("head")
        nodes = [_of_rill(about) for about in messages if isinstance(about, dict)] if isinstance(messages, list) else []
        return _made(each, nodes, None if head is None else str(head), each.get("updated_at"))
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
    about: Mapping[str, Any], nodes: Sequence[Node], head: str | None, updated_at: object
) -> ImportedConversation | None:
    by_key = {node.key: node for node in nodes}
    if len(by_key) > MOST_MESSAGES:
        raise errors.ImportRefused(_("A conversation can have %(limit)s messages.", limit=MOST_MESSAGES))
    moment = _moment(updated_at) or datetime.now(UTC)
    messages, numbers = _numbered(by_key, moment)
    if not messages:
        return None
    source = f"{about.get('id') or about.get('conversation_id') or ''}\0{messages[0].text}\0{messages[0].created_at}"
    return ImportedConversation(
        hashlib.sha256(source.encode("utf-8", "replace")).hexdigest(),
        one_line(_string(about.get("title")))[:MAX_TITLE_CHARS] or title_from(messages[0].text),
        min(moment, datetime.now(UTC)),
        _setup(about),
        messages,
        _kept(by_key, numbers, head) or messages[-1].number,
    )


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
