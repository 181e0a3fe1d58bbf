"""A model on this machine: a GGUF file, run by llama.cpp's HTTP server in a child process.

    open -> fetch the built-in file (once) -> start the child -> READY --ended--> wait 1, 2, 4 ... 30 s -> start again
                    |                             |                     `--for want of AVX2--> UNAVAILABLE
                    `-- cannot be had             `-- cannot be loaded --> UNAVAILABLE

Nothing restarts what would fail the same way again; starting Rill anew does.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import secrets
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import structlog

from webapp.domain import Chunk, Model, ModelKind, ModelOption, ModelState, Parameters
from webapp.errors import ModelNotReady, PromptTooLongForModel, TooManyRequests
from webapp.languages import N_
from webapp.languages import gettext as _
from webapp.providers import NO_PARAMETERS, ChatMessage, text_of
from webapp.providers.endpoint import EndpointProvider, Timeouts
from webapp.providers.history import TEMPLATE_TOKENS, estimate_tokens, fit
from webapp.providers.local_process import LocalServer, ServerEnded, ServerParameters
from webapp.providers.weights import fetch_built_in

log = structlog.get_logger()

CONTEXT_TOKENS = 8192
"""Shared by all conversations at a time; SmolLM2 was trained for this many, and its cache for them takes 190 MB."""

REPLY_TOKENS = 1024
"""The longest reply; also keeps a small model that rambles from rambling for ever."""

HISTORY_TOKENS = 3072
"""What of the past goes with a prompt: one core reads 150-250 tokens a second, so more would not be an answer."""

START_WAIT_SECONDS = 120.0
ROOM_WAIT_SECONDS = 120.0

# Connections on this machine cost nothing, and one that was used may be closed just when it is used again.
_TIMEOUTS = Timeouts(first_chunk=120.0, silence=60.0, idle=0.0)
"""Two cores that four conversations share read their prompts slowly; that they died is seen at once."""

_BUILT_IN_TEMPERATURE = 0.2
"""What SmolLM2's makers advise; at llama.cpp's 0.8 it does not find the capital of France (measured)."""

_FILE_TEMPERATURE = 0.7
_LONGEST_BACKOFF_SECONDS = 30.0
_HEALTHY_SECONDS = 60.0
_ILLEGAL_INSTRUCTION = frozenset({-signal.SIGILL, 0xC000001D})
"""How a POSIX system and Windows report it."""

Fetch = Callable[[Path], Awaitable[Path]]
"""Returns the built-in model's file in the given folder, or raises `ModelNotReady`."""


class LocalProvider:
    """Streams from a model in a child process that it starts, watches and ends.

    `model_file` of `None` is the small built-in model, fetched into `data_dir` at first start.
    """

    def __init__(self, *, data_dir: Path, model_file: Path | None = None, fetch: Fetch = fetch_built_in) -> None:
        self._data_dir, self._model_file, self._fetch = data_dir, model_file, fetch
        self._kind = ModelKind.BUILT_IN if model_file is None else ModelKind.LOCAL_FILE
        self._name = "SmolLM2 135M" if model_file is None else model_file.stem
        self._state, self._detail = ModelState.STARTING, N_("The model is being started.")
        self._is_settled = asyncio.Event()
        self._room = _Room(CONTEXT_TOKENS)
        self._task: asyncio.Task[None] | None = None
        self._server: LocalServer | None = None
        self._endpoint: EndpointProvider | None = None

    @property
    def model(self) -> Model:
        return Model(self._kind, self._name, "this machine", self._state, self._detail)

    @property
    def server_pid(self) -> int | None:
        """The child's process id while there is one."""
        return self._server.pid if self._server else None

    @property
    def offered(self) -> Sequence[ModelOption]:
        return ()

    @property
    def sees_images(self) -> bool:
        return False

    async def open(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="local-model")

    async def close(self) -> None:
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait({self._task})
        self._become(ModelState.UNAVAILABLE, N_("The model was stopped."))

    async def check(self) -> None:
        if self._state is not ModelState.READY:
            raise ModelNotReady(_(self._detail))

    async def stream(
        self, messages: Sequence[ChatMessage], parameters: Parameters = NO_PARAMETERS
    ) -> AsyncGenerator[Chunk, None]:
        """Stream a reply, to the newest part of the conversation if it is long; wait for a model that is starting.

        Raises `ModelNotReady` after two minutes, and `TooManyRequests` if other replies leave no room for as long.
        """
        kept = fit(messages, HISTORY_TOKENS)
        while True:
            try:
                async with aclosing(self._attempt(kept, parameters)) as chunks:
                    async for chunk in chunks:
                        yield chunk
                return
            except PromptTooLongForModel:
                # The estimate was too low for this script. This is known before the first chunk.
                shorter = fit(kept, estimate_tokens(kept) // 2)
                if len(shorter) == len(kept):
                    raise
                kept = shorter

    async def _attempt(self, messages: Sequence[ChatMessage], parameters: Parameters) -> AsyncGenerator[Chunk, None]:
        await self._wait_for_start()
        async with self._room.reserve(await self._count(messages) + REPLY_TOKENS):
            if self._endpoint is None:
                raise ModelNotReady(_(self._detail))
            async with aclosing(self._endpoint.stream(messages, parameters)) as chunks:
                async for chunk in chunks:
                    yield chunk

    async def _count(self, messages: Sequence[ChatMessage]) -> int:
        if self._server is None:
            raise ModelNotReady(_(self._detail))
        text = "\n".join(map(text_of, messages))
        tokens = await self._server.count_tokens(text) + TEMPLATE_TOKENS * len(messages)
        if tokens > CONTEXT_TOKENS:
            raise PromptTooLongForModel(detail=f"{tokens} tokens")
        return tokens

    async def _wait_for_start(self) -> None:
        try:
            async with asyncio.timeout(START_WAIT_SECONDS):
                await self._is_settled.wait()
        except TimeoutError:
            raise ModelNotReady(_("The model takes too long to start. Try again in a moment.")) from None

    def _become(self, state: ModelState, detail: str = "") -> None:
        self._state, self._detail = state, detail
        if state is ModelState.STARTING:
            self._is_settled.clear()
        else:
            self._is_settled.set()

    async def _run(self) -> None:
        try:
            _require_runtime()
            await self._keep_serving(await self._find_file())
        except ModelNotReady as error:
            log.warning("local_model.unavailable", model=self._name, reason=error.sentence, detail=error.detail)
            self._become(ModelState.UNAVAILABLE, error.sentence)

    async def _find_file(self) -> Path:
        if self._model_file is None:
            self._become(ModelState.STARTING, N_("Fetching the small built-in model (93 MB, once)…"))
            return await self._fetch(self._data_dir / "models")
        if not await asyncio.to_thread(self._model_file.is_file):
            sentence = f"There is no model file {self._model_file.name}. Check RILL_LOCAL_MODEL and start Rill again."
            raise ModelNotReady(sentence, detail=str(self._model_file))
        return self._model_file

    async def _keep_serving(self, file: Path) -> None:
        self._become(ModelState.STARTING, N_("The model is being started…"))
        backoff_seconds = 1.0
        while True:
            returncode, healthy_seconds = await self._serve(file)
            if returncode in _ILLEGAL_INSTRUCTION:
                raise ModelNotReady("Models on this machine need a processor with AVX2, which this one lacks.")
            if healthy_seconds >= _HEALTHY_SECONDS:
                backoff_seconds = 1.0
            log.warning("local_model.ended", returncode=returncode, restart_in_seconds=backoff_seconds)
            await asyncio.sleep(backoff_seconds)
            backoff_seconds = min(backoff_seconds * 2, _LONGEST_BACKOFF_SECONDS)

    async def _serve(self, file: Path) -> tuple[int | None, float]:
        """Run one child to its end; return its return code and for how many seconds it was ready."""
        loop = asyncio.get_running_loop()
        parameters = self._parameters(file)
        began = loop.time()
        try:
            self._server = await LocalServer.spawn(parameters)
            address = await self._server.ready()
            self._endpoint = self._connect(address, parameters)
            ready = loop.time()
            self._become(ModelState.READY)
            log.info("local_model.started", model=self._name, pid=self.server_pid, seconds=round(ready - began, 2))
            return await self._server.wait(), loop.time() - ready
        except ServerEnded as ended:
            _raise_if_hopeless(ended, file)
            return ended.returncode, 0.0
        finally:
            self._become(ModelState.STARTING, N_("The model stopped and is being started again…"))
            await self._end_server()

    def _parameters(self, file: Path) -> ServerParameters:
        return ServerParameters(
            model_path=str(file),
            model_name=self._name,
            api_key=secrets.token_urlsafe(32),
            threads=_threads(),
            context_tokens=CONTEXT_TOKENS,
            reply_tokens=REPLY_TOKENS,
            temperature=_BUILT_IN_TEMPERATURE if self._model_file is None else _FILE_TEMPERATURE,
        )

    def _connect(self, address: str, parameters: ServerParameters) -> EndpointProvider:
        return EndpointProvider(
            base_url=f"{address}/v1",
            api_key=parameters.api_key,
            model_name=parameters.model_name,
            kind=self._kind,
            where=N_("this machine"),
            max_tokens=REPLY_TOKENS,
            timeouts=_TIMEOUTS,
            trust_env=False,  # A proxy has no business on the loopback.
        )

    async def _end_server(self) -> None:
        endpoint, self._endpoint = self._endpoint, None
        server, self._server = self._server, None
        try:
            if endpoint is not None:
                await endpoint.close()
        finally:
            if server is not None:
                await server.stop()


class _Room:
    """The context that conversations share, handed out in the order of asking.

    When the sum outgrows the context, llama.cpp fails every conversation that is running (measured).
    """

    def __init__(self, tokens: int) -> None:
        self._all = self._free = tokens
        self._first_in_line = asyncio.Lock()
        self._freed = asyncio.Event()

    @asynccontextmanager
    async def reserve(self, tokens: int) -> AsyncIterator[None]:
        tokens = min(tokens, self._all)
        await self._take(tokens)
        try:
            yield
        finally:
            self._free += tokens
            self._freed.set()

    async def _take(self, tokens: int) -> None:
        try:
            async with asyncio.timeout(ROOM_WAIT_SECONDS), self._first_in_line:
                while self._free < tokens:
                    self._freed.clear()
                    await self._freed.wait()
                self._free -= tokens
        except TimeoutError:
            raise TooManyRequests(detail="other replies left no room in the local model's context") from None


def _require_runtime() -> None:
    if importlib.util.find_spec("xllamacpp") is None:
        raise ModelNotReady(
            "The small built-in model is not installed: pip install --only-binary xllamacpp 'rill[local]', or set "
            "OPENAI_API_KEY or OPENAI_BASE_URL, and start Rill again."
        )


def _raise_if_hopeless(ended: ServerEnded, file: Path) -> None:
    """Raise for a child that ended by an exception of its own, which a restart would only repeat."""
    log.warning("local_model.start_failed", returncode=ended.returncode, last_lines=ended.last_lines)
    if ended.returncode == 1:
        sentence = f"{file.name} could not be loaded: it has to be a chat model in a GGUF file, and fit into memory."
        raise ModelNotReady(sentence, detail=str(file))


def _threads() -> int:
    """Leave one core for the web server: two threads on two busy cores collapse to a tenth (measured)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores - 1)
