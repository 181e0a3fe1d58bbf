"""Text as it comes from outside, made plain."""

from __future__ import annotations

import re

_UNUSUAL = re.compile("[\x00\r\ud800-\udfff]")
_NOT_TEXT = re.compile("[\x00\ud800-\udfff]")


class Source:
    """Text with its line ends and its characters made plain, wherever it was cut."""

    __slots__ = ("_is_after_return",)

    def __init__(self) -> None:
        self._is_after_return = False

    def clean(self, text: str) -> str:
        """Turn every line end into `\\n`, and what is no text into U+FFFD (CommonMark 0.31.2, section 2.3)."""
        if self._is_after_return and text:
            self._is_after_return = False
            text = text.removeprefix("\n")
        if not _UNUSUAL.search(text):
            return text
        self._is_after_return = text[-1] == "\r"
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        return _NOT_TEXT.sub("\ufffd", text)
