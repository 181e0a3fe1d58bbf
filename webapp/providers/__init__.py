"""What streams chunks for messages: a model behind an endpoint, a local one, a Python function."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import NotRequired, Protocol, TypedDict

from webapp.domain import Chunk, Model, ModelOption, Parameters

NO_PARAMETERS = Parameters()


class ImageUrl(TypedDict):
    url: str


class ContentPart(TypedDict):
    """A part of a message in the form that OpenAI's API made common: a `text`, or an image as a `data:` URL."""

    type: str
    text: NotRequired[str]
    image_url: NotRequired[ImageUrl]


class ChatMessage(TypedDict):
    """One message in the form that OpenAI's API made common: `role` is "system", "user" or "assistant".

    Only what is told a provider that `sees_images` has parts.
    """

    role: str
    content: str | list[ContentPart]


def text_of(message: ChatMessage) -> str:
    """Give the text of a message, without its images."""
    content = message["content"]
    return content if isinstance(content, str) else "\n".join(part.get("text", "") for part in content)


class Provider(Protocol):
    """What any provider promises.

    `stream` may be called concurrently. Closing its generator, or cancelling the task that reads it, ends the work
    at its source at once (for an endpoint: closes the connection).
    """

    @property
    def model(self) -> Model:
        """What answers now, and whether it is ready; cheap, asked for on every page."""

    @property
    def offered(self) -> Sequence[ModelOption]:
        """The models that readers may choose; none where there is no choice."""

    @property
    def sees_images(self) -> bool:
        """Whether messages may have images."""

    async def open(self) -> None:
        """Start what has to be started, without waiting until it is ready."""

    async def close(self) -> None:
        """End everything that `open` started."""

    async def check(self) -> None:
        """Raise a `ProviderError` unless an answer could begin now."""

    def stream(
        self, messages: Sequence[ChatMessage], parameters: Parameters = NO_PARAMETERS
    ) -> AsyncGenerator[Chunk, None]:
        """Stream a reply to `messages`, oldest first, by one of the `offered` models or by the usual one.

        Parameters that a provider has no use for are ignored. The reply is thoughts and text, a `UsageChunk` if that is
        known, then a `FinishChunk`.

        A stream that ends without a `FinishChunk` was cut. Raises a `ProviderError` for everything that a reader has
        to be told.
        """
