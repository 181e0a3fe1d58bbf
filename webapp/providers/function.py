"""A Python async generator in the place of a model."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing

from webapp import errors
from webapp.domain import (
    Chunk,
    FinishChunk,
    FinishReason,
    Model,
    ModelKind,
    ModelOption,
    Parameters,
    ReasoningChunk,
    TextChunk,
)
from webapp.providers import NO_PARAMETERS, ChatMessage

ReplyFunction = Callable[[list[ChatMessage]], AsyncIterator[str | ReasoningChunk]]
"""Takes the conversation, oldest message first, as `{"role": ..., "content": ...}`; yields the reply piece by piece.

What is not part of the reply, but how it is arrived at, it may yield as `ReasoningChunk`s.
"""


class FunctionProvider:
    """Streams what an async generator function yields; its end is the reply's end."""

    def __init__(self, reply: ReplyFunction) -> None:
        if not inspect.isasyncgenfunction(getattr(reply, "__func__", reply)) and not inspect.isasyncgenfunction(
            getattr(reply, "__call__", None)  # noqa: B004 - an object whose call is the generator function
        ):
            raise TypeError("reply must be an async generator function: async def reply(messages): yield 'text'")
        self._reply = reply

    @property
    def model(self) -> Model:
        return Model(ModelKind.FUNCTION, getattr(self._reply, "__name__", type(self._reply).__name__), "this app")

    @property
    def offered(self) -> Sequence[ModelOption]:
        return ()

    @property
    def sees_images(self) -> bool:
        return False

    async def open(self) -> None:
        """Nothing has to be started."""

    async def close(self) -> None:
        """Nothing was started."""

    async def check(self) -> None:
        """A function is always there."""

    async def stream(
        self, messages: Sequence[ChatMessage], parameters: Parameters = NO_PARAMETERS
    ) -> AsyncGenerator[Chunk, None]:
        # A dict of each message is the function's own, so that it may change what it is given.
        pieces = self._reply([ChatMessage(role=m["role"], content=m["content"]) for m in messages])
        async with aclosing(pieces) as stream:  # type: ignore[type-var]  # Checked above: it is a generator.
            try:
                async for piece in stream:
                    if isinstance(piece, ReasoningChunk):
                        yield piece
                        continue
                    if not isinstance(piece, str):
                        raise errors.FunctionFailed(detail=f"yielded {type(piece).__name__}, not str")
                    if piece:
                        yield TextChunk(piece)
            except errors.RillError:
                raise
            except Exception as error:
                raise errors.FunctionFailed(detail=_where(error)) from error
        yield FinishChunk(FinishReason.STOP)


def _where(error: Exception) -> str:
    """Name an exception and its place; its message may quote the prompt, which no log may hold."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {frame.filename}:{frame.lineno}"
