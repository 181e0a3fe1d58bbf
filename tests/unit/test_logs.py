"""What stands in the log when a library logs an error."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from webapp import logs

PROMPT = "a secret prompt \ud800"


@pytest.fixture
def restored() -> Iterator[None]:
    handlers, level = list(logging.root.handlers), logging.root.level
    yield
    logging.root.handlers[:], logging.root.level = handlers, level


def test_an_error_is_named_with_its_place_and_without_its_words(
    restored: None, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("info")
    try:
        PROMPT.encode()
    except UnicodeEncodeError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application\n")

    told = capsys.readouterr().err
    assert "secret" not in told
    assert "UnicodeEncodeError at " in told
    assert "test_logs.py:" in told
