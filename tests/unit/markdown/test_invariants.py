"""What holds for every Markdown source, however it is cut; the numbers are those of docs/markdown.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.unit.markdown.page import Page, has_tail, normal
from tests.unit.markdown.samples import ANSWERS, EXAMPLES, chunks, markdown, sizes
from webapp.markdown import AppendStream, MarkdownStream, Op, render

budget = settings(
    max_examples=250, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
every_source = pytest.mark.parametrize("lengths", [[1], [4], [7, 2, 30], [1000]], ids=str)
sources = [*ANSWERS.values(), *EXAMPLES]


def streamed(pieces: Iterable[str]) -> str:
    stream = MarkdownStream("m")
    page = Page(stream.html())
    for piece in pieces:
        stream.feed(piece)
        page.apply(stream.flush())
    page.apply(stream.close())
    page.clear_markers()
    assert normal(stream.html()) == normal(stream.result()) == page.html()
    return page.html()


@budget
@given(markdown, sizes)
def test_the_page_after_streaming_is_the_page_after_a_reload(source: str, lengths: list[int]) -> None:
    assert streamed(chunks(source, lengths)) == normal(render(source))


@every_source
def test_real_sources_stream_to_the_page_after_a_reload(lengths: list[int]) -> None:
    for source in sources:
        assert streamed(chunks(source, lengths)) == normal(render(source)), source


@budget
@given(markdown, sizes)
def test_a_source_cut_differently_gives_the_same_html(source: str, lengths: list[int]) -> None:
    stream = MarkdownStream("m")
    for piece in chunks(source, lengths):
        stream.feed(piece)
    stream.close()

    assert stream.html() == snapshot_of_whole(source)


def snapshot_of_whole(source: str) -> str:
    stream = MarkdownStream("m")
    stream.feed(source)
    stream.close()
    return stream.html()


@budget
@given(markdown, sizes)
def test_what_is_appended_is_always_the_beginning_of_the_whole(source: str, lengths: list[int]) -> None:
    assert_appended_is_prefix(source, lengths)


@every_source
def test_what_is_appended_of_real_sources_is_always_the_beginning_of_the_whole(lengths: list[int]) -> None:
    for source in sources:
        assert_appended_is_prefix(source, lengths)


def assert_appended_is_prefix(source: str, lengths: list[int]) -> None:
    whole = render(source, late_references=False)
    stream = AppendStream()
    taken = ""
    for piece in chunks(source, lengths):
        stream.feed(piece)
        taken += stream.take()
        assert whole.startswith(taken)
    assert taken + stream.close() == whole


@budget
@given(markdown, sizes, st.integers(0, 20))
def test_a_reader_who_joins_in_the_middle_sees_the_same(source: str, lengths: list[int], joined: int) -> None:
    assert_joining_works(source, lengths, joined)


@pytest.mark.parametrize("source", ANSWERS.values(), ids=ANSWERS.keys())
def test_a_reader_may_join_a_real_answer_anywhere(source: str) -> None:
    for joined in range(0, len(source) // 5, 7):
        assert_joining_works(source, [5], joined)


def assert_joining_works(source: str, lengths: list[int], joined: int) -> None:
    stream = MarkdownStream("m")
    page: Page | None = None
    for number, piece in enumerate(chunks(source, lengths)):
        if number == joined:
            page = Page(stream.html())  # with text that was fed, but is in no batch yet
        stream.feed(piece)
        batch = stream.flush() if number % 2 else ()
        if page is not None:
            page.apply(batch)
    if page is None:
        page = Page(stream.html())
    page.apply(stream.close())
    page.clear_markers()

    assert page.html() == normal(render(source))


@budget
@given(markdown, sizes)
@example("a\n\n[b]\n\n[b]: https://x.org", [1])
def test_no_id_is_the_target_of_two_operations(source: str, lengths: list[int]) -> None:
    stream = MarkdownStream("m")
    targets: set[str] = set()
    for piece in chunks(source, lengths):
        stream.feed(piece)
        assert_new_targets(stream.flush(), targets)
    assert_new_targets(stream.close(), targets)


def assert_new_targets(ops: Sequence[Op], targets: set[str]) -> None:
    for op in ops:
        assert op.target_id not in targets
        targets.add(op.target_id)


@budget
@given(markdown, sizes, st.randoms(use_true_random=False))
def test_batches_that_come_again_and_late_change_nothing(source: str, lengths: list[int], chance: Random) -> None:
    stream = MarkdownStream("m")
    page = Page(stream.html())
    batches: list[Sequence[Op]] = []
    for piece in chunks(source, lengths):
        stream.feed(piece)
        batches.append(stream.flush())
        for batch in [batches[-1], *chance.choices(batches, k=3)]:
            page.receive(batch)
    page.receive(stream.close())
    page.clear_markers()

    assert page.html() == normal(render(source))


@budget
@given(markdown, sizes, st.randoms(use_true_random=False))
def test_two_connections_at_once_make_one_page(source: str, lengths: list[int], chance: Random) -> None:
    stream = MarkdownStream("m")
    snapshots, batches = [stream.html()], []
    for piece in chunks(source, lengths):
        stream.feed(piece)
        batches.append(stream.flush())
        snapshots.append(stream.html())
    batches.append(stream.close())
    # One that began earlier delivers ahead of the one whose snapshot came last.
    behind = chance.randrange(len(snapshots))
    ahead = chance.randrange(behind, len(snapshots))
    page = Page(snapshots[behind])
    while behind < len(batches) or ahead < len(batches):
        if ahead < len(batches) and (behind >= len(batches) or chance.random() < 0.5):
            page.receive(batches[ahead])
            ahead += 1
        else:
            page.receive(batches[behind])
            behind += 1
    page.clear_markers()

    assert page.html() == normal(render(source))


@budget
@given(markdown, sizes, st.sampled_from(["*", "[", "`", "**", "$x", "~~"]))
def test_nothing_before_what_may_still_change_is_sent_again(source: str, lengths: list[int], opener: str) -> None:
    stream = MarkdownStream("m")
    stream.feed("Something before, ")
    stream.feed("and ")
    before = stream.flush()
    sent = ""
    for piece in chunks(f"it {opener}{source.replace(chr(13), ' ').replace(chr(10), ' ')}", lengths):
        stream.feed(piece)
        sent += "".join(op.html for op in stream.flush())

    assert "Something before" in before[0].html
    assert "Something before" not in sent


@budget
@given(markdown)
def test_a_closed_document_has_no_tail(source: str) -> None:
    stream = MarkdownStream("m")
    stream.feed(source)
    stream.flush()
    stream.close()

    assert not has_tail(stream.html())
