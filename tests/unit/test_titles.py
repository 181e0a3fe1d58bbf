"""The title that a conversation gets from its first prompt."""

from __future__ import annotations

import pytest

from webapp.stores.texts import TITLE_MAX_CHARS, title_from
from webapp.titles import title_of


def test_a_short_prompt_is_its_own_title() -> None:
    assert title_from("Why is the sky blue?") == "Why is the sky blue?"


def test_a_title_is_one_line() -> None:
    assert title_from("  Why\n\n is\tthe \u00a0 sky\r\nblue? ") == "Why is the sky blue?"


def test_a_prompt_that_just_fits_is_not_cut() -> None:
    prompt = "a" * 29 + " " + "b" * 30

    assert title_from(prompt) == prompt


def test_a_long_prompt_is_cut_between_words() -> None:
    title = title_from("Explain the difference between a process and a thread in an operating system, please")

    assert title == "Explain the difference between a process and a thread in an…"
    assert len(title) == TITLE_MAX_CHARS


def test_a_word_that_leaves_no_room_for_the_ellipsis_is_left_out() -> None:
    assert title_from("a" * 40 + " " + "b" * 19 + " c") == "a" * 40 + "…"


@pytest.mark.parametrize("prompt", ["字" * 200, "See https://example.org/" + "x" * 200])
def test_a_prompt_with_hardly_a_space_is_cut_anywhere(prompt: str) -> None:
    assert title_from(prompt) == prompt[: TITLE_MAX_CHARS - 1] + "…"


def test_nothing_but_space_gives_an_empty_title() -> None:
    assert title_from(" \n\t ") == ""


def test_a_megabyte_of_words_gives_a_title_as_well() -> None:
    assert title_from("word \n" * 170_000) == "word word word word word word word word word word word word…"


@pytest.mark.parametrize(
    ("answer", "title"),
    [
        ("Why skies are blue", "Why skies are blue"),
        ("“Why skies are blue.”\n\nI chose this because", "Why skies are blue"),
        ("Title: **Why skies are blue**.", "Why skies are blue"),
        ("  \n Why \t skies", "Why skies"),
        ("東京の天気", "東京の天気"),
        ("x" * 61, ""),
        ('""', ""),
        ("\n\n", ""),
        ("", ""),
    ],
)
def test_of_a_models_answer_only_the_title_is_kept(answer: str, title: str) -> None:
    assert title_of(answer) == title
