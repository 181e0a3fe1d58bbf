"""Thoughts: taken out of a text however it is cut, and shown so that whatever comes twice or late changes nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.dom import Dom
from tests.fakes import ROOT
from tests.unit.test_templates import RUNNING
from webapp.domain import ReasoningChunk, TextChunk
from webapp.markdown import Op
from webapp.providers.thinking import ThoughtTags
from webapp.rendering import Renderer, partials
from webapp.running import thoughts_html
from webapp.thoughts import MAX_CHARS, GrowingThoughts

RENDERER = Renderer(ROOT / "templates")


def apart(pieces: list[str]) -> tuple[str, str]:
    """Feed a text in pieces; give the thoughts and the text."""
    tags = ThoughtTags()
    chunks = [chunk for piece in pieces for chunk in tags.feed(piece)] + tags.end()
    assert all(chunk.text for chunk in chunks)
    thoughts = "".join(chunk.text for chunk in chunks if isinstance(chunk, ReasoningChunk))
    return thoughts, "".join(chunk.text for chunk in chunks if isinstance(chunk, TextChunk))


@pytest.mark.parametrize(
    ("text", "thoughts", "reply"),
    [
        ("<think>\nFirst.\n\nThen.</think>\n\nThe answer", "\nFirst.\n\nThen.", "The answer"),
        ("\n<think>a < b </thin</think>x", "a < b </thin", "x"),
        ("<think>never ended", "never ended", ""),
        ("<think></think>\n\n    code", "", "    code"),
        ("The tag <think>x</think> is text here", "", "The tag <think>x</think> is text here"),
        ("<thinking>", "", "<thinking>"),
        ("<thi", "", "<thi"),
        ("  spaces", "", "  spaces"),
        ("", "", ""),
    ],
)
def test_thoughts_are_apart_however_the_text_is_cut(text: str, thoughts: str, reply: str) -> None:
    for size in range(1, len(text) + 2):
        pieces = [text[at : at + size] for at in range(0, len(text), size)]

        assert tuple(part.lstrip("\n") for part in apart(pieces)) == (thoughts.lstrip("\n"), reply), size


@given(st.lists(st.sampled_from(["<think>", "</think>", "<", "t", "hink>", "\n", " ", "word", "</"]), max_size=12))
def test_nothing_but_tags_and_space_is_lost(pieces: list[str]) -> None:
    thoughts, reply = apart(pieces)

    def bare(text: str) -> str:
        return "".join(text.replace("<think>", "").replace("</think>", "").split())

    assert bare(thoughts + reply) == bare("".join(pieces))


class Page:
    """An article in which thoughts grow."""

    def __init__(self) -> None:
        self.thoughts = GrowingThoughts(2, lambda text, is_open: thoughts_html(RENDERER, RUNNING, text, is_open))
        self.dom = Dom(f"<article class=reply>{self.whole(is_answering=False)}</article>")

    def whole(self, *, is_answering: bool) -> str:
        html = thoughts_html(RENDERER, RUNNING, self.thoughts.text, not is_answering)
        return Dom(html).document.select("body")[0].inner_html

    def flush(self, *, is_answering: bool = False, is_over: bool = False) -> list[Op]:
        ops = list(self.thoughts.flush(is_answering=is_answering, is_over=is_over))
        self.dom.receive(partials(ops))
        return ops

    def shows(self) -> str:
        return self.dom.document.select("article")[0].inner_html


def test_thoughts_grow_open_and_are_closed_when_the_answer_begins() -> None:
    page = Page()
    page.thoughts.feed("One <b>\n")
    page.flush()
    page.thoughts.feed("two & three")
    page.flush()
    assert page.shows() == page.whole(is_answering=False)
    assert page.dom.has("details[open]")
    assert page.dom.document.select("details p")[0].text == "One <b>\ntwo & three"

    page.flush(is_answering=True)

    assert page.shows() == page.whole(is_answering=True)
    assert not page.dom.has("details[open]")
    assert page.flush(is_answering=True) == []


def test_thoughts_that_come_after_the_answer_began_are_shown_at_its_end() -> None:
    page = Page()
    page.thoughts.feed("first")
    page.flush(is_answering=True)
    page.thoughts.feed(", then")
    assert page.flush(is_answering=True) == []

    page.flush(is_answering=True, is_over=True)

    assert page.dom.document.select("details p")[0].text == "first, then"


def test_what_comes_twice_or_late_changes_nothing() -> None:
    page = Page()
    batches = []
    for word in ("one ", "two ", "three "):
        page.thoughts.feed(word)
        batches.append(page.flush())
    for batch in batches:
        page.dom.receive(partials(batch))
    assert page.dom.document.select("details p")[0].text == "one two three "

    page.flush(is_answering=True)
    for batch in batches:
        page.dom.receive(partials(batch))

    assert page.shows() == page.whole(is_answering=True)


def test_thoughts_have_a_bound() -> None:
    page = Page()
    for _ in range(5):
        page.thoughts.feed("x" * (MAX_CHARS // 4))
        page.flush()

    assert len(page.thoughts.text) == MAX_CHARS
