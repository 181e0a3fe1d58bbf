"""Hostile sources cost linear work and output. Work is counted, not timed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from tests.unit.markdown.hostile import FAMILIES
from webapp.markdown import MarkdownStream, render
from webapp.markdown.inlines import Inline
from webapp.markdown.lines import Line

SIZE = 6_000
MAX_GROWTH = 2.2
SLACK = 50_000
"""What a document costs before growth shows, such as the tables and labels that have a bound of their own."""

MAX_OUTPUT = 20
"""Characters of HTML for one of source; the worst, lists and code blocks without content, need 13."""

every_family = pytest.mark.parametrize("make", FAMILIES.values(), ids=FAMILIES.keys())


class Work:
    """Counts calls, and the characters that they look at."""

    def __init__(self) -> None:
        self.calls = 0
        self.characters = 0

    def trace(self, frame: FrameType, event: str, argument: Any) -> None:
        if event in ("call", "c_call"):
            self.calls += 1


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    counted = Work()
    read, line, joined = Inline._read, Line.__init__, Inline._stop_waiting

    def count_read(self: Inline, text: str) -> None:
        counted.characters += len(self.buffer) - self.at + len(text)
        read(self, text)

    def count_line(self: Line, text: str) -> None:
        counted.characters += len(text)
        line(self, text)

    def count_joined(self: Inline) -> str:
        counted.characters += self.waiting_chars
        return joined(self)

    monkeypatch.setattr(Inline, "_read", count_read)
    monkeypatch.setattr(Line, "__init__", count_line)
    monkeypatch.setattr(Inline, "_stop_waiting", count_joined)
    return counted


def _stream(source: str) -> int:
    stream = MarkdownStream("m")
    sent = 0
    for at in range(0, len(source), 4):
        stream.feed(source[at : at + 4])
        sent += sum(len(op.html) + 52 for op in stream.flush())
    return sent + sum(len(op.html) + 52 for op in stream.close())


def _counted(work: Work, run: Callable[[], int]) -> tuple[int, int, int]:
    work.calls = work.characters = 0
    sys.setprofile(work.trace)
    try:
        sent = run()
    finally:
        sys.setprofile(None)
    return work.calls, work.characters, sent


@every_family
def test_streaming_costs_linear_work_and_output(make: Callable[[int], str], work: Work) -> None:
    once = _counted(work, lambda: _stream(make(SIZE)))
    twice = _counted(work, lambda: _stream(make(2 * SIZE)))

    assert all(more <= MAX_GROWTH * less + SLACK for less, more in zip(once, twice, strict=True)), (once, twice)


@every_family
def test_rendering_costs_linear_work(make: Callable[[int], str], work: Work) -> None:
    once = _counted(work, lambda: len(render(make(SIZE))))
    twice = _counted(work, lambda: len(render(make(2 * SIZE))))

    assert all(more <= MAX_GROWTH * less + SLACK for less, more in zip(once, twice, strict=True)), (once, twice)


@every_family
def test_output_is_bounded(make: Callable[[int], str]) -> None:
    source = make(100_000)

    assert len(render(source)) <= MAX_OUTPUT * len(source) + 200_000


def test_a_line_of_a_million_characters_is_read() -> None:
    stream = MarkdownStream("m")
    for _ in range(1_000):
        stream.feed("word *a* `b` " * 77)
        stream.flush()
    stream.close()

    assert stream.html().count("<em>") == 77_000


def test_html_never_nests_deeper_than_a_browser_allows() -> None:
    depth = deepest = 0
    for source in (
        "> " * 1_000 + "*a " * 1_000 + "a* " * 1_000,
        "- " * 1_000 + "![" * 1_000 + "](https://a.b)" * 1_000,
    ):
        for tag in render(source).split("<")[1:]:
            depth += -1 if tag.startswith("/") else 0 if tag.startswith(("br", "hr", "input")) else 1
            deepest = max(deepest, depth)

    assert deepest < 200
