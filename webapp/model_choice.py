"""Which model answers: the first of these that is there.

1. the endpoint that `OPENAI_API_KEY` or `OPENAI_BASE_URL` names;
2. the file that `RILL_LOCAL_MODEL` names;
3. a model server that already runs on this machine;
4. the small built-in model;
5. none, and the page says what to do.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from webapp import errors
from webapp.domain import Chunk, FinishChunk, FinishReason, Model, ModelKind, ModelOption, ModelState, Parameters
from webapp.languages import N_
from webapp.providers import NO_PARAMETERS, ChatMessage, Provider
from webapp.providers.discovery import discover
from webapp.providers.endpoint import EndpointProvider, Timeouts
from webapp.providers.local import LocalProvider
from webapp.providers.patient import Patience, PatientProvider
from webapp.settings import Settings


class NoProvider:
    """Answers nothing; says how to get a model."""

    @property
    def model(self) -> Model:
        return Model(ModelKind.NONE, "", "", ModelState.UNAVAILABLE, N_("No model is set up here."))

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
        raise errors.ModelNotReady(_HOW_TO)

    async def stream(
        self, messages: Sequence[ChatMessage], parameters: Parameters = NO_PARAMETERS
    ) -> AsyncGenerator[Chunk, None]:
        await self.check()
        yield FinishChunk(FinishReason.STOP)


_HOW_TO = "No model is set up here. Set OPENAI_BASE_URL or OPENAI_API_KEY, or start Ollama, then start Rill again."


async def choose_provider(settings: Settings) -> Provider:
    """Choose what the settings and this machine offer; looks at local ports, for a second at most."""
    patience = Patience(settings.rill_busy_retries, settings.rill_busy_seconds)
    if settings.openai_api_key or settings.openai_base_url:
        return PatientProvider(_endpoint(settings), patience)
    if settings.rill_local_model is not None:
        return LocalProvider(data_dir=settings.rill_data_dir, model_file=settings.rill_local_model)
    if settings.rill_discover_models:
        found = await discover(
            exclude_ports=frozenset({settings.rill_port}),
            model_name=settings.rill_model,
            sees_images=settings.rill_images,
        )
        if found is not None:
            return PatientProvider(found, patience)
    if settings.rill_embedded_model:
        return LocalProvider(data_dir=settings.rill_data_dir)
    return NoProvider()


def _endpoint(settings: Settings) -> EndpointProvider:
    key, url = settings.openai_api_key, settings.openai_base_url
    return EndpointProvider(
        base_url=url,
        api_key=key.get_secret_value() if key else None,
        model_name=settings.rill_model,
        kind=ModelKind.ENDPOINT,
        where=(urlsplit(url).hostname or url) if url else "OpenAI",
        trust_env=not _is_loopback(url),
        options=model_options(settings.rill_models),
        sees_images=settings.rill_images,
        timeouts=Timeouts(
            connect=settings.rill_connect_seconds,
            first_chunk=settings.rill_first_chunk_seconds,
            silence=settings.rill_silence_seconds,
        ),
    )


def model_options(models: Sequence[str]) -> Sequence[ModelOption]:
    """Read `name=label`, or a name alone."""
    parts = [model.partition("=") for model in models]
    return tuple(ModelOption(name.strip(), label.strip() or name.strip()) for name, _, label in parts)


def _is_loopback(url: str | None) -> bool:
    """Tell whether a URL is on this machine, where a proxy has no business."""
    host = (urlsplit(url).hostname or "") if url else ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
