"""Each catalog says all that is said, and says it safely; a reader is spoken to in the language that suits them."""

from __future__ import annotations

import asyncio
import re
import tomllib
from collections.abc import Iterator
from contextvars import Context
from datetime import UTC, datetime

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from tests.fakes import ROOT
from tests.spoken import say_in
from webapp import errors, languages
from webapp.languages import LANGUAGES, LOCALES
from webapp.negotiation import negotiated, read_language

OTHERS = [code for code in LANGUAGES if code != "en"]
TAG = re.compile(r"<[^>]*>")


def catalog(code: str) -> Catalog:
    with (LOCALES / code / "LC_MESSAGES" / "rill.po").open("rb") as file:
        return read_po(file, locale=code, abort_invalid=True)


def spoken_texts() -> set[object]:
    """All that is marked in the source, as `make translations` finds it."""
    mappings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["babel"]["mappings"]
    found = set()
    for part in ("webapp", "templates"):
        methods = [
            (each["pattern"].removeprefix(f"{part}/"), each["method"])
            for each in mappings
            if each["pattern"].startswith(part)
        ]
        for _file, _line, text, _comments, _context in extract_from_dir(ROOT / part, methods):
            found.add(text)
    return found


def messages() -> Iterator[tuple[str, Message]]:
    for code in OTHERS:
        for message in catalog(code):
            if message.id:
                yield code, message


def texts_of(value: object) -> list[str]:
    return [value] if isinstance(value, str) else list(value)  # type: ignore[call-overload]


def test_every_text_stands_in_every_catalog_and_no_other() -> None:
    expected = spoken_texts()

    assert len(expected) > 200
    for code in OTHERS:
        assert {message.id for message in catalog(code) if message.id} == expected, f"run make translations ({code})"


def test_every_text_is_translated() -> None:
    for code, message in messages():
        assert not message.fuzzy, (code, message.id)
        assert all(text.strip() for text in texts_of(message.string)), (code, message.id)


def test_translations_keep_the_places_of_values() -> None:
    for code, message in messages():
        assert list(message.check(catalog(code))) == [], (code, message.id)
        for text in texts_of(message.string):
            assert set(re.findall(r"%\(\w+\)s", text)) == set(re.findall(r"%\(\w+\)s", texts_of(message.id)[0])), text


def test_translations_bring_no_markup_of_their_own() -> None:
    """They go into pages as they are, into attributes too."""
    for code, message in messages():
        original = texts_of(message.id)[0]
        for text in texts_of(message.string):
            # Keys may have other names.
            assert sorted(TAG.findall(text)) == sorted(TAG.findall(original)), (code, text)
            assert not re.search(r"[\"<>&]", TAG.sub("", text)) or '"' in original, (code, text)
            assert not re.search("[\u202a-\u202e\u2066-\u2069]", text), (code, text)


def test_a_text_is_said_in_the_language_that_is_spoken() -> None:
    assert say_in("en", "Send") == "Send"
    assert len({say_in(code, "Send") for code in LANGUAGES}) == len(LANGUAGES)


def test_a_text_without_a_translation_is_said_in_english() -> None:
    assert say_in("de", "A text that nobody has translated, %(name)s", name="x") == (
        "A text that nobody has translated, x"
    )
    assert say_in("de", "") == ""


def test_a_task_speaks_the_language_of_who_began_it() -> None:
    async def begin() -> tuple[str, str]:
        async def work(code: str) -> str:
            languages.speak(code)
            return await asyncio.create_task(asyncio.sleep(0, languages.spoken()))

        one, other = await asyncio.gather(work("de"), work("ar"))
        return one, other

    assert Context().run(asyncio.run, begin()) == ("de", "ar")


def test_errors_speak_it_too() -> None:
    def sentences() -> tuple[str, str, str]:
        languages.speak("de")
        long = errors.PromptTooLong(40_000, 32_000)
        return errors.PromptEmpty().sentence, errors.sentence("prompt_empty"), long.sentence

    said, by_cause, long = Context().run(sentences)
    assert said == by_cause != errors.PromptEmpty.sentence
    assert "40.000" in long
    assert "32.000" in long


def test_numbers_and_months_are_those_of_the_language() -> None:
    moment = datetime(2026, 3, 5, tzinfo=UTC)

    def written(code: str) -> tuple[str, str, str]:
        languages.speak(code)
        return languages.number(1234567), languages.number(2.25, 1), languages.month(moment)

    assert Context().run(written, "en") == ("1,234,567", "2.2", "March 2026")
    assert Context().run(written, "de") == ("1.234.567", "2,2", "März 2026")
    assert Context().run(written, "zh")[2] == "2026年3月"
    assert Context().run(written, "fr")[2] == "mars 2026"


def test_arabic_goes_from_right_to_left() -> None:
    def direction(code: str) -> str:
        languages.speak(code)
        return languages.direction()

    assert {code: Context().run(direction, code) for code in LANGUAGES} == {
        **dict.fromkeys(LANGUAGES, "ltr"),
        "ar": "rtl",
    }


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-CH,de;q=0.9,en;q=0.8", "de"),
        ("en-GB,en;q=0.9,de;q=0.8", "en"),
        ("ja,fr;q=0.5", "fr"),
        ("ja", "en"),
        ("en;q=0.1,es;q=0.9", "es"),
        ("de;q=0,fr;q=0.1", "fr"),
        ("zh-CN,zh;q=0.9", "zh"),
        ("zh-Hans-CN", "zh"),
        ("ar-EG", "ar"),
        ("*", "en"),
        ("de;q=x,fr", "fr"),
        ("DE-de", "de"),
        (";;,,=;q", "en"),
        ("xx," * 10_000 + "de", "en"),
        ("../../etc,de\0", "en"),
    ],
)
def test_the_first_language_that_a_browser_wants_and_we_have_is_spoken(accepted: str, language: str) -> None:
    assert negotiated(accepted) == language


@pytest.mark.parametrize("value", [None, "", "xx", "../de", 3, ["de"]])
def test_only_a_language_that_is_spoken_here_can_be_chosen(value: object) -> None:
    assert read_language(value) == ""
