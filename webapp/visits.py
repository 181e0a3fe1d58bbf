"""Visits: what stands in the addresses of an embedded page in the place of a cookie.

A token is signed, and ends. That of an address names an embed, a visitor and one conversation, or a new one: whoever
has it can read and write this conversation, begin others, and nothing else. That which a site keeps leads to whatever
its visitor talked about last; it is no part of an address, and no address leads to it. Neither says anything that its
holder may not know.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from itsdangerous import BadSignature, URLSafeTimedSerializer

from webapp import errors
from webapp.domain import ConversationId, ReaderId
from webapp.embeds import Embed, Embeds
from webapp.visitors import is_known

VISIT_LASTS = timedelta(hours=24)
"""From when its token was made; each page that is opened after an hour gets a new one."""
VISIT_RENEWS = timedelta(hours=1)
PASS_LASTS = timedelta(hours=8)
LONGEST_VISIT = timedelta(days=7)
"""From its first token, however often that was renewed: so long is a stolen address good at most."""
MAX_TOKEN_CHARS = 400
FRAMES, INSETS = "/e/", "/i/"
"""What the addresses of visits begin with: in a frame, and in an inset."""
_VISITOR_BYTES = 16


@dataclass(frozen=True, slots=True)
class Visit:
    """One visitor at one conversation in one embed, by a token made at a moment, in a visit that began at another.

    Without a conversation it is a new one. `token` is that of an address.
    """

    token: str
    embed: Embed
    visitor: str
    made_at: datetime
    begun_at: datetime
    conversation_id: ConversationId | None = None

    @property
    def reader(self) -> ReaderId:
        return self.embed.reader(self.visitor)

    @property
    def ends_at(self) -> datetime:
        return min(self.made_at + VISIT_LASTS, self.begun_at + LONGEST_VISIT)

    @property
    def has_ended(self) -> bool:
        return datetime.now(UTC) >= self.ends_at

    @property
    def is_old(self) -> bool:
        """Whether the next page should get a new token."""
        return datetime.now(UTC) >= self.made_at + VISIT_RENEWS

    def require_open(self) -> None:
        """Raise `EmbedNotFound` for a resting embed, `VisitEnded`, or `NotSignedIn` if only known visitors may come."""
        if not self.embed.enabled:
            raise errors.EmbedNotFound
        if self.has_ended:
            raise errors.VisitEnded
        if self.embed.known_only and not is_known(self.visitor):
            raise errors.NotSignedIn

    def require_place(self, path: str) -> None:
        """Raise `ConversationNotFound` for a path below the token's, if it is that of another conversation."""
        start, _, rest = path.removeprefix("/").partition("/")
        if start == "c" and rest.partition("/")[0] != self.conversation_id:
            raise errors.ConversationNotFound


@dataclass(frozen=True, slots=True)
class Guests:
    """Tells whose pages may use an address: that of an inset's visit, those that its embed lists.

    In a frame, a form comes from "null" where a browser does not say more: its pages tell nobody their address. Such an
    address is no other site's to know, and whoever knows it needs no page.
    """

    visits: Visits

    def __call__(self, path: str) -> tuple[str, ...]:
        if path.startswith(FRAMES):
            return ("null",)
        if not path.startswith(INSETS):
            return ()
        try:
            return self.visits.read(path.removeprefix(INSETS).partition("/")[0]).embed.origins
        except errors.EmbedNotFound:
            return ()


class OperatorPass:
    """Makes and reads what lets an operator see what was said in an embed: part of an address that a command prints."""

    def __init__(self, secret: str) -> None:
        self._serializer = _serializer(secret, "operator")

    def make(self, embed_name: str) -> str:
        return str(self._serializer.dumps(embed_name))

    def is_good(self, text: str, embed_name: str) -> bool:
        """Tell whether this was made for that embed, not too long ago."""
        try:
            seconds = PASS_LASTS.total_seconds()
            return bool(self._serializer.loads(text[:MAX_TOKEN_CHARS], max_age=int(seconds)) == embed_name)
        except BadSignature:
            return False


def _serializer(secret: str, salt: str) -> URLSafeTimedSerializer:
    signer = {"digest_method": hashlib.sha256, "key_derivation": "hmac"}
    return URLSafeTimedSerializer(secret, salt=salt, signer_kwargs=signer)


class Visits:
    """Makes tokens and reads them."""

    def __init__(self, secret: str, embeds: Embeds) -> None:
        self.embeds = embeds
        self._addresses, self._keepsakes = _serializer(secret, "address"), _serializer(secret, "visit")

    def begin(self, embed: Embed, visitor: str | None = None) -> Visit:
        """Begin a visit, at a new conversation: of somebody new, or of a visitor who is known."""
        return self._make(embed, visitor or secrets.token_urlsafe(_VISITOR_BYTES), datetime.now(UTC), None)

    def renewed(self, visit: Visit) -> Visit:
        """Go on with a visit, where it is, by a new token."""
        return self._make(visit.embed, visit.visitor, visit.begun_at, visit.conversation_id)

    def at(self, visit: Visit, conversation_id: ConversationId | None) -> Visit:
        """Go on with a visit at a conversation, which has to be its visitor's, or at a new one."""
        if conversation_id == visit.conversation_id:
            return visit
        return self._make(visit.embed, visit.visitor, visit.begun_at, conversation_id)

    def now(self, visit: Visit) -> Visit:
        """Give a visit with its embed as that is now. Raises `EmbedNotFound`."""
        embed = self.embeds.all().get(visit.embed.name)
        if embed is None:
            raise errors.EmbedNotFound
        return replace(visit, embed=embed)

    def _make(self, embed: Embed, visitor: str, begun_at: datetime, conversation_id: ConversationId | None) -> Visit:
        token = self._addresses.dumps([embed.name, visitor, int(begun_at.timestamp()), conversation_id])
        return Visit(str(token), embed, visitor, datetime.now(UTC), begun_at, conversation_id)

    def read(self, token: str) -> Visit:
        """Read an address's token; see `Visit.require_open`. Raises `EmbedNotFound` for one that was not made here."""
        return self._read(self._addresses, token)

    def kept(self, visit: Visit) -> str:
        """Make the token by which a site goes on with a visit."""
        return str(self._keepsakes.dumps([visit.embed.name, visit.visitor, int(visit.begun_at.timestamp()), None]))

    def read_kept(self, token: str) -> Visit:
        """Read a token that a site kept, at a new conversation. Raises `EmbedNotFound` for one not made for that."""
        return self._read(self._keepsakes, token)

    def _read(self, serializer: URLSafeTimedSerializer, token: str) -> Visit:
        try:
            payload, made_at = serializer.loads(token[: MAX_TOKEN_CHARS + 1], return_timestamp=True)
            name, visitor, begun, conversation_id = payload
            embed, begun_at = self.embeds.all()[name], datetime.fromtimestamp(begun, UTC)
        except (BadSignature, ValueError, TypeError, KeyError) as error:
            raise errors.EmbedNotFound from error
        return Visit(token, embed, visitor, made_at, begun_at, conversation_id)
