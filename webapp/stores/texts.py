"""What the store makes of a text before it keeps it."""

from __future__ import annotations

import hashlib

from webapp.domain import RequestId

TITLE_MAX_CHARS = 60  # What a sidebar shows on one line.


def storable(text: str) -> str:
    """Give the text without what a database cannot hold: NUL is dropped, a lone surrogate becomes U+FFFD.

    PostgreSQL refuses NUL in text (its manual, section 8.3), and UTF-8 has no surrogates. Going through UTF-16 also
    joins a surrogate pair that arrived as two characters.
    """
    text = text.replace("\x00", "")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def title_from(prompt: str) -> str:
    """Make a title of a prompt's first words: one line, at most `TITLE_MAX_CHARS` characters, "…" where it was cut."""
    # Sixty words are more than sixty characters, so a long prompt need not be split to its end.
    line = " ".join(prompt.split(maxsplit=TITLE_MAX_CHARS))
    if len(line) <= TITLE_MAX_CHARS:
        return line
    whole_words = line[:TITLE_MAX_CHARS].rpartition(" ")[0]
    # Japanese, or a long URL, has hardly a space to cut at.
    kept = whole_words if len(whole_words) >= TITLE_MAX_CHARS // 2 else line[: TITLE_MAX_CHARS - 1]
    return kept.rstrip() + "…"


def request_key(request_id: RequestId, prompt: str) -> str:
    """Name one sending of one prompt; an edited prompt under the same request id gets another name."""
    # NUL cannot be in either part, so no two pairs give the same bytes.
    return hashlib.sha256(f"{storable(request_id)}\x00{storable(prompt)}".encode()).hexdigest()
