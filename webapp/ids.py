"""Every DOM id of the page, in one place.

All begin with our name, since a chat may stand in a page of other people's, among ids of theirs.

Fragments are applied by id, and safely so more than once: nothing is appended to an element. What comes takes the
place of an element that is then gone, and leaves the next such element behind it. A fragment that arrives twice, late,
or over two transports at once finds its target gone, and changes nothing.
"""

from __future__ import annotations

INSET = "rill"
CHAT = "rill-chat"
LIVE = "rill-live"
COMPOSER = "rill-composer"
DRAFT = "rill-draft"
ATTACHED = "rill-attached"
PROMPT = "rill-prompt"
NOTICE = "rill-notice"
STATUS = "rill-status"
CONTROLS = "rill-controls"
FALLBACK = "rill-fallback"
PULSE = "rill-pulse"
TITLE = "rill-title"
PAGE_TITLE = "rill-page-title"
LISTING = "rill-listing"
PINNED = "rill-pinned"
RECENT = "rill-recent"
OLDER = "rill-older"
EARLIER = "rill-earlier"
UNDO = "rill-undo"
OPEN = "rill-open"
STOP = "rill-stop"
RETRY = "rill-retry"
CONTINUE = "rill-continue"
RATE = "rill-rate"
DELETE = "rill-delete"
BRANCH = "rill-branch"
ATTACH = "rill-attach"
DETACH = "rill-detach"
THUMB = "rill-thumb"
SETTLED = "rill-settled"
AGAIN = "rill-again"
REQUEST_ID = "rill-request-id"
EDITS = "rill-edits"
KEEP = "rill-keep"


def message(number: int) -> str:
    """The article of a message."""
    return f"rill-m{number}"


def content(number: int) -> str:
    """The HTML of a reply; the ids within it begin with this one (see `webapp.markdown.MarkdownStream`)."""
    return f"rill-r{number}"


def thoughts(number: int) -> str:
    """What a model thought before it wrote a reply."""
    return f"rill-t{number}"


def thoughts_place(number: int, chars: int) -> str:
    """The place where a model's thoughts go on after so many characters."""
    return f"rill-t{number}-{chars}"


def end(number: int) -> str:
    """What is said below a reply of its end."""
    return f"rill-e{number}"


def listed(conversation_id: str) -> str:
    """A conversation in the list."""
    return f"rill-c-{conversation_id}"


def found(conversation_id: str) -> str:
    """A conversation among those that a search, or the archive, has in the middle of the page."""
    return f"rill-f-{conversation_id}"


def place_after(number: int) -> str:
    """The place in the transcript where whatever follows message `number` goes."""
    return f"rill-after-{number}"
