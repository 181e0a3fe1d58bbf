"""Every DOM id of the page, in one place.

Fragments are applied by id, and safely so more than once: nothing is appended to an element. What comes takes the
place of an element that is then gone, and leaves the next such element behind it. A fragment that arrives twice, late,
or over two transports at once finds its target gone, and changes nothing.
"""

from __future__ import annotations

CHAT = "chat"
LIVE = "live"
COMPOSER = "composer"
DRAFT = "draft"
ATTACHED = "attached"
PROMPT = "prompt"
NOTICE = "notice"
STATUS = "status"
CONTROLS = "controls"
FALLBACK = "fallback"
PULSE = "pulse"
TITLE = "title"
PAGE_TITLE = "page-title"
LISTING = "listing"
PINNED = "pinned"
RECENT = "recent"
OLDER = "older"
EARLIER = "earlier"
UNDO = "undo"


def message(number: int) -> str:
    """The article of a message."""
    return f"m{number}"


def content(number: int) -> str:
    """The HTML of a reply; the ids within it begin with this one (see `webapp.markdown.MarkdownStream`)."""
    return f"r{number}"


def thoughts(number: int) -> str:
    """What a model thought before it wrote a reply."""
    return f"t{number}"


def thoughts_place(number: int, chars: int) -> str:
    """The place where a model's thoughts go on after so many characters."""
    return f"t{number}-{chars}"


def end(number: int) -> str:
    """What is said below a reply of its end."""
    return f"e{number}"


def listed(conversation_id: str) -> str:
    """A conversation in the list."""
    return f"c-{conversation_id}"


def found(conversation_id: str) -> str:
    """A conversation among those that a search, or the archive, has in the middle of the page."""
    return f"f-{conversation_id}"


def place_after(number: int) -> str:
    """The place in the transcript where whatever follows message `number` goes."""
    return f"after-{number}"
