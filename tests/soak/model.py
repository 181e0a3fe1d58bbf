"""The model service of a soak: it writes each reader's replies as planned, and notes what it has sent and when."""

from __future__ import annotations

import asyncio
import json
import re
import time
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

from tests.fakes import Exchange, ScriptedUpstream
from tests.soak.plans import Plan, Writing
from webapp.turns import CONTINUE

PATIENCE_SECONDS = 1.0
"""How long the model waits for a reader to come so far; a model that is silent for too long fails its turn."""
ENDLESS_PIECE_CHARS = 4000
_READER = re.compile(r"of reader (\d+-\d+):")


@dataclass
class Sent:
    """One time that the model was asked: what it sent, piece by piece, with the time before each was sent.

    `continues` is the text that it was asked to go on from, `status` that of its answer. `end` is how that ended: a
    finish reason, the name of a failure, or "left" if the server closed the connection. `longest_silence` is in
    seconds.
    """

    at: float
    continues: str = ""
    status: int = 0
    pieces: list[tuple[float, str]] = field(default_factory=list)
    end: str = ""
    longest_silence: float = 0.0

    @property
    def text(self) -> str:
        return "".join(text for _, text in self.pieces)

    def text_before(self, moment: float) -> str:
        """What had been sent at a moment."""
        return "".join(text for at, text in self.pieces if at < moment)


class Pen:
    """What the model does for one reader. A reader's faults `allow` it to write up to a part of the reply."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.sent: list[Sent] = []
        self._turns = 0
        self._refused = 0
        self._allowed = 0.0
        self._moved = asyncio.Event()
        self._reached = 0.0
        self._has_come = asyncio.Event()
        self._random = Random(plan.seed)

    def allow(self, part: float) -> None:
        self._allowed = part
        self._moved.set()

    async def reaches(self, part: float, seconds: float) -> None:
        """Wait until so much is written of the present reply, or for so long if it ends before."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._reached < part:
                    self._has_come.clear()
                    await self._has_come.wait()

    async def answer(self, exchange: Exchange) -> None:
        note = Sent(time.time(), _continues(exchange))
        self.sent.append(note)
        writing = self.plan.writing(self._turns)
        if self._refused < len(writing.refusals):
            note.status = writing.refusals[self._refused]
            self._refused += 1
            note.end = "refused"
            await exchange.json(note.status, {"error": {"message": "busy", "code": "busy"}})
            return
        self._turns, self._refused, self._reached = self._turns + 1, 0, 0.0
        try:
            await self._write(exchange, note, writing)
        finally:
            note.end = note.end or "left"

    async def _write(self, exchange: Exchange, note: Sent, writing: Writing) -> None:
        note.status = 200
        is_chunked = writing.end == "cut chunked"
        headers = {"Transfer_Encoding": "chunked"} if is_chunked else {}
        await exchange.head(200, "text/event-stream", **headers)
        for thought in () if is_chunked else writing.thoughts:
            await exchange.think(thought)
        for index, piece in enumerate(writing.pieces):
            await self._wait(index / len(writing.pieces))
            self._come_to((index + 1) / len(writing.pieces))
            if exchange.was_closed.is_set():
                return
            await _send(exchange, note, piece, in_bytes=writing.is_in_bytes, is_chunked=is_chunked)
            if writing.pause_seconds:
                await asyncio.sleep(self._random.uniform(0, writing.pause_seconds))
        note.end = writing.end
        await self._end(exchange, note, writing.end)

    def _come_to(self, part: float) -> None:
        self._reached = part
        self._has_come.set()

    async def _wait(self, part: float) -> None:
        """Wait until the reader wants to see more, but not for ever."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                while self._allowed <= part:
                    self._moved.clear()
                    await self._moved.wait()

    async def _end(self, exchange: Exchange, note: Sent, end: str) -> None:
        match end:
            case "stop" | "length" | "content_filter":
                await exchange.finish(end)
            case "cut" | "cut chunked":
                pass
            case "reset":
                exchange.reset()
            case "malformed":
                await exchange.raw(b'data: {"choices": [{"delta"\n\n')
            case "error":
                await exchange.event({"error": {"message": "on fire", "code": "server_on_fire"}})
            case "error event":
                await exchange.raw(b'event: error\ndata: {"message": "on fire"}\n\n')
            case "stall":
                await exchange.was_closed.wait()
            case "endless":
                number = 0
                while not exchange.was_closed.is_set():
                    await _send(exchange, note, f"\n\nq777x{number}z" + " x" * (ENDLESS_PIECE_CHARS // 2))
                    number += 1
            case _:
                raise ValueError(f"no reply ends with {end}")


def _continues(exchange: Exchange) -> str:
    messages = exchange.body["messages"]
    return str(messages[-2]["content"]) if messages[-1]["content"] == CONTINUE else ""


async def _send(exchange: Exchange, note: Sent, text: str, *, in_bytes: bool = False, is_chunked: bool = False) -> None:
    now = time.time()
    if note.pieces:
        note.longest_silence = max(note.longest_silence, now - note.pieces[-1][0])
    note.pieces.append((now, text))
    if not in_bytes and not is_chunked:
        await exchange.chunk(text)
        return
    body = {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
    event = b"data: " + json.dumps(body, ensure_ascii=False).encode() + b"\n\n"
    segments = [event[at : at + 1] for at in range(len(event))] if in_bytes else [event]
    for segment in segments:
        await exchange.raw(b"%x\r\n%s\r\n" % (len(segment), segment) if is_chunked else segment)


class Model:
    """All pens, and the service that they write for."""

    def __init__(self) -> None:
        self.upstream = ScriptedUpstream()
        self.pens: dict[str, Pen] = {}
        self.strange: list[str] = []
        self.upstream.script = self._answer

    def pen(self, plan: Plan) -> Pen:
        return self.pens.setdefault(plan.name, Pen(plan))

    async def _answer(self, exchange: Exchange) -> None:
        # It is the first message that names the reader: a reply that is continued ends with other words.
        found = _READER.search(str(exchange.body["messages"][0]["content"]))
        pen = self.pens.get(found[1]) if found else None
        # What was asked is known to the pen; keeping every request of a long run would be a leak of ours.
        self.upstream.exchanges.remove(exchange)
        if pen is None:
            self.strange.append(str(exchange.body)[:200])
            return
        await pen.answer(exchange)
