"""What may stand in a reply's text: the same, wherever the pieces were cut."""

from __future__ import annotations

import random

import pytest

from webapp.text import TextCleaner, clean, without_tags

HIGH, LOW = chr(0xD83D), chr(0xDC19)
ALPHABET = [
    "a",
    "é",
    "字",
    "🐙",
    "\r",
    "\n",
    "\r\n",
    "\t",
    "\x00",
    "\x1b",
    "\x7f",
    "\x85",
    "\ufeff",
    "\ud83d",
    "\udc19",
    "<",
]


def in_pieces(pieces: list[str]) -> str:
    cleaner = TextCleaner()
    return "".join([*(cleaner.feed(piece) for piece in pieces), cleaner.end()])


def cut(text: str, chance: random.Random) -> list[str]:
    places = sorted(chance.randint(0, len(text)) for _ in range(chance.randint(0, 6)))
    return [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]


def test_cleaning_does_not_depend_on_where_the_text_was_cut() -> None:
    chance = random.Random(4)
    for _ in range(5000):
        text = "".join(chance.choices(ALPHABET, k=chance.randint(0, 12)))
        pieces = cut(text, chance)

        assert in_pieces(pieces) == clean(text), (text, pieces)


def test_cleaning_twice_changes_nothing_more() -> None:
    chance = random.Random(5)
    for _ in range(2000):
        once = clean("".join(chance.choices(ALPHABET, k=12)))

        assert clean(once) == once


def test_clean_text_can_be_encoded_and_holds_no_control_character() -> None:
    cleaned = clean("".join(chr(code) for code in range(0x110000)))

    assert cleaned.encode().decode() == cleaned
    assert [sign for sign in cleaned if ord(sign) < 32 or 127 <= ord(sign) < 160] == ["\t", "\n", "\n"]


def test_a_surrogate_pair_split_between_two_pieces_is_put_together() -> None:
    assert in_pieces(["an octopus \ud83d", "\udc19!"]) == "an octopus 🐙!"


@pytest.mark.parametrize("cut", [1, 2, 3, 4])
def test_a_lone_surrogate_becomes_the_replacement_character(cut: int) -> None:
    for text in [HIGH, LOW, f"{HIGH}x", f"{HIGH}{HIGH}", f"x{LOW}y", f"{LOW}{HIGH}"]:
        expected = text.replace(HIGH, "\ufffd").replace(LOW, "\ufffd")

        assert in_pieces([text[:cut], text[cut:]]) == expected


def test_line_ends_become_line_feeds_also_across_a_cut() -> None:
    assert in_pieces(["a\r", "\nb\r", "c\r", "", "\nd\r"]) == "a\nb\nc\nd\n"


def test_only_the_last_character_is_ever_held_back() -> None:
    cleaner = TextCleaner()

    assert cleaner.feed("whole") == "whole"
    assert cleaner.feed("line\r") == "line"
    assert cleaner.feed("x") == "\nx"
    assert cleaner.end() == ""


def tagged(word: str) -> str:
    return "".join(chr(0xE0000 + ord(letter)) for letter in word)


def test_tags_that_no_page_shows_are_dropped_and_flags_stay() -> None:
    scotland = "\U0001f3f4" + tagged("gbsct") + "\U000e007f"

    assert without_tags(f"Hello{tagged('obey')}, {scotland}!") == f"Hello, {scotland}!"
    assert without_tags(f"\U0001f3f4{tagged('obey')}") == "\U0001f3f4"
