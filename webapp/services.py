"""What every route and transport needs, put together once when the app starts."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from starlette.requests import HTTPConnection

from webapp.assets import THEMES, Assets
from webapp.assistants import Assistants
from webapp.attachments import Attachments
from webapp.branding import Brand
from webapp.domain import KEY_READER, ConversationId, ReaderId
from webapp.embeds import Embed, Embeds
from webapp.errors import NotSignedIn, StoreUnavailable
from webapp.exports import Exports
from webapp.images import Images
from webapp.imports import Imports
from webapp.lists import Lists
from webapp.pages import Page
from webapp.providers import Provider
from webapp.quotas import Quotas
from webapp.rendering import Renderer
from webapp.replies import ReplyRenderer
from webapp.settings import Settings
from webapp.stores import KeyStore, ShareStore, Store, VisitorStore, Workshop
from webapp.turns import Turns
from webapp.visitors import Introductions
from webapp.visits import FRAMES, INSETS, Visit, Visits
from webapp.webhooks import Webhooks

SCRIPTS_COOKIE = "rill_scripts"
"""Says "off" for a browser that was seen to run no scripts; its pages stream a running reply in themselves."""


THEME_COOKIE = "rill_theme"


@dataclass(frozen=True, slots=True)
class Services:
    settings: Settings
    secret: str
    store: Store
    provider: Provider
    renderer: Renderer
    replies: ReplyRenderer
    images: Images
    turns: Turns
    lists: Lists
    assistants: Assistants
    workshop: Workshop
    attachments: Attachments
    exports: Exports
    imports: Imports
    shares: ShareStore
    embeds: Embeds
    visits: Visits
    quotas: Quotas
    introductions: Introductions
    visitors: VisitorStore
    webhooks: Webhooks
    keys: KeyStore
    brand: Brand
    assets: Assets

    def require_visit(self, page: Page) -> None:
        """Raise `VisitEnded`, `EmbedNotFound` or `NotSignedIn` if a page that is open may go on no longer."""
        if page.visit is not None:
            self.visits.now(page.visit).require_open()

    async def require_reader(self, reader: ReaderId) -> None:
        """Raise `ProgramKeyUnknown` if a program that follows a feed may do so no longer."""
        if reader.startswith(KEY_READER):
            # A database that fails is no reason to send somebody away who was let in.
            with suppress(StoreUnavailable):
                await self.keys.require(reader)

    @contextmanager
    def admitted(self, embed: Embed | None, owner: ReaderId, sending: str | None = None) -> Iterator[None]:
        """Begin a turn within this, if there are limits to that. Raises `QuotaReached`; see `Quotas.taken`."""
        if embed is None:
            yield
            return
        with self.quotas.taken(self.embeds.find(embed.name), owner, self.turns.count_running, sending):
            yield


def services(connection: HTTPConnection) -> Services:
    """The services of the app that a request or socket came to."""
    found = connection.app.state.services
    if not isinstance(found, Services):
        raise TypeError("the app was asked before its lifespan began")
    return found


def reader(connection: HTTPConnection) -> ReaderId:
    """Who asks: an embed's visitor, or whom the `Guard` read from a key or cookie, or minted, and will now give one.

    Raises `NotSignedIn` where the app around this one knows nobody.
    """
    connection.state.is_reader_known = True
    if connection.state.reader is None:
        raise NotSignedIn
    return ReaderId(connection.state.reader)


def base(connection: HTTPConnection) -> str:
    """Give the path that the app is mounted at."""
    return str(connection.scope.get("root_path", ""))


def origin(connection: HTTPConnection) -> str:
    """Give the scheme, host and port that the app was asked at."""
    scheme = {"ws": "http", "wss": "https"}.get(connection.url.scheme, connection.url.scheme)
    return f"{scheme}://{connection.headers['host']}"


def embed_of(connection: HTTPConnection) -> Embed | None:
    """Give the embed that a page of another site's shows, `None` on a page of our own."""
    visit = _visit(connection)
    return visit.embed if visit else None


def _visit(connection: HTTPConnection) -> Visit | None:
    return getattr(connection.state, "visit", None)


def is_inset(connection: HTTPConnection) -> bool:
    """Tell whether what asks is a chat in a page of other people's."""
    return bool(getattr(connection.state, "is_inset", False))


def is_alone(connection: HTTPConnection) -> bool:
    """Tell whether what asks shows no list (see `Page.is_alone`)."""
    return embed_of(connection) is not None or is_inset(connection)


def new_page(
    connection: HTTPConnection,
    conversation_id: ConversationId | None = None,
    *,
    since: int = 0,
    switches: int = 0,
    listed: int = 0,
) -> Page:
    """A page that is about to be sent."""
    return _page(connection, conversation_id, None, since, switches, listed)


def asking_page(connection: HTTPConnection, conversation_id: ConversationId | None = None) -> Page:
    """The page that sent a request or opened a socket, by the cursor in its URL.

    What goes down a socket carries the page's own nonce. An HTTP answer carries a nonce of its own, which htmx rewrites
    to the page's; it takes the page's nonce in an answer for a stolen one, and blocks what carries it.
    """
    asked = connection.query_params
    since, switches = _count(asked.get("since", "")), _count(asked.get("switches", ""))
    listed = _count(asked["listed"]) if "listed" in asked else None
    page = _page(connection, conversation_id, asked.get("page", "")[:64] or None, since, switches, listed)
    return page if connection.scope["type"] == "websocket" else replace(page, nonce=secrets.token_urlsafe(18))


def _count(digits: str) -> int:
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 18 else 0


def _page(
    connection: HTTPConnection,
    conversation_id: ConversationId | None,
    name: str | None,
    since: int,
    switches: int,
    listed: int | None,
) -> Page:
    start = origin(connection) if is_inset(connection) else ""
    outside = start + getattr(connection.state, "outside", base(connection))
    here, framed, visit = start + base(connection), outside, _visit(connection)
    if visit is not None:
        visit = services(connection).visits.at(visit, conversation_id)
        framed = f"{outside}{FRAMES}{visit.token}"
        here = f"{outside}{INSETS}{visit.token}" if is_inset(connection) else framed
    return Page.make(
        base=here,
        origin=origin(connection),
        secret=services(connection).secret,
        reader=ReaderId("") if connection.state.reader is None else reader(connection),
        conversation_id=conversation_id,
        name=name,
        since=since,
        switches=switches,
        listed=listed,
        theme=visit.embed.theme if visit else read_theme(connection.cookies.get(THEME_COOKIE)),
        visit=visit,
        static_url=f"{outside}/static",
        is_inset=is_inset(connection),
        framed_base=framed,
    )


def read_theme(value: object) -> str:
    """Read a theme's name; what is none is the reader's system's."""
    return value if isinstance(value, str) and value in THEMES else ""
