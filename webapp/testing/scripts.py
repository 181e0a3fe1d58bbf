"""What a scripted chat replies."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence

from webapp.domain import ReasoningChunk
from webapp.providers import ChatMessage
from webapp.providers.function import ReplyFunction


class Gate:
    """A place in a reply at which it waits, for ever if need be, until it is opened; then it stays open.

    A word before it is shown once it is certainly whole: `"One ", gate` shows "One", but `"One", gate` nothing yet.
    """

    def __init__(self) -> None:
        self._has_come, self._is_open = asyncio.Event(), asyncio.Event()

    def open(self) -> None:
        """Let the reply go on."""
        self._is_open.set()

    async def reached(self) -> None:
        """Wait until a reply stands here."""
        await self._has_come.wait()

    async def _pass(self) -> None:
        self._has_come.set()
        await self._is_open.wait()


Piece = str | ReasoningChunk | Gate | Exception
"""A chunk of a reply, something that it waits for, or what it fails with there."""

Answering = Callable[[list[ChatMessage]], str | Iterable[Piece]]
"""Takes the conversation, oldest message first, as `{"role": ..., "content": ...}`; gives the reply."""

Script = Piece | Sequence[Piece] | Answering | ReplyFunction


def reply_function(script: Sequence[Script]) -> ReplyFunction:
    """Make the function that answers instead of a model.

    The script is pieces, which are the reply to every prompt; or sequences of pieces, each the reply to one prompt, in
    turn; or one function. Raises `TypeError` for anything else.
    """
    if len(script) == 1 and callable(script[0]):
        return _of_function(script[0])
    if script and all(isinstance(part, Piece) for part in script):
        pieces = [part for part in script if isinstance(part, Piece)]
        return _of_function(lambda _messages: pieces)
    if script and all(isinstance(part, list | tuple) for part in script):
        return _of_function(_in_turn([list(part) for part in script if isinstance(part, list | tuple)]))
    raise TypeError("a chat replies with pieces of one reply, a list of pieces for each reply, or a function")


def _in_turn(replies: list[list[Piece]]) -> Answering:
    left = iter(replies)

    def answer(_messages: list[ChatMessage]) -> list[Piece]:
        reply = next(left, None)
        if reply is None:
            raise LookupError(f"only {len(replies)} replies are scripted")
        return reply

    return answer


def _of_function(answering: Callable[..., object]) -> ReplyFunction:
    if inspect.isasyncgenfunction(answering) or inspect.isasyncgenfunction(getattr(answering, "__call__", None)):  # noqa: B004
        return answering  # type: ignore[return-value]  # Seen to be one; what it takes is its author's matter.

    async def reply(messages: list[ChatMessage]) -> AsyncGenerator[str | ReasoningChunk, None]:
        answer = answering(messages)
        for piece in [answer] if isinstance(answer, str) else answer:  # type: ignore[attr-defined]  # Else a TypeError.
            if isinstance(piece, Gate):
                await piece._pass()
            elif isinstance(piece, Exception):
                raise piece
            else:
                yield piece

    return reply
