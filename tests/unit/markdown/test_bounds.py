"""Hostile sources cost linear work and output. Work is counted, not timed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from tests.unit.markdown.hostile import ACCUMULATING, FAMILIES, LONG
from tests.unit.markdown.limits import limits
from webapp.markdown import AppendStream, Dialect, MarkdownStream, render
from webapp.markdown.bounds import MAX_CODE_CHARS, MAX_LATE_CHARS, MAX_NOTES_CHARS, MAX_OPEN_CHARS
from webapp.markdown.inlines import Inline
from webapp.markdown.lines import Line

SIZE = 6_000
MAX_GROWTH = 2.2
SLACK = 60_000
"""What a document costs before growth shows, such as the tables and labels that have a bound of their own."""

MAX_OUTPUT = 20
"""Characters of HTML for one of source; the worst, lists and code blocks without content, need 13."""

STEP = 2_000
MAX_STEP_CALLS = 150_000
"""In one step of so many characters; the worst, items of two characters in lists of one, need 142,000."""

MAX_STEP_CHARACTERS = 40_000
"""Looked at in one step; the worst, `$` over and over, needs 20,000."""

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

    def count_line(self: Line, text: str, *, is_whole: bool = True) -> None:
        counted.characters += len(text)
        line(self, text, is_whole=is_whole)

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
    """Count with bounds that are small enough to be reached long before the end."""
    with limits(MAX_OPEN_CHARS=1_000, MAX_NOTES_CHARS=10_000, MAX_LATE_CHARS=3_000):
        return _profiled(work, run)


def _profiled(work: Work, run: Callable[[], int]) -> tuple[int, int, int]:
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


@pytest.mark.parametrize("make", [*FAMILIES.values(), *LONG.values()], ids=[*FAMILIES, *LONG])
def test_no_step_does_much(make: Callable[[int], str], work: Work) -> None:
    calls, characters = _worst_step(work, make(6 * STEP), profiled=3)

    assert calls <= MAX_STEP_CALLS
    assert characters <= MAX_STEP_CHARACTERS


@pytest.mark.parametrize("make", ACCUMULATING.values(), ids=ACCUMULATING.keys())
def test_no_step_does_more_late_in_a_long_document(make: Callable[[int], str], work: Work) -> None:
    calls, characters = _worst_step(work, make(60_000), profiled=2)

    assert calls <= MAX_STEP_CALLS
    assert characters <= MAX_STEP_CHARACTERS


def _worst_step(work: Work, source: str, *, profiled: int) -> tuple[int, int]:
    """Give the most calls of a step, of so many at the end, and the most characters of any."""
    stream = MarkdownStream("m")
    starts = range(0, len(source), STEP)
    worst_calls = worst_characters = 0
    for number, at in enumerate([*starts, None]):
        work.calls = work.characters = 0
        sys.setprofile(work.trace if number > len(starts) - profiled else None)
        try:
            if at is None:
                stream.close()
            else:
                stream.feed(source[at : at + STEP])
                stream.flush()
        finally:
            sys.setprofile(None)
        worst_calls = max(worst_calls, work.calls)
        worst_characters = max(worst_characters, work.characters)
    return worst_calls, worst_characters


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


def _words(chars: int) -> str:
    return " ".join(f"w{number}" for number in range(chars // 4))[:chars].rpartition(" ")[0]


LONG, SHORT = _words(MAX_OPEN_CHARS + 500), _words(MAX_OPEN_CHARS - 500)


@pytest.mark.parametrize(
    ("form", "tag"),  # what it is if it is shorter
    [
        ("`{}`", "<code>"),
        ("[{}](x)", "<span"),
        ("**{}**", "<strong>"),
        ("~~{}~~", "<del>"),
        ("# {}", "<h1>"),
        ("{}\n===", "<h1>"),
        ("a\n\n|{}|\n|-|", "<table>"),
        ("|a|\n|-|\n|{}|", "<td>"),
        ("~~~ {}", "<pre "),
        ('[a]: x "{}"\n\n[a]', "<span"),
        ("[late] {}\n\n[late]: https://x.org", "<a "),
    ],
)
def test_what_is_too_long_is_text_of_which_nothing_is_lost(form: str, tag: str) -> None:
    html = render(form.replace("{}", LONG))

    assert tag in render(form.replace("{}", SHORT))
    assert tag not in html
    assert "".join(LONG.split()) in "".join(html.split())


def test_a_run_that_is_too_long_is_text() -> None:
    for character in "*_~`":
        run = character * (MAX_OPEN_CHARS + 10)
        assert render(f"a{run}b{run}").count(character) == 2 * len(run)


def test_a_long_line_is_shown_before_it_ends() -> None:
    for beginning in ("# ", "|a", "| ", "- [", "> # ", "***", "[a]: b '", "|a|\n|-|\n|", "$$ "):
        stream = AppendStream()
        stream.feed(beginning + LONG + LONG)

        assert "w100 " in stream.take(), beginning


def test_text_behind_many_spaces_is_shown() -> None:
    for before in ("", "a\n", "- ", "> ", "- a\n  ", "[^1]: "):
        assert "end" in render(f"{before}{' ' * (MAX_OPEN_CHARS + 10)}end")


def test_a_formula_without_an_end_ends_where_no_formula_could() -> None:
    html = render("$$\n" + "x + y\n" * 400 + "\nAnd **on**.\n\n- item")

    assert html.startswith('<div class="formula"><code class="math display">x + y\n')
    assert html.count("x + y") == 400
    assert html.endswith('<p>And <strong>on</strong>.</p><ul><li dir="auto"><p>item</p></li></ul>')


def test_many_definitions_in_one_paragraph_are_definitions() -> None:
    lines = [f"[{number}]: https://x.org/{number}" for number in range(1_000)]
    html = render("\n".join([*lines, "[7] and [999]"]))

    assert html.count("<a href") == 2
    assert html.startswith('<p><a href="https://x.org/7"')


def test_a_title_may_have_lines_that_look_like_definitions() -> None:
    assert render('[a]: https://x.org "one\n[b]: https://y.org\ntwo"\n\n[a] [b]').endswith("</a> [b]</p>")


def test_references_are_read_again_at_the_end_only_so_far() -> None:
    html = render("[a]\n\n" * MAX_LATE_CHARS + "[a]: https://x.org")

    assert 50 < html.count("<a ") < 500
    assert html.count("<p>") == MAX_LATE_CHARS


def test_footnotes_are_shown_at_the_end_only_so_far() -> None:
    html = render("".join(f"[^{number}]: w{number} x\n\n" for number in range(2_000)))
    text, _, notes = html.partition('<section class="footnotes">')

    assert all(f"w{number} x<" in html for number in range(2_000))
    assert notes.count("<li") > 400
    assert "w1999 x" in text


def test_a_footnote_that_is_too_long_goes_on_as_text() -> None:
    lines = "".join(f"    w{number}\n\n" for number in range(MAX_NOTES_CHARS // 20))
    long_line = _words(2 * MAX_OPEN_CHARS)
    for source in (f"[^1]: a\n\n{lines}", f"[^1]: {long_line}"):
        text, _, notes = render(source).partition('<section class="footnotes">')

        assert "w1" in notes
        assert f"w{source.split('w')[-1].strip()}" in text


def test_long_code_is_not_highlighted() -> None:
    stream = AppendStream(dialect=Dialect(highlight=lambda source, language: "highlighted"))
    stream.feed("```py\n" + "x = 1\n" * (MAX_CODE_CHARS // 6 + 1))

    assert stream.take().count("x = 1") > MAX_CODE_CHARS // 6
    assert "highlighted" not in stream.close()


def test_code_goes_on_after_blank_lines_but_not_after_too_many() -> None:
    assert render("    a\n" + "\n" * 100 + "    b").count("<pre ") == 1
    assert render("    a\n" + "\n" * (MAX_OPEN_CHARS + 10) + "    b").count("<pre ") == 2
