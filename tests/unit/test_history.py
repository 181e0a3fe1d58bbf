"""What a model with a small context is given of a long conversation."""

from __future__ import annotations

from webapp.providers import ChatMessage
from webapp.providers.history import estimate_tokens, fit


def conversation(turns: int, chars: int = 300) -> list[ChatMessage]:
    messages: list[ChatMessage] = [{"role": "system", "content": "Be brief."}]
    for number in range(turns):
        messages.append({"role": "user", "content": f"{number} ".ljust(chars, "?")})
        messages.append({"role": "assistant", "content": f"{number} ".ljust(chars, "!")})
    return [*messages, {"role": "user", "content": "And now?"}]


def test_a_short_conversation_is_kept_whole() -> None:
    messages = conversation(3)

    assert fit(messages, 1000) == messages


def test_a_long_conversation_keeps_the_system_message_and_its_newest_part() -> None:
    messages = conversation(50)
    kept = fit(messages, 1000)

    assert estimate_tokens(kept) <= 1000
    assert kept[0] == messages[0]
    assert kept[1]["role"] == "user"
    assert kept[1:] == messages[-len(kept) + 1 :]
    assert len(kept) > 5


def test_a_last_prompt_that_is_too_long_is_kept_alone() -> None:
    messages = [*conversation(5), ChatMessage(role="user", content="x" * 9000)]

    assert fit(messages, 1000) == [messages[0], messages[-1]]


def test_the_beginning_stays_the_same_over_several_turns() -> None:
    firsts = [fit(conversation(turns), 1000)[1]["content"] for turns in range(10, 50)]

    assert len(set(firsts)) <= 20
    assert firsts == sorted(firsts, key=lambda first: int(first.split()[0]))


def test_scripts_with_longer_characters_count_for_more() -> None:
    latin, devanagari = "a" * 300, "न" * 300

    assert estimate_tokens([{"role": "user", "content": devanagari}]) > 2 * estimate_tokens(
        [{"role": "user", "content": latin}]
    )
