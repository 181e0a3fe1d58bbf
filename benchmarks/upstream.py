"""A scripted OpenAI-compatible endpoint, cheap enough to stay out of the way of the servers that ask it.

The prompt says how to answer (`Script`). The first chunk carries two readings of the clock, which on one machine all
processes share: when the request had arrived, and when this chunk was written. In a numbered reply, each chunk carries
its number and every tenth the clock. Whoever receives them, through whichever server, can thus tell what the server
added and whether anything was lost.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, cast

import uvloop

CHUNK_CHARS = 4
"""About a token of English."""

FLAT_OUT = 0.0
"""As many chunks a second as the server takes."""

STAMPED_EVERY = 10

MODEL = "scripted-1"

_REPLY = """\
A river is a natural stream of water that flows towards an ocean, a lake or *another river*. Where it starts is its
source; where it ends is its **mouth**.

- Small streams join and become larger ones.
- The land that drains into a river is its basin.

Water always takes the way that costs it least, and so a river that seems to wander is only following the ground. In
flat country it bends, cuts its bends off, and leaves lakes behind that have the shape of an ox's bow.

"""

_AROUND_NUMBERS = [
    *(
        ("", " "),
        ("", " "),
        ("*", "* "),
        ("", " "),
        ("", ", "),
        ("**", "** "),
        ("", " "),
        ("", " "),
        ("`", "` "),
        ("", "; "),
    ),
    *(("", " "), ("", ".\n\n"), ("- ", " "), ("", " "), ("", "\n"), ("- ", " "), ("", " "), ("", ".\n\n")),
]
"""What stands before and behind the number of a chunk: every chunk is whole Markdown by itself."""


@dataclass(frozen=True, slots=True)
class Script:
    """How to answer: in how many chunks, and how many of them a second; `FLAT_OUT` waits for nothing.

    `is_numbered` gives every chunk its number. `is_held` writes the first chunk only, and the others once somebody
    has asked for `/release`, so that any number of replies run at the same time.
    """

    chunks: int
    per_second: float
    is_numbered: bool = False
    is_held: bool = False

    def __str__(self) -> str:
        words = [f"Answer in {self.chunks} chunks, {self.per_second:g} a second."]
        return " ".join(words + ["Number them."] * self.is_numbered + ["Hold them."] * self.is_held)

    @classmethod
    def parse(cls, prompt: str) -> Script:
        """Read what `str` wrote. Raises `ValueError` for any other prompt."""
        pattern = r"Answer in (\d+) chunks, ([\d.e+]+) a second\.( Number them\.)?( Hold them\.)?"
        found = re.fullmatch(pattern, prompt.strip())
        if found is None:
            raise ValueError("this prompt is no script")
        return cls(int(found[1]), float(found[2]), bool(found[3]), bool(found[4]))


@dataclass(frozen=True, slots=True)
class Stamp:
    """The clock at the request's arrival and at the writing of the first chunk, in nanoseconds."""

    arrived: int
    written: int

    def __str__(self) -> str:
        return f"arrived{self.arrived:018}written{self.written:018}\n\n"

    @classmethod
    def find(cls, text: str) -> Stamp | None:
        """Read the stamp in the text of a first chunk, however that is wrapped."""
        found = re.search(r"arrived(\d{18})written(\d{18})", text)
        return cls(int(found[1]), int(found[2])) if found else None


NUMBER = re.compile(r"n(\d{5})(?:t(\d{18}))?")
"""A chunk's number in a numbered reply, and in some the clock at its writing."""


def text_chars(script: Script) -> int:
    """Give the length of a reply without numbers; it is all ASCII, so this is its bytes too."""
    return len(str(Stamp(0, 0))) + (script.chunks - 1) * CHUNK_CHARS


class Endpoint(asyncio.Protocol):
    """One connection; answers one request after the other, as the HTTP client's pool sends them."""

    held: ClassVar[set[Endpoint]] = set()
    """Those whose replies wait for `/release`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()
        self._transport: asyncio.WriteTransport
        self._next_chunk: asyncio.Handle | None = None
        self._is_full = False
        self._script = Script(0, FLAT_OUT)
        self._index = 0
        self._due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.held.discard(self)
        self._rest()

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        if self._script.per_second == FLAT_OUT and self._index and self._next_chunk is None:
            self._go_on()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if not separator or len(body) < (int(length[1]) if length else 0):
            return
        self._received.clear()
        if head.startswith(b"GET /release"):
            self._answer_json({"released": self._release()})
        elif head.startswith(b"GET"):
            self._answer_json({"object": "list", "data": [{"id": MODEL, "object": "model"}]})
        else:
            self._answer_completion(json.loads(body))

    def _release(self) -> int:
        """Let the held replies go on, each at a moment of its own within the first chunk's time."""
        released = len(self.held)
        for endpoint in self.held:
            endpoint._due = self._loop.time() + random.random() / max(endpoint._script.per_second, 1.0)
            endpoint._go_on()
        self.held.clear()
        return released

    def _answer_json(self, body: object) -> None:
        encoded = json.dumps(body).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(encoded)}\r\n\r\n"
        self._transport.write(head.encode() + encoded)

    def _answer_completion(self, request: dict[str, Any]) -> None:
        arrived = time.monotonic_ns()
        self._script = Script.parse(request["messages"][-1]["content"])
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        self._transport.write(_event(str(Stamp(arrived, time.monotonic_ns()))))
        self._index, self._due = 1, self._loop.time()
        if self._script.is_held:
            self.held.add(self)
        else:
            self._go_on()

    def _go_on(self) -> None:
        """Write the next chunk when it is due; a server that does not take them gets no more of them flat out."""
        if self._script.per_second != FLAT_OUT:
            self._due += 1 / self._script.per_second
            self._next_chunk = self._loop.call_at(self._due, self._write)
        elif not self._is_full:
            # One at a time, so that each is a piece of its own on the network unless the server is late.
            self._next_chunk = self._loop.call_soon(self._write)
        else:
            self._next_chunk = None

    def _write(self) -> None:
        index = self._index
        if index >= self._script.chunks:
            self._rest()
            self._transport.write(_event(None, "stop") + _chunked(b"data: [DONE]\n\n") + b"0\r\n\r\n")
            return
        self._transport.write(_numbered_event(index) if self._script.is_numbered else _event_at(index))
        self._index = index + 1
        self._go_on()

    def _rest(self) -> None:
        if self._next_chunk is not None:
            self._next_chunk.cancel()
        self._next_chunk, self._index = None, 0


def _numbered_event(index: int) -> bytes:
    before, after = _around(index)
    clock = b"t%018d" % time.monotonic_ns() if index % STAMPED_EVERY == 0 else b""
    return _chunked(b"%bn%05d%b%b" % (before, index, clock, after))


@cache
def _around(index: int) -> tuple[bytes, bytes]:
    if index >= len(_AROUND_NUMBERS):
        return _around(index % len(_AROUND_NUMBERS))
    before, after = _AROUND_NUMBERS[index]
    whole = _data(f"{before}NUMBER{after}")
    head, _, tail = whole.partition(b"NUMBER")
    return head, tail


@cache
def _event_at(index: int) -> bytes:
    start = (index - 1) * CHUNK_CHARS % len(_REPLY)
    return _event((_REPLY + _REPLY)[start : start + CHUNK_CHARS])


def _event(content: str | None, finish: str | None = None) -> bytes:
    return _chunked(_data(content, finish))


def _data(content: str | None, finish: str | None = None) -> bytes:
    delta = {} if content is None else {"content": content}
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    body = {"id": "chatcmpl-0123456789abcdef", "object": "chat.completion.chunk", "created": 1700000000, "model": MODEL}
    text = json.dumps({**body, "system_fingerprint": "fp_0123456789", "choices": [choice]}, separators=(",", ":"))
    return f"data: {text}\n\n".encode()


def _chunked(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


async def serve() -> None:
    """Listen on a free loopback port, say which, and answer until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Endpoint, "127.0.0.1", 0, backlog=1024)
    print(f"Upstream is at http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
