"""Speaks to each reader in their language: the one they chose here, or the first of their browser's that is known."""

from __future__ import annotations

from collections.abc import Awaitable

from babel import negotiate_locale
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from webapp.languages import ENGLISH, LANGUAGES, speak

LANGUAGE_COOKIE = "rill_language"
MOST_RANGES = 20
"""How many languages of an Accept-Language header are read; no browser sends more."""


class Negotiation:
    """Sets the language before anything is said to a request or socket. Pure ASGI, so that tasks inherit it.

    It is no coroutine: sockets wait for hours, and would keep its frame.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] in {"http", "websocket"}:
            chosen = read_language(HTTPConnection(scope).cookies.get(LANGUAGE_COOKIE))
            speak(chosen or negotiated(Headers(scope=scope).get("accept-language", "")))
        return self._app(scope, receive, send)


def read_language(value: object) -> str:
    """Read a language's code; what is none is the browser's choice."""
    return value if isinstance(value, str) and value in LANGUAGES else ""


def negotiated(accepted: str) -> str:
    """Give the language that suits an Accept-Language header best (RFC 9110, section 12.5.4)."""
    ranges = [entry.partition(";") for entry in accepted.split(",", MOST_RANGES)[:MOST_RANGES]]
    weighted = [(_weight(parameter), tag.strip().lower()) for tag, _, parameter in ranges]
    wanted = [tag for weight, tag in sorted(weighted, key=lambda each: -each[0]) if weight > 0]
    return negotiate_locale(wanted, list(LANGUAGES), sep="-") or ENGLISH


def _weight(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    try:
        return float(value) if name.strip().lower() == "q" else 1.0
    except ValueError:
        return 0.0
