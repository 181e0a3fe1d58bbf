"""Logs: event names plus fields, one line each. No prompt, no reply and no key is ever given to them."""

from __future__ import annotations

import logging
import sys

import structlog


def configure(level: str) -> None:
    """Log to standard error from `level` up; Rill's own events and the libraries' alike."""
    shared: list[structlog.types.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    renderer = (
        structlog.dev.ConsoleRenderer(colors=True) if sys.stderr.isatty() else structlog.processors.LogfmtRenderer()
    )
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _without_words, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    # At DEBUG, uvicorn's WebSocket protocol logs every frame; at INFO, it and Alembic tell of each step of a start.
    for name in ("uvicorn.error", "alembic"):
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.root.level))
    # These log headers, URLs or bodies below WARNING, which may hold a key or a prompt.
    for name in (
        "openai",
        "httpx2",
        "httpcore2",
        "httpx",
        "sse_starlette",
        "aiosqlite",
        "websockets",
        "uvicorn.access",
    ):
        logging.getLogger(name).setLevel(logging.WARNING)


def describe(error: BaseException) -> str:
    """Name an error's type and place; its message may quote a prompt."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = f" at {frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame is not None else ""
    return type(error).__name__ + place


def _without_words(_logger: object, _method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """Give only the type and the place of the error that a library logs."""
    exc_info = event.pop("exc_info", None)
    error = exc_info[1] if isinstance(exc_info, tuple) else exc_info
    return {**event, "error": describe(error)} if isinstance(error, BaseException) else event
