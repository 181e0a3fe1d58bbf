"""A scripted OpenAI-compatible endpoint, cheap enough to stay out of the way of the servers that ask it.

The prompt says how to answer (`Script`). The first chunk carries two readings of the clock, which on one machine all
processes share: when the request had arrived, and when this chunk was written. Whoever receives it, through whichever
server, can thus tell what the server added.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import uvloop

CHUNK_CHARS = 4
"""About a token of English."""

MODEL = "scripted-1"

_REPLY = """\
A river is a natural stream of water that flows towards an ocean, a lake or *another river*. Where it starts is its
source; where it ends is its **mouth**.

- Small streams join and become larger ones.
- The land that drains into a river is its basin.

Water always takes the way that costs it least, and so a river that seems to wander is only following the ground. In
flat country it bends, cuts its bends off, and leaves lakes behind that have the shape of an ox's bow.

"""


@dataclass(frozen=True, slots=True)
class Script:
    """How to answer: in how many chunks, and how many of them a second."""

    chunks: int
    per_second: float

    def __str__(self) -> str:
        return f"Answer in {self.chunks} chunks, {self.per_second:g} a second."

    @classmethod
    def parse(cls, prompt: str) -> Script:
        """Read what `str` wrote. Raises `ValueError` for any other prompt."""
        found = re.fullmatch(r"Answer in (\d+) chunks, ([\d.e+]+) a second\.", prompt.strip())
        if found is None:
            raise ValueError("this prompt is no script")
        return cls(int(found[1]), float(found[2]))


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


def text_chars(script: Script) -> int:
    """Give the length of a reply; it is all ASCII, so this is its bytes too."""
    return len(str(Stamp(0, 0))) + (script.chunks - 1) * CHUNK_CHARS


class Endpoint(asyncio.Protocol):
    """One connection; answers one request after the other, as the HTTP client's pool sends them."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._transport: asyncio.WriteTransport
        self._next_chunk: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._next_chunk is not None:
            self._next_chunk.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if not separator or len(body) < (int(length[1]) if length else 0):
            return
        self._received.clear()
        if head.startswith(b"GET"):
            self._answer_json({"object": "list", "data": [{"id": MODEL, "object": "model"}]})
        else:
            self._answer_completion(json.loads(body))

    def _answer_json(self, body: object) -> None:
        encoded = json.dumps(body).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(encoded)}\r\n\r\n"
        self._transport.write(head.encode() + encoded)

    def _answer_completion(self, request: dict[str, Any]) -> None:
        arrived = time.monotonic_ns()
        script = Script.parse(request["messages"][-1]["content"])
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        self._transport.write(_event(str(Stamp(arrived, time.monotonic_ns()))))
        self._schedule(script, asyncio.get_running_loop().time(), 1)

    def _schedule(self, script: Script, began: float, index: int) -> None:
        due = began + index / script.per_second
        self._next_chunk = asyncio.get_running_loop().call_at(due, self._write, script, began, index)

    def _write(self, script: Script, began: float, index: int) -> None:
        if index < script.chunks:
            self._transport.write(_event_at(index))
            self._schedule(script, began, index + 1)
        else:
            self._next_chunk = None
            self._transport.write(_event(None, "stop") + _chunked(b"data: [DONE]\n\n") + b"0\r\n\r\n")


@cache
def _event_at(index: int) -> bytes:
    start = (index - 1) * CHUNK_CHARS % len(_REPLY)
    return _event((_REPLY + _REPLY)[start : start + CHUNK_CHARS])


def _event(content: str | None, finish: str | None = None) -> bytes:
    delta = {} if content is None else {"content": content}
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    body = {"id": "chatcmpl-0123456789abcdef", "object": "chat.completion.chunk", "created": 1700000000, "model": MODEL}
    text = json.dumps({**body, "system_fingerprint": "fp_0123456789", "choices": [choice]}, separators=(",", ":"))
    return _chunked(f"data: {text}\n\n".encode())


def _chunked(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


async def serve() -> None:
    """Listen on a free loopback port, say which, and answer until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Endpoint, "127.0.0.1", 0, backlog=1024)
    print(f"Upstream is at http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
