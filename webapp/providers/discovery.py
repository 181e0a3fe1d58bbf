"""A look for a model server that already runs on this machine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass

import httpx2

from webapp.domain import ModelKind
from webapp.providers.endpoint import EndpointProvider

_MAX_ANSWER_BYTES = 1_048_576
"""No list of models is longer; something else that listens there may never stop talking."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A port on 127.0.0.1, and the program that usually listens there."""

    port: int
    program: str


CANDIDATES = (
    Candidate(11434, "Ollama"),
    Candidate(1234, "LM Studio"),
    Candidate(8080, "llama.cpp"),
    Candidate(8000, "vLLM"),
)
"""In order of preference: the least likely to belong to something else comes first."""


async def discover(
    timeout_seconds: float = 1.0,
    candidates: Sequence[Candidate] = CANDIDATES,
    exclude_ports: frozenset[int] = frozenset(),
    model_name: str | None = None,
    *,
    sees_images: bool = True,
) -> EndpointProvider | None:
    """Find the first candidate that lists a model that can chat.

    All are asked at once, each for at most `timeout_seconds`. `exclude_ports` is for Rill's own port;
    `model_name` is asked for instead of the first one listed; `sees_images` says whether it may be shown images.
    """
    asked = [candidate for candidate in candidates if candidate.port not in exclude_ports]
    async with httpx2.AsyncClient(trust_env=False, timeout=timeout_seconds) as client:
        names = await asyncio.gather(*(_first_model(client, candidate, timeout_seconds) for candidate in asked))
    for candidate, name in zip(asked, names, strict=True):
        if name is not None:
            return _provider(candidate, model_name or name, sees_images)
    return None


async def _first_model(client: httpx2.AsyncClient, candidate: Candidate, timeout_seconds: float) -> str | None:
    try:
        async with asyncio.timeout(timeout_seconds):
            listed = json.loads(await _ask(client, f"{_base_url(candidate)}/models"))
        names = [model["id"] for model in listed["data"]]
    except (TimeoutError, httpx2.HTTPError, ValueError, TypeError, LookupError, RecursionError):
        return None  # Nothing there, or something else: both are as good as no model server.
    return next((name for name in names if _can_chat(name)), None)


async def _ask(client: httpx2.AsyncClient, url: str) -> bytes:
    answer = b""
    async with client.stream("GET", url) as response:
        if response.status_code != 200:
            return answer
        async for piece in response.aiter_bytes():
            answer += piece
            if len(answer) > _MAX_ANSWER_BYTES:
                return b""
    return answer


def _can_chat(name: object) -> bool:
    """Tell models for embeddings apart by their names; Ollama and LM Studio list them among the others."""
    return isinstance(name, str) and name != "" and "embed" not in name.lower()


def _base_url(candidate: Candidate) -> str:
    return f"http://127.0.0.1:{candidate.port}/v1"


def _provider(candidate: Candidate, model_name: str, sees_images: bool) -> EndpointProvider:
    return EndpointProvider(
        base_url=_base_url(candidate),
        api_key="none",
        model_name=model_name,
        kind=ModelKind.DISCOVERED,
        where=f"{candidate.program} on this machine",
        trust_env=False,  # A proxy has no business on the loopback.
        sees_images=sees_images,
    )
