"""Classes of characters that decide what a delimiter may do (CommonMark 0.31.2, sections 2.1 and 6.2)."""

from __future__ import annotations

from functools import lru_cache
from unicodedata import category

ASCII_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")

SPACE, PUNCTUATION, OTHER = range(3)


@lru_cache(maxsize=4096)
def kind(character: str) -> int:
    """Class of a character; the empty string stands for the start or end of a line."""
    if not character or character in " \t\n\f\r":
        return SPACE
    if character.isascii():
        return PUNCTUATION if character in ASCII_PUNCTUATION else OTHER
    general = category(character)
    if general == "Zs":
        return SPACE
    return PUNCTUATION if general[0] in "PS" else OTHER
