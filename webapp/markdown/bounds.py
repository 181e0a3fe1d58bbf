"""How much one step may have to read again: what is longer is text, so that no step takes long.

Each bound counts characters of the source from where something begins. So it does not depend on how the source was cut.
"""

from __future__ import annotations

from typing import Final

MAX_OPEN_CHARS: Final = 8_192
"""What may still become something else: a line before its kind is known; a paragraph that may be a heading, the head
of a table or a definition; code, the words of a link or emphasis before their end; blank lines in indented code.

Hostile text of that length takes about ten milliseconds to read. Answers have none: a page of prose has 3,000.
"""

MAX_CODE_CHARS: Final = 65_536
"""Code that is highlighted; as many as `code.MAX_SOURCE_CHARS`."""

MAX_LATE_CHARS: Final = 16_384
"""What is read again at the end of a document, because it refers to what was defined after it."""

MAX_KEPT_CHARS: Final = 65_536
"""What is kept because it may have to be read again; until then, nothing of it can be made text for good."""

LATE_TEXT_CHARS: Final = 128
"""What one more text costs then, however short, in characters."""

MAX_NOTES_CHARS: Final = 65_536
"""Footnotes of a document: they are all shown at its end, in one step."""

NOTE_LINE_CHARS: Final = 64
"""What one more line of a footnote costs then, however short, in characters."""
