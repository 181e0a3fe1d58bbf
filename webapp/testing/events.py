"""The events of a stream, as a browser reads them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Event:
    """One event of a stream: its fields as they stood there, in order."""

    fields: list[tuple[str, str]] = field(default_factory=list)

    def values(self, name: str) -> list[str]:
        return [value for found, value in self.fields if found == name]

    @property
    def data(self) -> str:
        return "\n".join(self.values("data"))

    @property
    def id(self) -> str:
        return "".join(self.values("id")[-1:])

    @property
    def name(self) -> str:
        return "".join(self.values("event")[-1:])


class EventStream:
    """An event stream as the WHATWG HTML specification reads it (section 9.2.6), comments kept apart.

    It shares nothing with what the server reads and writes streams with, so that tests judge that by other code.
    """

    def __init__(self) -> None:
        self._text = ""
        self._is_first = True
        self._event = Event()
        self.comments: list[str] = []
        self.retries: list[str] = []

    @property
    def rest(self) -> str:
        """What came after the last whole event; a browser drops it."""
        return self._text or "".join(f"{name}: {value}" for name, value in self._event.fields)

    def feed(self, piece: str) -> Iterator[Event]:
        self._text += piece
        while (cut := self._line_end()) is not None:
            line, self._text = self._text[: cut[0]], self._text[cut[1] :]
            if self._is_first:
                line, self._is_first = line.removeprefix("\ufeff"), False
            event = self._take(line)
            if event is not None:
                yield event

    def _line_end(self) -> tuple[int, int] | None:
        ends = [place for sign in "\r\n" if (place := self._text.find(sign)) >= 0]
        if not ends:
            return None
        first = min(ends)
        if self._text[first] == "\r" and first + 1 == len(self._text):
            return None
        return first, first + (2 if self._text[first : first + 2] == "\r\n" else 1)

    def _take(self, line: str) -> Event | None:
        if not line:
            event, self._event = self._event, Event()
            return event if event.values("data") or event.values("event") else None
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not name:
            self.comments.append(value)
        elif name == "retry":
            self.retries.append(value)
        else:
            self._event.fields.append((name, value))
        return None
