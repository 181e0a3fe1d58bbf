"""A prompt to a running server: the events of its reply, each once, whatever the connection does.

A prompt is sent with a request id. Sent again with the same one it is stored once, and its reply is told from its first
character: so a connection that breaks is made again, and what was told already is left out. Server-Sent Events could
go on where they ended, but they carry HTML.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

import httpx2

TIMEOUT = httpx2.Timeout(10.0, read=60.0)
"""After so long without a word the connection is made again: one that is dead looks like a model that is silent."""
STOP_SECONDS = 5.0
WAITS_SECONDS = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Before each try to go on; a server takes some seconds to start again."""

_MEDIA_TYPE = "application/x-ndjson"
_PASSING = {502, 503, 504}
"""What a server that is being restarted answers, or the proxy before it."""


class NotAsked(Exception):
    """The server did not take the prompt; `line` is what it said in JSON, if it did."""

    def __init__(self, sentence: str, line: str = "") -> None:
        super().__init__(sentence)
        self.sentence, self.line = sentence, line


class BrokenOff(Exception):
    """The connection broke and could not be made again, after `told_chars` of the reply."""

    def __init__(self, told_chars: int) -> None:
        super().__init__(told_chars)
        self.told_chars = told_chars


@dataclass(frozen=True, slots=True)
class Event:
    """A line of the reply, and what it says; the shapes are those of `webapp.transports.ndjson`."""

    line: str
    said: Mapping[str, Any]

    @property
    def is_end(self) -> bool:
        return self.said.get("type") != "chunk"

    @property
    def text(self) -> str:
        return str(self.said.get("content", "")) if not self.is_end else ""


@dataclass
class Question:
    """One prompt to the server at `url`, in a conversation or, without one, as the first of a new one.

    `fields` are those of the prompt. It is sent when its events are asked for; `conversation` is known from then on.
    """

    url: str
    key: str
    fields: Mapping[str, str]
    conversation: str = ""
    has_begun: bool = field(default=False, init=False)
    _told_chars: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._path = f"/c/{quote(self.conversation, safe='')}/messages" if self.conversation else "/messages"
        self._body = {"request_id": secrets.token_urlsafe(16), **self.fields}
        headers = {"Accept": _MEDIA_TYPE, "User-Agent": "rill-ask"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        # A proxy of the network's has no way to this machine's own addresses.
        self._client = httpx2.Client(headers=headers, timeout=TIMEOUT, trust_env=not _is_loopback(self.url))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def events(self) -> Iterator[Event]:
        """Ask, and give what is told of the reply until its end. Raises `NotAsked` and `BrokenOff`."""
        tries = 0
        while True:
            try:
                for event in self._told():
                    tries = 0
                    yield event
                    if event.is_end:
                        return
            except httpx2.ReadTimeout:
                if self.has_begun:
                    continue
                raise NotAsked(f"The server at {self.url} does not answer.") from None
            except httpx2.RequestError as error:
                if not self.has_begun:
                    raise NotAsked(f"The server at {self.url} cannot be reached ({error}).") from None
            if tries == len(WAITS_SECONDS):
                raise BrokenOff(self._told_chars)
            time.sleep(WAITS_SECONDS[tries])
            tries += 1

    def stop(self) -> None:
        """Have the server stop the reply. It may have ended, or be out of reach; nothing can be done about either."""
        if self.has_begun:
            with suppress(httpx2.HTTPError):
                self._client.delete(f"{self.url}/c/{quote(self.conversation, safe='')}/turn", timeout=STOP_SECONDS)

    def _told(self) -> Iterator[Event]:
        """Send the prompt, and give what was not told yet of its reply, as long as the connection holds."""
        with self._client.stream("POST", self.url + self._path, json=self._body) as response:
            if self.has_begun and response.status_code in _PASSING:
                return
            self._require_lines(response)
            self.conversation = response.headers.get("location", "").rpartition("/")[2] or self.conversation
            self.has_begun = True
            known_chars = self._told_chars
            for line in _lines(response):
                event = _event(line)
                if event is None:
                    return
                known = min(known_chars, len(event.text))
                known_chars -= known
                self._told_chars += len(event.text) - known
                if known:
                    said = {**event.said, "content": event.text[known:]}
                    event = Event(json.dumps(said, ensure_ascii=False), said)
                if event.is_end or event.text:
                    yield event

    def _require_lines(self, response: httpx2.Response) -> None:
        if response.status_code == 200 and response.headers.get("content-type", "").startswith(_MEDIA_TYPE):
            return
        refusal = _event(response.read().decode("utf-8", "replace").strip())
        if refusal is not None and "message" in refusal.said:
            raise NotAsked(str(refusal.said["message"]), refusal.line)
        raise NotAsked(f"What answers at {self.url} is no Rill: it answered with status {response.status_code}.")


def _lines(response: httpx2.Response) -> Iterator[str]:
    """Give each whole line. The client's own lines end at characters that may stand in a reply, such as U+0085."""
    rest = b""
    for piece in response.iter_bytes():
        *lines, rest = (rest + piece).split(b"\n")
        yield from (line.decode("utf-8", "replace") for line in lines)


def _event(line: str) -> Event | None:
    with suppress(ValueError, RecursionError):
        said = json.loads(line)
        return Event(line, said) if isinstance(said, dict) else None
    return None


def _is_loopback(url: str) -> bool:
    name = urlsplit(url).hostname or ""
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
