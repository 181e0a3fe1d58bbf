"""A provider that asks again when the model is busy, and says so; never once a word of the reply has come.

The SDK's own retries are off: they would wait in silence, and the reader would not know for what. A retry library waits
in silence too.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from webapp import errors
from webapp.domain import Chunk, Model, ModelOption, Parameters, ReasoningChunk, TextChunk, WaitChunk
from webapp.providers import NO_PARAMETERS, ChatMessage, Provider

FIRST_WAIT_SECONDS = 0.5
"""Without a `Retry-After`: this, then twice as long each time, a quarter more or less so that turns do not march."""

_WORTH_ASKING_AGAIN = (errors.TooManyRequests, errors.EndpointFailed, errors.EndpointUnreachable)


@dataclass(frozen=True, slots=True)
class Patience:
    """How often to ask again, and the longest wait before it, in seconds; a model that asks for more is given up."""

    retries: int = 2
    longest_seconds: float = 20.0


class PatientProvider:
    """Asks another provider again while that is busy or failing."""

    def __init__(self, provider: Provider, patience: Patience) -> None:
        self._provider, self._patience = provider, patience

    @property
    def model(self) -> Model:
        return self._provider.model

    @property
    def offered(self) -> Sequence[ModelOption]:
        return self._provider.offered

    @property
    def sees_images(self) -> bool:
        return self._provider.sees_images

    async def open(self) -> None:
        await self._provider.open()

    async def close(self) -> None:
        await self._provider.close()

    async def check(self) -> None:
        await self._provider.check()

    async def stream(
        self, messages: Sequence[ChatMessage], parameters: Parameters = NO_PARAMETERS
    ) -> AsyncGenerator[Chunk, None]:
        for attempt in range(self._patience.retries + 1):
            has_begun = False
            try:
                async with aclosing(self._provider.stream(messages, parameters)) as chunks:
                    async for chunk in chunks:
                        has_begun = has_begun or isinstance(chunk, TextChunk | ReasoningChunk)
                        yield chunk
                return
            except _WORTH_ASKING_AGAIN as error:
                seconds = _wait_seconds(error, attempt)
                if has_begun or attempt == self._patience.retries or seconds > self._patience.longest_seconds:
                    raise
                yield WaitChunk(error.cause, seconds)
            await asyncio.sleep(seconds)


def _wait_seconds(error: errors.ProviderError, attempt: int) -> float:
    if error.retry_after_seconds is not None:
        return error.retry_after_seconds
    return float(FIRST_WAIT_SECONDS * 2**attempt * random.uniform(0.75, 1.25))  # noqa: S311  # No secret.
