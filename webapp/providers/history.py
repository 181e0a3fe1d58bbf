"""How much of a conversation a model with a small context is given."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import dropwhile

from webapp.providers import ChatMessage, text_of

BYTES_PER_TOKEN = 3
"""An estimate: with SmolLM2, English has 3.9, code 2.1, other scripts 1 to 2.4 (measured)."""

TEMPLATE_TOKENS = 8
"""What a chat template puts around each message."""


def estimate_tokens(messages: Sequence[ChatMessage]) -> int:
    """Estimate the tokens of `messages` from their UTF-8 bytes, which hold up better across scripts than characters."""
    return sum(len(text_of(message).encode()) // BYTES_PER_TOKEN + TEMPLATE_TOKENS for message in messages)


def fit(messages: Sequence[ChatMessage], budget_tokens: int) -> list[ChatMessage]:
    """Keep the system messages and the newest others within `budget_tokens`, and the last one whatever its length.

    What is kept begins with the user's words. The cut moves by half a budget at a time: in between, each prompt
    begins as the one before did, and the server need not read its beginning again.
    """
    system = [message for message in messages if message["role"] == "system"]
    others = [message for message in messages if message["role"] != "system"]
    excess = estimate_tokens(messages) - budget_tokens
    if excess <= 0 or not others:
        return list(messages)
    step = max(1, budget_tokens // 2)
    kept = _drop(others[:-1], -(-excess // step) * step)
    return [*system, *dropwhile(lambda message: message["role"] == "assistant", kept), others[-1]]


def _drop(messages: Sequence[ChatMessage], tokens: int) -> Sequence[ChatMessage]:
    """Leave out the oldest messages until at least `tokens` are gone."""
    for index in range(len(messages)):
        if tokens <= 0:
            return messages[index:]
        tokens -= estimate_tokens([messages[index]])
    return []
