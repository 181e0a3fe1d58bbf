"""Every DOM id and marker of the page, in one place.

Fragments are applied by id, and safely so more than once: text is not appended to an element but put in the place of a
marker that carries the fragment's index and leaves the next marker behind it. A fragment that arrives twice, late, or
over two transports at once finds its marker gone, and changes nothing.
"""

from __future__ import annotations

CHAT = "chat"
LIVE = "live"
COMPOSER = "composer"
DRAFT = "draft"
PROMPT = "prompt"
NOTICE = "notice"
STATUS = "status"
CONTROLS = "controls"
FALLBACK = "fallback"
PULSE = "pulse"


def message(number: int) -> str:
    """The article of a message."""
    return f"m{number}"


def marker(number: int, index: int) -> str:
    """The place in a running reply where its fragment `index` goes."""
    return f"m{number}-{index}"


def place_after(number: int) -> str:
    """The place in the transcript where whatever follows message `number` goes."""
    return f"after-{number}"
