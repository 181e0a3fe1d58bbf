"""Any text at all: nothing raises, the output is bounded, and a source cut differently gives the same HTML."""

from __future__ import annotations

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.unit.markdown.limits import limits
from tests.unit.markdown.samples import chunks, markdown, sizes
from webapp.markdown import AppendStream, MarkdownStream, render

MAX_GROWTH = 20
"""Characters of HTML for one of source, as in `test_bounds`, beside what references and rows may add."""

SMALL_BOUNDS = {
    "MAX_OPEN_CHARS": 24,
    "MAX_FORMULA_CHARS": 12,
    "MAX_CODE_CHARS": 20,
    "MAX_LATE_CHARS": 60,
    "LATE_TEXT_CHARS": 5,
    "MAX_NOTES_CHARS": 40,
    "NOTE_LINE_CHARS": 3,
}

budget = settings(
    max_examples=1_500, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
_TEXT = st.text(st.characters(codec=None), max_size=12)
_LONG = st.sampled_from([
    *("word " * 6, "x" * 30, " " * 30, "*" * 30, "`" * 30, "\t" * 9, "- - - ", "\n    ", "\n===\n", "|a|\n|-|\n"),
    *("\\[\n", "$$\n", "\n\n    x\n\n\n\n    y\n", "[^1]: ", "\n[^2]: x\n    y\n", "\n\n[a]: b 'c'\n", "\n[b]: "),
    "](https://b.c)",
])  # fmt: skip
sources = st.lists(st.one_of(markdown, _TEXT, _LONG), max_size=8).map("".join)


@budget
@given(sources, sizes)
@example("\\[$$a\n| a |\n|---|\n| [a] |\n\n[a]: b\n[^1]: note", [1])
def test_any_text_is_read_as_one_wherever_it_is_cut(source: str, lengths: list[int]) -> None:
    assert_equal_when_cut(source, lengths)


@budget
@given(sources, sizes)
@example("`![i](https://x.org/i.png)`a", [1])
@example("`\t+~~~[^1]](http://-$x$* `>", [3])
@example("- - [ ]                               ~~", [9])
def test_any_text_beyond_the_bounds_is_read_as_one_wherever_it_is_cut(source: str, lengths: list[int]) -> None:
    with limits(**SMALL_BOUNDS):
        assert_equal_when_cut(source, lengths)


def assert_equal_when_cut(source: str, lengths: list[int]) -> None:
    appended, stream, shown = AppendStream(), MarkdownStream("m"), ""
    whole = render(source, late_references=False)
    for piece in chunks(source, lengths):
        appended.feed(piece)
        shown += appended.take()
        assert whole.startswith(shown)
        stream.feed(piece)
        stream.flush()
    stream.close()

    assert shown + appended.close() == whole
    assert stream.result() == render(source)
    assert len(whole) <= MAX_GROWTH * len(source) + 10_000
