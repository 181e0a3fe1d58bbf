"""What may stand in a reply's text, whatever a model sends."""

from __future__ import annotations

import re

# Control characters have no meaning in HTML and are refused by validators; a lone surrogate cannot be encoded.
_UNWANTED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
# An emblem's flag is a black flag, tags, and the tag that ends it.
_TAGS = re.compile("(\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f)|[\U000e0000-\U000e007f]")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


class TextCleaner:
    """Clean a text that comes in pieces, so that the result does not depend on where it was cut.

    Control characters but tab and line breaks are dropped. A surrogate pair that was split between two pieces is put
    together; a lone surrogate becomes U+FFFD. Line ends become `\\n`, as an HTML parser would make them.
    """

    def __init__(self) -> None:
        self._held = ""

    def feed(self, piece: str) -> str:
        """Clean the next piece; its last character may be held back until the next call."""
        text = self._held + piece
        self._held = ""
        if text and (text[-1] == "\r" or "\ud800" <= text[-1] <= "\udbff"):
            self._held, text = text[-1], text[:-1]
        return clean(text)

    def end(self) -> str:
        """Give what was held back."""
        held, self._held = self._held, ""
        return clean(held)


def clean(text: str) -> str:
    """Clean a whole text; see `TextCleaner`."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not _UNWANTED.search(text):
        return text
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return _CONTROL.sub("", text)


def without_tags(text: str) -> str:
    """Drop tag characters, which a model reads and no page shows; those of a flag stay."""
    return _TAGS.sub(r"\1", text)


def one_line(text: str) -> str:
    """Clean a name or a title: no tags, one space wherever there is any."""
    return " ".join(without_tags(clean(text)).split())
