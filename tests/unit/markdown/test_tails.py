"""What a reader sees of text that may still change."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from tests.unit.markdown.page import Page, normal
from tests.unit.markdown.samples import ANSWERS, chunks, markdown, sizes
from webapp.markdown import Action, MarkdownStream, render, tails


@pytest.fixture(params=[1, 10], ids=lambda chars: f"from {chars} characters")
def early_tails(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tails, "MIN_CHARS", request.param)


@pytest.mark.usefixtures("early_tails")
@settings(max_examples=150, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(markdown, sizes)
def test_the_page_is_right_at_every_step_and_at_the_end(source: str, lengths: list[int]) -> None:
    assert_right(source, lengths)


@pytest.mark.usefixtures("early_tails")
@pytest.mark.parametrize("source", ANSWERS.values(), ids=ANSWERS.keys())
def test_a_real_answer_is_right_at_every_step(source: str) -> None:
    assert_right(source, [5, 1, 9])


def assert_right(source: str, lengths: list[int]) -> None:
    page, stream = Page(), MarkdownStream("m")
    for piece in chunks(source, lengths):
        stream.feed(piece)
        page.apply(stream.flush())
        assert page.root.inner_html == Page(stream.html()).root.inner_html
    page.apply(stream.close())
    assert page.html() == normal(render(source))


def streamed(*pieces: str) -> list[list[tuple[str, str, str]]]:
    stream = MarkdownStream("m")
    found = []
    for piece in pieces:
        stream.feed(piece)
        found.append([(op.action.value, op.target_id, op.html) for op in stream.flush().ops])
    return found


def test_short_emphasis_is_shown_when_it_is_complete() -> None:
    batches = streamed("Some **bo", "ld** text", " here.")

    assert batches == [
        [("append", "m", '<p id="mb1">Some </p>')],
        [("append", "mb1", "<strong>bold</strong> ")],
        [("append", "mb1", "text ")],
    ]


def test_long_emphasis_is_shown_as_written_and_then_replaced() -> None:
    long = "a long passage of text that goes on and on and "
    batches = streamed(f"**{long} ", "on", " until it", " ends** here ")

    assert batches[0] == [("append", "m", f'<p id="mb1"><span id="mt1">**{long[:-1]}</span></p>')]
    assert all(action == "append" and target == "mt1" for batch in batches[1:3] for action, target, _ in batch)
    assert batches[3] == [("replace", "mt1", f"<strong>{long} on until it ends</strong> here")]


def test_a_tail_that_changes_often_is_not_sent_often() -> None:
    stream = MarkdownStream("m")
    stream.feed("[" + "*a* " * 100)
    sent = replaced = 0
    for _ in range(200):
        stream.feed("[b](https://c.d) ")
        ops = stream.flush().ops
        sent += sum(len(op.html) for op in ops)
        replaced += sum(op.action is Action.REPLACE for op in ops)

    assert 0 < replaced < 12
    assert sent < 5 * len(stream.html())


def test_the_marker_belongs_into_the_innermost_element_that_may_hold_one() -> None:
    stream = MarkdownStream("m")
    found = []
    for piece in ("Text", " and\n\n", "- item ", "goes\n\n", "| a |\n|---|\n", "| b |\n\n", "```py\nx = 1\n", "```\n"):
        stream.feed(piece)
        found.append(stream.flush().open_id)

    assert found == ["m", "m", "mb4", "mb3", "mb6", "m", "mb11", "m"]


@pytest.mark.parametrize("source", ANSWERS.values(), ids=ANSWERS.keys())
def test_a_marker_in_the_open_element_is_in_nobodys_way(source: str) -> None:
    page, stream = Page(), MarkdownStream("m")
    for piece in chunks(source, [6]):
        stream.feed(piece)
        page.move_marker(stream.flush())
    page.move_marker(stream.close())

    assert page.html() == normal(f'{render(source)}<i id="marker"></i>')


def test_code_may_be_highlighted_later() -> None:
    page, stream = Page(), MarkdownStream("m", defers_code=True)
    stream.feed("```py\nx")
    page.apply(stream.flush())
    stream.feed(" = 1\n```\n\n```\nplain\n```\n\nAnd ")
    page.apply(stream.flush())
    (code,) = stream.take_code()
    stream.feed("on")
    stream.highlighted(code, '<span class="f">x</span> = 1\n')
    page.apply(stream.flush())
    page.apply(stream.close())

    assert (code.source, code.language) == ("x = 1\n", "py")
    assert '<code class="language-py"><span class="f">x</span> = 1\n</code>' in page.html()
    assert page.html() == normal(stream.html())


def test_code_may_be_highlighted_after_the_end() -> None:
    page, stream = Page(), MarkdownStream("m", defers_code=True)
    stream.feed("```py\nx = 1\n```")
    page.apply(stream.close())
    (code,) = stream.take_code()
    stream.highlighted(code, "<span>x</span> = 1\n")
    page.apply(stream.flush())

    assert "<span>x</span>" in page.html()
