"""Visitors of embeds, as the sites that they come from know them: by a JSON Web Token signed with the embed's secret.

Source: RFC 7519, and RFC 8725 on what to check. Only HS256 is taken, `aud` is the embed's name, and `exp` has to be
near: a token is written into a page for one visitor, and is worth nothing soon after.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from typing import Any

import jwt

from webapp import errors
from webapp.domain import Visitor
from webapp.embeds import Embed
from webapp.stores.texts import storable
from webapp.text import clean, one_line, without_tags

LONGEST_LIFE_SECONDS = 600
LEEWAY_SECONDS = 10
"""Two servers' clocks differ by so much."""
MAX_SUBJECT_CHARS = 200
MAX_NAME_CHARS = 100
MAX_CONTEXT_CHARS = 2_000
_KNOWN = "known."
_REQUIRED = ("sub", "aud", "iat", "exp")


class Introductions:
    """Reads tokens by which sites introduce their visitors. One that has a `jti` is taken once by this process."""

    def __init__(self) -> None:
        self._used: dict[str, float] = {}

    def read(self, embed: Embed, token: str) -> Visitor:
        """Read who a visitor is. Raises `VisitorRefused`, whose detail says why."""
        if embed.secret is None:
            raise errors.VisitorRefused(detail=f"The embed {embed.name} has no secret.")
        try:
            claims = jwt.decode(
                token,
                embed.secret.get_secret_value(),
                algorithms=["HS256"],
                audience=embed.name,
                leeway=LEEWAY_SECONDS,
                options={"require": list(_REQUIRED)},
            )
        except jwt.InvalidTokenError as error:
            raise errors.VisitorRefused(detail=f"{type(error).__name__}: {error}") from error
        self._require_fresh(embed, claims)
        if not claims["sub"] or claims["sub"] != storable(str(claims["sub"])):
            raise errors.VisitorRefused(detail="Its sub is empty, or no text that can be stored.")
        return Visitor(
            _text(claims, "sub", MAX_SUBJECT_CHARS),
            one_line(_text(claims, "name", MAX_NAME_CHARS)),
            without_tags(clean(_text(claims, "context", MAX_CONTEXT_CHARS))).strip(),
        )

    def _require_fresh(self, embed: Embed, claims: Mapping[str, Any]) -> None:
        if not all(isinstance(claims[name], int | float) for name in ("iat", "exp")):
            raise errors.VisitorRefused(detail="Its iat and exp are no numbers.")
        now = time.time()
        if claims["exp"] - claims["iat"] > LONGEST_LIFE_SECONDS:
            raise errors.VisitorRefused(detail=f"It is good for more than {LONGEST_LIFE_SECONDS} s.")
        self._used = {key: until for key, until in self._used.items() if until > now}
        if "jti" in claims:
            key = f"{embed.name}:{_text(claims, 'jti', MAX_SUBJECT_CHARS)}"
            if key in self._used:
                raise errors.VisitorRefused(detail="It was used before.")
            self._used[key] = claims["exp"] + LEEWAY_SECONDS


def name_of(visitor: Visitor) -> str:
    """Name a known visitor within an embed: always alike, and never as one of whom nothing is known."""
    return f"{_KNOWN}{hashlib.sha256(visitor.subject.encode()).hexdigest()[:32]}"


def is_known(name: str) -> bool:
    """Tell whether `name_of` gave this name."""
    return name.startswith(_KNOWN)


def about(visitor: Visitor) -> str:
    """Tell a model who it talks to; nothing, if that is not known."""
    lines = [f"Name: {visitor.name}"] if visitor.name else []
    lines += [visitor.context] if visitor.context else []
    if not lines:
        return ""
    return "\n".join(["This is known of the person who writes to you, by the site that they are on:", *lines])


def _text(claims: Mapping[str, Any], name: str, most_chars: int) -> str:
    value = claims.get(name, "")
    if not isinstance(value, str) or len(value) > most_chars:
        raise errors.VisitorRefused(detail=f"Its {name} is no text of at most {most_chars} characters.")
    return value
