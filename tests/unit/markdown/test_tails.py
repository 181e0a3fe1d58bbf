"""What a reader sees of text that may still change."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from tests.unit.markdown.page import Page, normal
from tests.unit.markdown.samples import ANSWERS, chunks, markdown, sizes
from webapp.markdown import MarkdownStream, render, tails


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
    stream = MarkdownStream("m")
    page = Page(stream.html())
    for piece in chunks(source, lengths):
        stream.feed(piece)
        page.apply(stream.flush())
        assert page.visible() == Page(stream.html()).visible()
    page.apply(stream.close())
    page.clear_markers()
    assert page.html() == normal(render(source))


def streamed(*pieces: str) -> list[list[tuple[str, str]]]:
    stream = MarkdownStream("m")
    found = []
    for piece in pieces:
        stream.feed(piece)
        found.append([(op.target_id, op.html) for op in stream.flush()])
    return found


def test_short_emphasis_is_shown_when_it_is_complete() -> None:
    assert streamed("Some **bo", "ld** text", " here.") == [
        [("m-1", "<p id=mb1>Some <i id=m-2></i></p><i id=m-3></i>")],
        [("m-2", "<strong>bold</strong> <i id=m-4></i>")],
        [("m-4", "text <i id=m-5></i>")],
    ]


def test_the_last_word_of_a_line_does_not_wait_for_the_next_line() -> None:
    _, second, third = streamed("- One ", "two  \n", "three ")

    assert second == [("m-2", " two<i id=m-6></i>")]
    assert third == [("m-6", "<br>\nthree<i id=m-7></i>")]


def test_long_emphasis_is_shown_as_written_and_then_replaced() -> None:
    long = "a long passage of text that goes on and on and on and "

    assert streamed(f"**{long}", "on", " until it", " ends** here ") == [
        [("m-1", f"<p id=mb1><span id=mt1>**{long[:-1]}<i id=m-2></i></span><i id=m-3></i></p><i id=m-4></i>")],
        [("m-2", " <i id=m-5></i>")],
        [("m-5", "on until <i id=m-6></i>")],
        [("mt1", f"<strong>{long}on until it ends</strong> here")],
    ]


def test_a_tail_that_changes_often_is_not_sent_often() -> None:
    stream = MarkdownStream("m")
    stream.feed("[" + "*a* " * 100)
    sent = replaced = 0
    for _ in range(200):
        stream.feed("[b](https://c.d) ")
        ops = stream.flush()
        sent += sum(len(op.html) for op in ops)
        replaced += sum(op.target_id.startswith("mt") for op in ops)

    assert 0 < replaced < 12
    assert sent < 5 * len(stream.html())


def test_an_open_element_has_a_marker_at_its_end() -> None:
    stream = MarkdownStream("m")
    stream.feed("Text\n\n- item\n- it\n\n| a |\n|---|\n| b |\n")

    assert [op.html for op in stream.flush()] == [
        '<p>Text</p><ul><li dir="auto"><p>item</p></li><li dir="auto"><p>it</p></li></ul>'
        '<div class="table" tabindex="0"><table><thead><tr><th>a</th></tr></thead><tbody><tr><td>b</td></tr>'
        "<template id=m-2></template></tbody><template id=m-3></template></table></div><i id=m-4></i>"
    ]


def test_code_may_be_highlighted_later() -> None:
    stream = MarkdownStream("m", defers_code=True)
    page = Page(stream.html())
    stream.feed("```py\nx")
    page.apply(stream.flush())
    stream.feed(" = 1\n```\n\n```\nplain\n```\n\nAnd ")
    page.apply(stream.flush())
    (code,) = stream.take_code()
    stream.feed("on")
    stream.highlighted(code, '<span class="f">x</span> = 1\n')
    page.apply(stream.flush())
    page.apply(stream.close())
    page.clear_markers()

    assert (code.source, code.language) == ("x = 1\n", "py")
    assert '<code class="language-py"><span class="f">x</span> = 1\n</code>' in page.html()
    assert page.html() == normal(stream.html()) == normal(stream.result())


def test_code_may_be_highlighted_after_the_end() -> None:
    stream = MarkdownStream("m", defers_code=True)
    page = Page(stream.html())
    stream.feed("```py\nx = 1\n```")
    page.apply(stream.close())
    (code,) = stream.take_code()
    stream.highlighted(code, "<span>x</span> = 1\n")
    page.apply(stream.flush())

    assert "<span>x</span>" in page.html()
