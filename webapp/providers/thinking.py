"""Thoughts that a model writes into its reply between `<think>` tags, taken out of the text while it streams.

Most services send thoughts in a field of their own; those that run a model without knowing its template do not. Only at
the beginning of a reply such a tag means thoughts: further on, it is something that the model writes about.
"""

from __future__ import annotations

from webapp.domain import ReasoningChunk, TextChunk

_OPENING, _CLOSING = "<think>", "</think>"


class ThoughtTags:
    """Feed it a reply's text in any pieces; it gives the thoughts and the text apart, in order."""

    def __init__(self) -> None:
        self._held = ""
        self._is_thinking = self._has_thought = False
        self._is_past = False

    def feed(self, text: str) -> list[TextChunk | ReasoningChunk]:
        """Take the next piece; its end may be held back while it could be the beginning of a tag."""
        if self._is_past:
            return [TextChunk(text)]
        self._held += text
        if not self._is_thinking:
            return self._begin()
        return self._think()

    def end(self) -> list[TextChunk | ReasoningChunk]:
        """Give what was held back."""
        held, self._held = self._held, ""
        if not held:
            return []
        return [ReasoningChunk(held) if self._is_thinking else TextChunk(held)]

    def _begin(self) -> list[TextChunk | ReasoningChunk]:
        start = self._held.lstrip()
        if start.startswith(_OPENING):
            self._is_thinking, self._held = True, start[len(_OPENING) :]
            return self._think()
        if _OPENING.startswith(start):
            return []
        # The empty lines between thoughts and text are neither's.
        return self._go_on(self._held.lstrip("\n") if self._has_thought else self._held)

    def _think(self) -> list[TextChunk | ReasoningChunk]:
        thoughts, tag, text = self._held.partition(_CLOSING)
        if tag:
            self._is_thinking, self._has_thought, self._held = False, True, text
            return [*([ReasoningChunk(thoughts)] if thoughts else []), *self._begin()]
        whole = len(thoughts) - _overlap(thoughts, _CLOSING)
        self._held = thoughts[whole:]
        return [ReasoningChunk(thoughts[:whole])] if whole else []

    def _go_on(self, text: str) -> list[TextChunk | ReasoningChunk]:
        self._is_past, self._held = True, ""
        return [TextChunk(text)] if text else []


def _overlap(text: str, tag: str) -> int:
    """Tell how much of a text's end may be the beginning of a tag."""
    return next((size for size in range(min(len(tag) - 1, len(text)), 0, -1) if text.endswith(tag[:size])), 0)
