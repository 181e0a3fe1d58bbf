"""Words as a search compares them, and the excerpts that show where they stand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.stores.words import EXCERPT_CHARS, Term, excerpt, searchable, terms_of, words_of


def shown(text: str, query: str) -> str:
    """Write an excerpt with what was searched for in brackets."""
    return "".join(f"[{piece}]" if is_match else piece for piece, is_match in excerpt(text, terms_of(query)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The  Quick\nfox", "the quick fox"),
        ("Ærøskøbing, Café", "ærøskøbing cafe"),
        ("ﬁne ＡＢＣ ①", "fine abc 1"),
        ("Straße", "strasse"),
        ("İstanbul", "istanbul"),
        ("東京 2026", "東 京 2026"),
        ("snake_case x==1", "snake case x 1"),
        ("हिन्दी में", "हनद म"),
        ("", ""),
    ],
)
def test_words_have_one_form(text: str, words: str) -> None:
    assert searchable(text) == words


def test_terms_are_words_and_phrases() -> None:
    assert terms_of('one "two three" it\'s "') == [
        Term(("one",)),
        Term(("two", "three"), is_exact=True),
        Term(("it", "s")),
    ]


@pytest.mark.parametrize(
    ("text", "query", "wanted"),
    [
        ("The quick brown fox", "qui fox", "The [quick] brown [fox]"),
        ("The quick brown fox", '"quick brown"', "The [quick brown] fox"),
        ("Ein Café, dort", "cafe", "Ein [Café], dort"),
        ("ﬁne art", "fine", "[ﬁne] art"),
        ("東京都に住む", "京都", "東[京都]に住む"),
        ("**Bold** and `code_x`\n\n# Head", "bold", "[Bold] and code_x Head"),
        ("<b>raw</b>", "raw", "<b[raw]</b"),
        ("nothing of it", "else", "nothing of it"),
    ],
)
def test_an_excerpt_shows_what_was_found(text: str, query: str, wanted: str) -> None:
    assert shown(text, query) == wanted


def test_an_excerpt_of_a_long_text_begins_shortly_before_what_was_found() -> None:
    text = "before " * 200 + "here it is " + "after " * 200

    found = shown(text, "here")

    assert found.startswith("…before")
    assert "[here] it is after" in found
    assert found.endswith("…")
    assert len(found) < EXCERPT_CHARS + 10


@given(st.text(max_size=300), st.text(max_size=30))
def test_an_excerpt_is_of_the_text_whatever_it_is(text: str, query: str) -> None:
    for piece, is_match in excerpt(text, terms_of(query)):
        assert not is_match or piece in text


@given(st.text(max_size=300))
def test_each_word_stands_where_it_says(text: str) -> None:
    ends = [0]
    for word in words_of(text):
        assert ends[-1] <= word.start < word.end <= len(text) or word.start == ends[-1] - 1
        ends.append(word.end)
