"""Chats in pages of other sites: how a visit begins, and what guards everything below its address."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from urllib.parse import urlencode

import structlog
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from webapp import errors
from webapp.domain import WHOLE, ConversationId, Place, ReaderId
from webapp.embeds import Embed
from webapp.feeds import snapshot
from webapp.insets import replaced
from webapp.languages import gettext as _
from webapp.routes import answers, conversations
from webapp.routes.conversations import PERSON_ASKED
from webapp.security import READING_POLICY, framed_policy
from webapp.services import asking_page, base, embed_of, is_inset, origin, reader, services
from webapp.snippets import snippets
from webapp.stores import Shelf
from webapp.visitors import name_of
from webapp.visits import FRAMES, INSETS, OperatorPass, Visit
from webapp.webhooks import Event, transcript
from webapp.wire import BegunVisit

log = structlog.get_logger()

PREFLIGHT_SECONDS = 600
INSET_METHODS = ("GET", "POST")
SAID_AT_ONCE = 20
PREVIEW_POLICY = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self'; frame-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The lines that it shows at work bring styles of their own, as in any page. Nothing of a reader's stands there."""


class VisitGate:
    """Lets a request or socket on to `app` as the reader whose visit its address names.

    It is mounted below `/e/{token}` for frames, or `/i/{token}` for insets, so all addresses of the pages in it go on
    with the token. Pure ASGI, and no coroutine: sockets wait for hours, and would keep its frame.
    """

    def __init__(self, app: ASGIApp, place: str) -> None:
        self._app, self._place = app, place

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        connection = HTTPConnection(scope)
        token = scope["path_params"]["token"]
        try:
            visit = services(connection).visits.read(token)
        except errors.EmbedNotFound as error:
            connection.state.has_no_cookie = True
            # In it is nothing of anybody's, and an inset has to be able to show it.
            headers = {"Access-Control-Allow-Origin": "*"} if self._place == INSETS else {}
            return _told(connection, base(connection), None, error, headers)(scope, receive, send)
        enter(connection, visit, base(connection).removesuffix(self._place + token), self._place)
        if self._place == FRAMES or scope["type"] == "websocket":
            return self._admitted(connection, visit)(scope, receive, send)
        shared = CORSMiddleware(
            self._admitted(connection, visit),
            allow_origins=visit.embed.origins,
            allow_methods=INSET_METHODS,
            allow_headers=["*"],
            max_age=PREFLIGHT_SECONDS,
        )
        return shared(scope, receive, send)

    def _admitted(self, connection: HTTPConnection, visit: Visit) -> ASGIApp:
        try:
            visit.require_open()
            visit.require_place(connection.scope["path"].removeprefix(base(connection)))
        except errors.RillError as error:
            return _told(connection, connection.state.outside, visit.embed, error)
        return _renewed(connection, visit) if visit.is_old and _is_page(connection) else self._app


def enter(connection: HTTPConnection, visit: Visit, outside: str, place: str) -> None:
    """Have a visitor ask, in a frame or in an inset; `outside` is the path that the app is mounted at."""
    state = connection.state
    state.visit, state.reader, state.has_no_cookie = visit, visit.reader, True
    state.outside, state.is_inset = outside, place == INSETS
    # Markup in a page of another origin has images, too.
    state.is_for_all = state.is_inset


class InsetGate:
    """Lets the readers of the app on to `app` from an inset, in a page of the app that this one is mounted in."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        connection = HTTPConnection(scope)
        connection.state.is_inset, connection.state.outside = True, base(connection).removesuffix("/inset")
        return self._app(scope, receive, send)


def _told(
    connection: HTTPConnection,
    outside: str,
    embed: Embed | None,
    error: errors.RillError,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Say in the frame of a chat why there is none, with the way to a new one if there can be one."""
    found = services(connection)
    is_shown = connection.scope["type"] == "http"
    if is_shown and answers.is_htmx(connection):
        body = found.renderer.render("fragments/notice.html", notice=error.sentence)
        return Response(body, error.status, headers, "text/html")
    if is_shown and answers.is_program(connection):
        return JSONResponse(error.as_json(), error.status, headers)
    if not is_shown or embed is None:
        return PlainTextResponse(f"{error.sentence}\n", error.status, headers)
    body = found.renderer.render(
        "pages/no_visit.html",
        base=outside,
        embed=embed,
        explanation=error.sentence,
        can_begin=isinstance(error, (errors.VisitEnded, errors.ConversationNotFound)),
        assets=found.assets,
    )
    return Response(body, error.status, {"Content-Security-Policy": framed_policy(embed.origins)}, "text/html")


def _is_page(connection: HTTPConnection) -> bool:
    """Tell whether somebody opens a page, or an inset, and no part of one: only they can change their address."""
    scope, headers = connection.scope, connection.headers
    if scope["type"] != "http" or scope["method"] != "GET":
        return False
    if is_inset(connection):
        return re.fullmatch(r"/(c/[^/]+)?", scope["path"].removeprefix(base(connection))) is not None
    return "text/html" in headers.get("accept", "") and "hx-request" not in headers


def _renewed(connection: HTTPConnection, visit: Visit) -> Response:
    """Send a page on to the same place under a new token."""
    fresh = services(connection).visits.renewed(visit)
    path = connection.scope["path"].removeprefix(base(connection))
    query = f"?{connection.url.query}" if connection.url.query else ""
    place = INSETS if is_inset(connection) else FRAMES
    return RedirectResponse(f"{connection.state.outside}{place}{fresh.token}{path}{query}", 303)


async def begin(request: Request) -> Response:
    """`GET /embed/{name}`: begin a visit, and show its chat. `?visitor=` introduces somebody, `?visit=` goes on.

    A frame is sent on to it; htmx gets the chat to put into its page, or, with `?as=frame` or an older version, a frame
    with it; a program gets the visit's address as JSON.
    """
    embed, is_htmx = _known_embed(request), answers.is_htmx(request)
    try:
        visit = await _visit(request, embed)
    except errors.RillError as error:
        if answers.is_program(request) and not is_htmx:
            raise
        log.info("embed.refused", embed=embed.name, cause=error.cause, detail=error.detail)
        # A frame says why, in any page.
        return _framed(request, embed, str(request.url)) if is_htmx else _told(request, base(request), embed, error)
    visits = services(request).visits
    visit = visits.at(visit, latest := await _latest(request, visit.reader))
    url = f"{base(request)}{FRAMES}{visit.token}/{f'c/{latest}' if latest else ''}"
    if answers.wants_json(request):
        told = BegunVisit(visit=visits.kept(visit), url=origin(request) + url, ends_at=visit.ends_at.isoformat())
        return JSONResponse(told, headers=_cors(request, embed))
    if is_htmx and _can_set_in(request):
        return await _set_in(request, visit)
    return _framed(request, embed, origin(request) + url) if is_htmx else RedirectResponse(url, 303)


def _can_set_in(request: Request) -> bool:
    """Tell whether htmx is one that an inset works with: its fourth version, which says so, with its SSE extension."""
    is_asked_for = request.query_params.get("as") != "frame"
    return is_asked_for and "hx-request-type" in request.headers and answers.wants_event_stream(request)


def _framed(request: Request, embed: Embed, url: str) -> Response:
    body = services(request).renderer.render("pages/frame.html", url=url, embed=embed)
    return Response(body, media_type="text/html", headers=_cors(request, embed))


async def _set_in(request: Request, visit: Visit) -> Response:
    """Show a visit's conversation, or a new one, as markup in the page that asks."""
    outside = base(request)
    inside = Request({**request.scope, "query_string": b"", "root_path": f"{outside}{INSETS}{visit.token}"})
    enter(inside, visit, outside, INSETS)
    inside.state.is_first = True
    response = await _shown(inside, visit.conversation_id)
    response.headers.update(_cors(request, visit.embed))
    return response


async def latest(request: Request) -> Response:
    """`GET /inset/latest`: what a reader of the app talked about last, or a new conversation."""
    try:
        return await _shown(request, await _latest(request, reader(request)))
    except errors.NotSignedIn as error:
        found, page = services(request), asking_page(request)
        told = {"page": page, "explanation": error.sentence, "assets": found.assets}
        return answers.html(page, replaced(found.renderer.render("pages/inset_refused.html", **told)))


async def _shown(request: Request, conversation_id: ConversationId | None) -> Response:
    if conversation_id is None:
        return await conversations.new(request)
    request.path_params["conversation_id"] = conversation_id
    return await conversations.show(request)


async def hand_over(request: Request) -> Response:
    """`POST /c/{id}/person`: ask the operator's people to come to a conversation, with all that was said in it."""
    embed, found = embed_of(request), services(request)
    if embed is None or not embed.handover:
        raise errors.NotFound
    conversation_id = ConversationId(request.path_params["conversation_id"])
    now = (await snapshot(found.turns, reader(request), conversation_id, WHOLE)).conversation
    told = {"messages": transcript(now.messages)}
    # Whoever asks twice without having said anything new is asked for once.
    await found.webhooks.tell(embed, Event.HANDOVER_ASKED, now, told, once=str(now.last_number))
    page = asking_page(request, conversation_id)
    body = found.renderer.render("fragments/notice.html", notice=_(PERSON_ASKED)) if answers.is_htmx(request) else ""
    return answers.done(request, page, f"{page.conversation_url}?asked=person", body)


async def said(request: Request) -> Response:
    """`GET /embed/{name}/conversations?pass=...`: what visitors have said, for an operator who has the address."""
    request.state.has_no_cookie = True
    found, name = services(request), request.path_params["name"]
    shown_pass = request.query_params.get("pass", "")
    embed = found.embeds.all().get(name)
    if embed is None or not OperatorPass(found.secret).is_good(shown_pass, name):
        raise errors.NotFound
    after = Place.parse(request.query_params.get("after", ""))
    page = await found.visitors.conversations(embed.owner_prefix, SAID_AT_ONCE + 1, after)
    shown = page[:SAID_AT_ONCE]
    last = shown[-1][1].listed.place if len(page) > len(shown) else None
    body = found.renderer.render(
        "pages/said.html",
        base=base(request),
        title=embed.title or embed.name,
        conversations=[(visitor, await found.turns.rendered(conversation)) for visitor, conversation in shown],
        following=f"?{urlencode({'pass': shown_pass, 'after': last})}" if last else "",
        assets=found.assets,
    )
    return Response(body, headers={"Content-Security-Policy": READING_POLICY}, media_type="text/html")


async def allow(request: Request) -> Response:
    """`OPTIONS /embed/{name}`: tell a browser whether the page that asks may have this chat."""
    headers = _cors(request, _known_embed(request))
    if "Access-Control-Allow-Origin" not in headers:
        return PlainTextResponse("This page's origin is not in the embed's list.\n", 403, headers)
    asked = request.headers.get("access-control-request-headers", "")
    allowed = {"Access-Control-Allow-Headers": asked, "Access-Control-Max-Age": str(PREFLIGHT_SECONDS)}
    return Response(status_code=204, headers={**headers, "Access-Control-Allow-Methods": "GET", **allowed})


async def preview(request: Request) -> Response:
    """`GET /embed/{name}/preview`: the lines for pages that are to have a chat, and what they make of a page."""
    embed, found = _embed(request), services(request)
    title = embed.title or found.brand.name
    url = f"{origin(request)}{base(request)}/embed/{embed.name}"
    body = found.renderer.render(
        "pages/embed_preview.html",
        base=base(request),
        title=title,
        snippets=snippets(url, title, *found.brand.button_colors),
        origins=embed.origins,
        assets=found.assets,
    )
    headers = {"Content-Security-Policy": PREVIEW_POLICY, "X-Robots-Tag": "noindex"}
    return Response(body, headers=headers, media_type="text/html")


def _embed(request: Request) -> Embed:
    return services(request).embeds.find(_known_embed(request).name)


def _known_embed(request: Request) -> Embed:
    """Give the embed of an address; it may rest."""
    request.state.has_no_cookie = True
    embed = services(request).embeds.all().get(request.path_params["name"])
    if embed is None:
        raise errors.EmbedNotFound
    return embed


async def _visit(request: Request, embed: Embed) -> Visit:
    """Begin a visit of somebody whom the site introduces; or go on with one that has not ended; or begin one."""
    found = services(request)
    found.embeds.find(embed.name)
    if (token := request.query_params.get("visitor")) is not None:
        visitor = found.introductions.read(embed, token)
        visit = found.visits.begin(embed, name_of(visitor))
        await found.visitors.keep(visit.reader, visitor)
        return visit
    with suppress(errors.EmbedNotFound, errors.VisitEnded, errors.NotSignedIn):
        visit = found.visits.read_kept(request.query_params.get("visit", ""))
        visit.require_open()
        if visit.embed.name == embed.name:
            return found.visits.renewed(visit)
    if embed.known_only:
        raise errors.NotSignedIn
    return found.visits.begin(embed)


async def _latest(request: Request, owner: ReaderId) -> ConversationId | None:
    """Give what a reader talked about last."""
    listed = await services(request).lists.catalog.page(owner, Shelf.RECENT, 1)
    return listed[0].id if listed else None


def _cors(request: Request, embed: Embed) -> dict[str, str]:
    """Let pages of the listed origins read the answer, and no others."""
    asking = request.headers.get("origin", "").lower()
    headers = {"Vary": "Origin"}
    if asking in embed.origins:
        headers |= {"Access-Control-Allow-Origin": asking, "Cross-Origin-Resource-Policy": "cross-origin"}
    return headers
