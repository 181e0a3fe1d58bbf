"""A model behind any OpenAI-compatible endpoint, asked through the `openai` SDK.

The SDK brings the request, the key and the errors of the answer's head. The stream itself is read here: the SDK's chunk
objects cost fifty times what the JSON does, and its iterator ends without an exception when a stream was cut. Only a
`finish_reason` proves that a reply is whole. All that happens here per chunk is done twenty times a second for every
reply, so it is kept to a few microseconds.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import httpx2
import jiter
import openai

from webapp import errors
from webapp.deadlines import Deadline
from webapp.domain import (
    Chunk,
    FinishChunk,
    FinishReason,
    Model,
    ModelKind,
    ModelOption,
    Parameters,
    ReasoningChunk,
    UsageChunk,
)
from webapp.pace import Pace
from webapp.providers import NO_PARAMETERS, ChatMessage
from webapp.providers.sse import EventStreamParser, EventTooLarge, UpstreamEvent
from webapp.providers.thinking import ThoughtTags

_FINISH_REASONS = {"length": FinishReason.LENGTH, "content_filter": FinishReason.CONTENT_FILTER}

_AFTER_FINISH_SECONDS = 1.0
"""How long to wait for the rest of a stream (usage, `[DONE]`) once the reply is known to be whole."""
_AFTER_DONE_SECONDS = 0.05
"""How long to wait for the end of the body, which mostly comes along with `[DONE]`: a new connection costs more."""
ALL_MODELS = "*"
_MAX_OFFERED = 500
_MAX_TOKENS = 1_000_000_000
_MAX_ERROR_BYTES = 16_384
_MAX_LIST_BYTES = 4_194_304
"""The longest list of models that is known has 0.7 MB."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long an endpoint may take, in seconds.

    Connecting on any network takes less than 5. A large model reads a long prompt before its first chunk, so that may
    take 60; between two chunks 30 of silence mean that nothing more will come. A connection without a request is closed
    after 2, before it is by servers (uvicorn's and llama.cpp's after 5): a request that meets that is lost.
    """

    connect: float = 5.0
    first_chunk: float = 60.0
    silence: float = 30.0
    idle: float = 2.0


class EndpointProvider:
    """Streams replies from an OpenAI-compatible endpoint.

    `base_url` of `None` is OpenAI's own. `model_name` of `None` takes the first that `/models` lists. `max_tokens` is
    the longest reply, whatever a request says. `extra_body` is sent with each request, for what only some servers
    understand. `options` are the models that readers may choose; with `ALL_MODELS` alone, all that `/models` lists.
    `sees_images` says whether they may be shown some.
    """

    def __init__(
        self,
        *,
        base_url: str | None,
        api_key: str | None,
        model_name: str | None,
        kind: ModelKind,
        where: str,
        max_tokens: int | None = None,
        extra_body: Mapping[str, object] | None = None,
        timeouts: Timeouts | None = None,
        trust_env: bool = True,
        options: Sequence[ModelOption] = (),
        sees_images: bool = True,
    ) -> None:
        self._sees_images = sees_images
        self._timeouts = timeouts or Timeouts()
        self._kind, self._where = kind, where
        self._offers_all = [option.name for option in options] == [ALL_MODELS]
        self._offered = () if self._offers_all else tuple(options)
        self._model_name = model_name or (self._offered[0].name if self._offered else None)
        self._pace = Pace()
        self._max_tokens, self._max_tokens_name = max_tokens, "max_tokens"
        self._extra_body = dict(extra_body or {})
        self._usage_option: dict[str, Any] = {"stream_options": {"include_usage": True}}
        self._client = openai.AsyncOpenAI(
            base_url=base_url,
            api_key=api_key or "none",
            max_retries=0,
            # The SDK's client on aiohttp, whose parser is in C: a chunk costs a tenth less than on httpcore (measured).
            http_client=openai.DefaultAioHttpClient(
                # A limit on each read would cost more than all else that is done for a chunk; see `Deadline`.
                timeout=httpx2.Timeout(None, connect=self._timeouts.connect),
                # No limit; `None` would be aiohttp's own, 100.
                limits=httpx2.Limits(max_connections=0, keepalive_expiry=self._timeouts.idle),
                follow_redirects=True,
                # Words compress badly one by one, and what is not compressed cannot be a bomb.
                headers={"Accept-Encoding": "identity"},
                event_hooks={"response": [_bound]},
                trust_env=trust_env,
            ),
        )

    @property
    def model(self) -> Model:
        return Model(self._kind, self._model_name or "", self._where)

    @property
    def offered(self) -> Sequence[ModelOption]:
        return self._offered

    @property
    def sees_images(self) -> bool:
        return self._sees_images

    async def open(self) -> None:
        """Nothing has to be started; the first request connects."""

    async def close(self) -> None:
        await self._client.close()

    async def check(self) -> None:
        """Ask for the list of models, which every compatible endpoint has; learns the model's name if none is set."""
        names = await self._list_models()
        if self._model_name is None:
            self._model_name = _first(names)
        if self._offers_all:
            self._offered = tuple(ModelOption(name, name) for name in names[:_MAX_OFFERED])

    async def stream(
        self, messages: Sequence[ChatMessage], parameters: Parameters = NO_PARAMETERS
    ) -> AsyncGenerator[Chunk, None]:
        if self._model_name is None:
            self._model_name = _first(await self._list_models())
        with _translated(), self._pace.stream():
            async with Deadline() as deadline, aclosing(self._ask(messages, parameters, deadline)) as chunks:
                deadline.allow(self._timeouts.first_chunk)
                async for chunk in chunks:
                    # The deadline is for the endpoint; whoever reads this generator may take its time.
                    deadline.clear()
                    yield chunk
                    deadline.allow(self._timeouts.silence)

    async def _list_models(self) -> list[str]:
        with _translated():
            async with asyncio.timeout(self._timeouts.connect * 2):
                try:
                    listed = await self._client.models.list()
                except (ValueError, RecursionError) as error:
                    raise errors.NotAChatEndpoint(detail="the list of models is no JSON") from error
        if not hasattr(listed, "data") or not isinstance(listed.data, list):
            raise errors.NotAChatEndpoint(detail="the list of models is not in OpenAI's form")
        return [str(model.id) for model in listed.data]

    async def _ask(
        self, messages: Sequence[ChatMessage], parameters: Parameters, deadline: Deadline
    ) -> AsyncGenerator[Chunk, None]:
        while True:
            try:
                async with aclosing(self._chunks(messages, parameters, deadline)) as chunks:
                    async for chunk in chunks:
                        yield chunk
                return
            except openai.BadRequestError as error:
                if self._adapts_to(str(error.message)):
                    continue
                refused = _from_status(error)
                is_unclear = isinstance(refused, errors.RequestRefused | errors.ModelUnknown)
                if is_unclear and any(isinstance(message["content"], list) for message in messages):
                    raise errors.ImagesRefused(detail=refused.detail) from error
                raise

    def _adapts_to(self, refusal: str) -> bool:
        """Ask in another way from now on, if it is only the way of asking that a service does not know."""
        if self._usage_option and "stream_options" in refusal:
            self._usage_option = {}
            return True
        if self._max_tokens_name == "max_tokens" and "max_completion_tokens" in refusal:
            self._max_tokens_name = "max_completion_tokens"
            return True
        return False

    def _sampling(self, parameters: Parameters) -> dict[str, object]:
        lengths = [tokens for tokens in (parameters.max_tokens, self._max_tokens) if tokens is not None]
        sampling: dict[str, object] = {self._max_tokens_name: min(lengths)} if lengths else {}
        if parameters.temperature is not None:
            sampling["temperature"] = parameters.temperature
        return sampling

    async def _chunks(
        self, messages: Sequence[ChatMessage], parameters: Parameters, deadline: Deadline
    ) -> AsyncGenerator[Chunk, None]:
        own = {**self._usage_option, **self._extra_body, **self._sampling(parameters)}
        request = self._client.chat.completions.with_streaming_response.create(
            model=parameters.model or self._model_name or "",
            messages=(),
            stream=True,
            # The SDK looks at each message of a long history one by one, for 0.1 ms each (measured); not at these.
            extra_body={"messages": list(messages), **own},
        )
        async with request as response:
            media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            if media_type == "text/html":
                raise errors.NotAChatEndpoint(detail=f"status {response.status_code} with {media_type}")
            parser, tags, loop = EventStreamParser(), ThoughtTags(), asyncio.get_running_loop()
            async with aclosing(_body(response.http_response)) as pieces:
                async for piece in pieces:
                    read_at = loop.time()
                    said = _read(parser.feed(piece))
                    if said.thoughts:
                        yield ReasoningChunk("".join(said.thoughts))
                    for text in self._pace.together(said.texts):
                        for chunk in tags.feed(text):
                            yield chunk
                    if said.is_over:
                        for chunk in tags.end():
                            yield chunk
                    if said.error is not None:
                        raise said.error
                    if said.finish is not None:
                        deadline.clear()
                        usage = await _read_rest(pieces, parser, said.rest) or said.usage
                        if usage is not None:
                            yield usage
                        yield FinishChunk(said.finish)
                    if said.is_over:
                        return
                    if self._pace.is_due(len(piece)):
                        await self._pace.rest(read_at)
            for chunk in tags.end():
                yield chunk


async def _bound(response: httpx2.Response) -> None:
    """Have no more than its beginning read of an answer that is no stream: the SDK reads each of those whole."""
    if not response.is_success:
        response.stream = _Beginning(response.stream, _MAX_ERROR_BYTES)
    elif response.request.method == "GET":
        response.stream = _Beginning(response.stream, _MAX_LIST_BYTES)


class _Beginning(httpx2.AsyncByteStream):
    """A body that ends after a number of bytes, whatever comes."""

    def __init__(self, stream: Any, most_bytes: int) -> None:
        self._stream, self._most_bytes = stream, most_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self._most_bytes
        async for piece in self._stream:
            yield piece[:left]
            left -= len(piece)
            if left <= 0:
                return

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _body(response: httpx2.Response) -> AsyncGenerator[bytes, None]:
    """Give the body in the pieces that the network brings; mostly, there is nothing to decode."""
    is_plain = response.headers.get("content-encoding", "identity") == "identity"
    try:
        async for piece in response.aiter_raw() if is_plain else response.aiter_bytes():
            yield piece
    except (httpx2.HTTPError, aiohttp.ClientError):
        if is_plain and (unread := _unread(response)):
            yield unread
        raise


def _unread(response: httpx2.Response) -> bytes:
    """Give what had come before a connection broke: aiohttp has it, but would give nothing but the error any more."""
    body: Any = response.stream
    content = body._stream._aiohttp_response.content
    content._exception = None
    unread: bytes = content.read_nowait(-1)
    return unread


async def _read_rest(
    pieces: AsyncGenerator[bytes, None], parser: EventStreamParser, events: Sequence[UpstreamEvent]
) -> UsageChunk | None:
    """Read what follows a whole reply, so that its connection can be used again; no failure matters now.

    Give the usage, which most services send there.
    """
    usage: UsageChunk | None = None
    ignored = (StopAsyncIteration, TimeoutError, httpx2.HTTPError, aiohttp.ClientError, EventTooLarge, errors.RillError)
    with suppress(*ignored):
        async with asyncio.timeout(_AFTER_FINISH_SECONDS) as deadline:
            while True:
                for event in events:
                    if event.data == b"[DONE]":
                        deadline.reschedule(asyncio.get_running_loop().time() + _AFTER_DONE_SECONDS)
                    else:
                        usage = _usage(_decode(event.data)) or usage
                events = parser.feed(await anext(pieces))
    return usage


def _usage(body: object) -> UsageChunk | None:
    """Read how many tokens a request took, from an event that says so."""
    usage = body.get("usage") if isinstance(body, dict) else None
    if not isinstance(usage, dict):
        return None
    counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
    prompt, reply = (count if type(count) is int and 0 <= count < _MAX_TOKENS else None for count in counts)
    return None if prompt is None and reply is None else UsageChunk(prompt, reply)


@dataclass(frozen=True, slots=True)
class _Said:
    """What the events of one piece say: their texts and thoughts, and how the reply ends then, if it does."""

    texts: Sequence[str]
    thoughts: Sequence[str] = ()
    usage: UsageChunk | None = None
    finish: FinishReason | None = None
    error: errors.RillError | None = None
    is_over: bool = False
    rest: Sequence[UpstreamEvent] = ()


def _read(events: Sequence[UpstreamEvent]) -> _Said:
    """Read events that came together."""
    texts: list[str] = []
    thoughts: list[str] = []
    for number, event in enumerate(events, start=1):
        if event.data == b"[DONE]":
            return _Said(texts, thoughts, is_over=True)
        try:
            body = _read_event(event)
        except errors.RillError as error:
            return _Said(texts, thoughts, error=error, is_over=True)
        choice = _choice(body)
        delta = choice.get("delta")
        if isinstance(delta, dict):
            if (text := delta.get("content")) and isinstance(text, str):
                texts.append(text)
            elif thought := _thought(delta):
                thoughts.append(thought)
        if reason := choice.get("finish_reason"):
            finish = _FINISH_REASONS.get(str(reason), FinishReason.STOP)
            return _Said(texts, thoughts, _usage(body), finish, is_over=True, rest=events[number:])
    return _Said(texts, thoughts)


def _read_event(event: UpstreamEvent) -> dict[str, Any]:
    """Read one event; raise for an error that came inside the stream."""
    body = _decode(event.data)
    if not isinstance(body, dict) or event.name == "error" or body.get("error"):
        raise errors.EndpointFailed(detail=f"error inside the stream: {_error_code(body)}")
    return body


def _choice(body: dict[str, Any]) -> dict[str, Any]:
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return {}
    return choices[0]


def _thought(delta: dict[str, Any]) -> str:
    """Read what a model thinks; DeepSeek and llama.cpp have one name for it, Ollama and OpenRouter the other."""
    thought = delta.get("reasoning_content") or delta.get("reasoning")
    return thought if isinstance(thought, str) else ""


def _decode(text: bytes) -> object:
    with suppress(ValueError):
        return jiter.from_json(text, cache_mode="keys")
    # It refuses one thing that services send: half a surrogate pair, whose other half is in the next event.
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise errors.BrokenReply(detail=f"malformed event: {type(error).__name__}") from error


def _error_code(body: object) -> str:
    error = body.get("error") if isinstance(body, dict) else None
    return str(error.get("code") or error.get("type") or "")[:80] if isinstance(error, dict) else ""


def _first(names: Sequence[str]) -> str:
    if not names:
        raise errors.ModelUnknown(detail="the endpoint lists no models; set RILL_MODEL")
    return names[0]


@contextmanager
def _translated() -> Iterator[None]:
    """Turn what the SDK and its HTTP client raise into what a reader can be told.

    An upstream's own message may quote the prompt or a part of the key, so that only its codes go to the log.
    """
    try:
        yield
    except TimeoutError as error:
        raise errors.EndpointSilent(detail="no chunk within the time limit") from error
    except openai.APIStatusError as error:
        translated = _from_status(error)
        translated.retry_after_seconds = _retry_after_seconds(error.response.headers)
        raise translated from error
    except (openai.APIConnectionError, aiohttp.ClientError) as error:
        # Time limits of the SDK's are for connecting only. What is no HTTP comes as aiohttp's own error.
        raise errors.EndpointUnreachable(detail=_chain(error)) from error
    except openai.OpenAIError as error:
        raise errors.EndpointFailed(detail=_chain(error)) from error
    except (httpx2.HTTPError, EventTooLarge) as error:
        raise errors.BrokenReply(detail=_chain(error)) from error


def _chain(error: BaseException) -> str:
    cause = error.__cause__
    return type(error).__name__ + (f" from {type(cause).__name__}" if cause else "")


def _from_status(error: openai.APIStatusError) -> errors.ProviderError:
    detail = f"status {error.status_code}, code {error.code}, type {error.type}, request {error.request_id}"
    media_type = error.response.headers.get("content-type", "")
    match error.status_code:
        case 401 | 403:
            return errors.KeyRejected(detail=detail)
        case 404 if media_type.startswith("text/html"):
            return errors.NotAChatEndpoint(detail=detail)
        case 404:
            return errors.ModelUnknown(detail=detail)
        case 429:
            return errors.TooManyRequests(detail=detail)
        case status if status >= 500:
            return errors.EndpointFailed(detail=detail)
    return _refused(error, detail)


def _retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """Read `Retry-After`, which is seconds or a date (RFC 9110, section 10.2.3)."""
    value = headers.get("retry-after", "").strip()
    with suppress(ValueError):
        return max(0.0, float(value)) if value[:1].isdigit() else _seconds_until(parsedate_to_datetime(value))
    return None


def _seconds_until(moment: datetime) -> float:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - datetime.now(UTC)).total_seconds())


def _refused(error: openai.APIStatusError, detail: str) -> errors.ProviderError:
    message = str(error.message).lower()
    if error.code == "context_length_exceeded" or "context" in message or error.status_code == 413:
        return errors.PromptTooLongForModel(detail=detail)
    if error.code == "model_not_found" or ("model" in message and "not" in message):
        return errors.ModelUnknown(detail=detail)
    return errors.RequestRefused(detail=detail)
