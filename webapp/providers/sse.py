"""The lines of an upstream's event stream, put together from whatever pieces the network brings.

Follows the WHATWG HTML specification, section 9.2.6 "Interpreting an event stream", as far as model services use it:
events and data. Ids and retry times are for clients that reconnect, which a model's reply cannot.
"""

from __future__ import annotations

import codecs
import re
from typing import NamedTuple

MAX_EVENT_BYTES = 1_048_576
"""A single event larger than this is no model's chunk; reading on would only fill the memory."""

# A carriage return at the very end may be half of a CRLF, so it waits for the next piece.
_LINE_END = re.compile(rb"\r\n|\n|\r(?=[^\n])")


class UpstreamEvent(NamedTuple):
    name: str
    data: bytes


class EventTooLarge(ValueError):
    """An event exceeded `MAX_EVENT_BYTES`."""


class EventStreamParser:
    """Feed it bytes in any pieces; it gives each event once it is complete."""

    def __init__(self) -> None:
        self._partial: list[bytes] = []
        self._partial_bytes = 0
        self._is_first_line = True
        self._name = b""
        self._data: list[bytes] = []
        self._data_bytes = 0

    def feed(self, piece: bytes) -> list[UpstreamEvent]:
        """Take the next bytes; give the events that they complete. Raises `EventTooLarge`."""
        return self._whole_events(piece) or self._feed_lines(piece)

    def _whole_events(self, piece: bytes) -> list[UpstreamEvent] | None:
        """Read what model services mostly send: nothing but whole events of one line of data each."""
        if self._partial_bytes or self._data or self._name or not piece.endswith(b"\n\n") or b"\r" in piece:
            return None
        parts = piece[:-2].split(b"\n\n")
        for part in parts:
            if not part.startswith(b"data: ") or b"\n" in part or len(part) > MAX_EVENT_BYTES:
                return None
        self._is_first_line = False
        return [UpstreamEvent("", part[6:]) for part in parts]

    def _feed_lines(self, piece: bytes) -> list[UpstreamEvent]:
        self._partial.append(piece)
        self._partial_bytes += len(piece)
        lines: list[bytes] = []
        if b"\n" in piece or b"\r" in piece or self._ends_in_carriage_return():
            *lines, rest = _LINE_END.split(b"".join(self._partial))
            self._partial, self._partial_bytes = [rest], len(rest)
        # A piece may be larger than an event: compressed bodies come in pieces of this very size.
        if self._partial_bytes > MAX_EVENT_BYTES:
            raise EventTooLarge
        return [event for line in lines if (event := self._take(line)) is not None]

    def _ends_in_carriage_return(self) -> bool:
        return len(self._partial) > 1 and self._partial[-2].endswith(b"\r")

    def _take(self, line: bytes) -> UpstreamEvent | None:
        if self._is_first_line:
            line, self._is_first_line = line.removeprefix(codecs.BOM_UTF8), False
        if not line:
            return self._dispatch()
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
            self._data_bytes += len(value) + 1  # With its line end, so that empty lines are not for nothing.
            if self._data_bytes > MAX_EVENT_BYTES:
                raise EventTooLarge
        elif field == b"event":
            self._name = value
        return None

    def _dispatch(self) -> UpstreamEvent | None:
        name, data = self._name, self._data
        self._name, self._data, self._data_bytes = b"", [], 0
        if not data:
            return None
        return UpstreamEvent(name.decode("utf-8", "replace"), b"\n".join(data))
