"""Setups as people write them, in forms and in the operator's file."""

from __future__ import annotations

from pathlib import Path

import pytest

from webapp.domain import Assistant, AssistantId, Parameters, Setup
from webapp.errors import SettingsInvalid, SetupRefused
from webapp.setups import MAX_SYSTEM_PROMPT_CHARS, Offer, read_assistant, read_offer, read_setup

ID = AssistantId("x")


@pytest.mark.parametrize(
    ("fields", "setup"),
    [
        ({}, Setup()),
        ({"system_prompt": "", "temperature": "", "max_tokens": ""}, Setup()),
        ({"temperature": "0"}, Setup("", Parameters(temperature=0.0))),
        ({"temperature": 1.5, "max_tokens": 20}, Setup("", Parameters(None, 1.5, 20))),
        ({"temperature": " 0.5 ", "max_tokens": "200"}, Setup("", Parameters(None, 0.5, 200))),
        ({"system_prompt": "  Be\r\nbrief. \x00"}, Setup("Be\nbrief.")),
    ],
)
def test_what_is_empty_is_not_set(fields: dict[str, object], setup: Setup) -> None:
    assert read_setup(fields) == setup


@pytest.mark.parametrize("value", ["2.1", "-0.1", "hot", "nan", "inf", "1e999", True, [1], {}, 10**400])
def test_a_temperature_that_is_none_is_refused(value: object) -> None:
    with pytest.raises(SetupRefused, match="from 0 to 2"):
        read_setup({"temperature": value})


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "1000001", "many", "nan", False])
def test_a_length_that_is_none_is_refused(value: object) -> None:
    with pytest.raises(SetupRefused, match="whole number of tokens"):
        read_setup({"max_tokens": value})


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, "needs a name"),
        ({"name": "   "}, "needs a name"),
        ({"name": "x" * 61}, "The name can have 60 characters; this one has 61"),
        ({"name": "x", "icon": "123456789"}, "The icon can have 8"),
        ({"name": "x", "icon": 5}, "The icon has to be a text"),
        ({"name": "x", "starters": ["a"] * 7}, "There can be 6"),
        ({"name": "x", "starters": "a" * 301}, "300 characters"),
        ({"name": "x", "starters": [1]}, "have to be texts"),
        ({"name": "x", "starters": 5}, "have to be texts"),
        ({"name": "x", "system_prompt": ["a"]}, "has to be a text"),
        ({"name": "x", "system_prompt": "a" * (MAX_SYSTEM_PROMPT_CHARS + 1)}, "it can have 20,000"),
    ],
)
def test_an_assistant_that_cannot_be_used_is_refused_with_a_reason(fields: dict[str, object], sentence: str) -> None:
    with pytest.raises(SetupRefused) as refused:
        read_assistant(fields, ID, is_own=True)

    assert sentence in refused.value.sentence


def test_an_assistant_is_read_from_a_form() -> None:
    form = {"name": " An \n Editor ", "icon": "✍️", "starters": "One\n\n  Two  \n", "model": "small", "temperature": "1"}

    assert read_assistant(form, ID, is_own=True) == Assistant(
        ID, "An Editor", "✍️", "", Parameters("small", 1.0), ("One", "Two"), is_own=True
    )


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "assistants.toml"
    path.write_text(
        """
        starters = ["What is new?"]
        [[assistants]]
        name = "Übersetzer für alle"
        icon = "🌍"
        system_prompt = "Translate."
        model = "small"
        temperature = 0
        max_tokens = 300
        starters = ["Where is the station?"]
        [[assistants]]
        id = "cook"
        name = "Chef"
        """,
        "utf-8",
    )

    assert read_offer(path) == Offer(
        ("What is new?",),
        (
            Assistant(
                AssistantId("übersetzer-für-alle"),
                "Übersetzer für alle",
                "🌍",
                "Translate.",
                Parameters("small", 0.0, 300),
                ("Where is the station?",),
            ),
            Assistant(AssistantId("cook"), "Chef"),
        ),
    )
    assert read_offer(None) == Offer()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "No such file"),
        ("starters = [", "cannot be read"),
        ("\udcff", "cannot be read"),
        ("assistants = 5", "has to begin with [[assistants]]"),
        ("starters = 5", "have to be texts"),
        ("[[assistants]]\nname='a'\n[[assistants]]\nicon='b'", "assistant 2 in"),
        ("[[assistants]]\nname='a'\ntemperature=3", "from 0 to 2"),
        ("[[assistants]]\nname='🌍'", "needs an id"),
        ("[[assistants]]\nname='A b'\n[[assistants]]\nname='a-B'", 'another assistant with the id "a-b"'),
    ],
)
def test_a_file_that_cannot_be_used_stops_the_start_with_one_sentence(
    tmp_path: Path, content: str | None, sentence: str
) -> None:
    path = tmp_path / "assistants.toml"
    if content is not None:
        path.write_bytes(content.encode("utf-8", "surrogateescape"))

    with pytest.raises(SettingsInvalid) as refused:
        read_offer(path)

    assert sentence in refused.value.sentence
    assert "RILL_ASSISTANTS" in refused.value.sentence
