"""Chats in pages of other sites: how a visit begins, and what guards everything below its address."""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import suppress
from urllib.parse import urlencode

import structlog
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from webapp import errors
from webapp.domain import WHOLE, ConversationId, Place
from webapp.embeds import Embed
from webapp.feeds import snapshot
from webapp.languages import gettext as _
from webapp.routes import answers
from webapp.routes.conversations import PERSON_ASKED
from webapp.security import READING_POLICY, framed_policy
from webapp.services import asking_page, base, embed_of, origin, reader, services
from webapp.snippets import snippets
from webapp.stores import Shelf
from webapp.visitors import name_of
from webapp.visits import OperatorPass, Visit
from webapp.webhooks import Event, transcript

log = structlog.get_logger()

PREFLIGHT_SECONDS = 600
SAID_AT_ONCE = 20
PREVIEW_POLICY = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self'; frame-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The lines that it shows at work bring styles of their own, as in any page. Nothing of a reader's stands there."""


class VisitGate:
    """Lets a request or socket on to `app` as the reader whose visit its address names.

    It is mounted below `/e/{token}`, so all addresses of the pages in it go on with the token. Pure ASGI, and no
    coroutine: sockets wait for hours, and would keep its frame.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        connection = HTTPConnection(scope)
        token = scope["path_params"]["token"]
        connection.state.has_no_cookie = True
        connection.state.outside = base(connection).removesuffix(f"/e/{token}")
        try:
            visit = services(connection).visits.read(token)
        except errors.EmbedNotFound as error:
            return PlainTextResponse(f"{error.sentence}\n", error.status)(scope, receive, send)
        try:
            visit.require_open()
        except errors.RillError as error:
            return _told(connection, connection.state.outside, visit.embed, error)(scope, receive, send)
        connection.state.visit, connection.state.reader = visit, visit.reader
        if visit.is_old and _is_page(scope):
            return _renewed(connection, visit)(scope, receive, send)
        return self._app(scope, receive, send)


def _told(connection: HTTPConnection, outside: str, embed: Embed, error: errors.RillError) -> Response:
    """Say in the frame of a chat why there is none, with the way to a new one if one has ended."""
    if connection.scope["type"] == "websocket":
        return PlainTextResponse(error.sentence, error.status)
    found = services(connection)
    if connection.headers.get("hx-request") == "true":
        body = found.renderer.render("fragments/notice.html", notice=error.sentence)
        return Response(body, error.status, media_type="text/html")
    body = found.renderer.render(
        "pages/no_visit.html",
        base=outside,
        embed=embed,
        explanation=error.sentence,
        has_ended=isinstance(error, errors.VisitEnded),
        assets=found.assets,
    )
    return Response(body, error.status, {"Content-Security-Policy": framed_policy(embed.origins)}, "text/html")


def _is_page(scope: Scope) -> bool:
    """Tell whether somebody opens a page, and no part of one: only pages can change their address."""
    headers = Headers(scope=scope)
    asks_for_html = "text/html" in headers.get("accept", "") and "hx-request" not in headers
    return scope["type"] == "http" and scope["method"] == "GET" and asks_for_html


def _renewed(connection: HTTPConnection, visit: Visit) -> Response:
    """Send a page on to the same place under a new token."""
    fresh = services(connection).visits.renewed(visit)
    path = connection.scope["path"].removeprefix(base(connection))
    query = f"?{connection.url.query}" if connection.url.query else ""
    return RedirectResponse(f"{connection.state.outside}/e/{fresh.token}{path}{query}", 303)


async def begin(request: Request) -> Response:
    """`GET /embed/{name}`: begin a visit, and show its chat. `?visitor=` introduces somebody, `?visit=` goes on.

    A frame is sent on to it; htmx gets a frame to put into its page; a program gets the visit's address as JSON.
    """
    embed = _known_embed(request)
    try:
        visit = await _visit(request, embed)
    except (errors.VisitorRefused, errors.NotSignedIn, errors.EmbedNotFound) as error:
        if answers.is_program(request):
            raise
        log.info("embed.refused", embed=embed.name, cause=error.cause, detail=error.detail)
        return _told(request, base(request), embed, error)
    url = f"{base(request)}/e/{visit.token}/{await _latest(request, visit)}"
    if answers.wants_json(request):
        about = {"visit": visit.token, "url": origin(request) + url, "ends_at": visit.ends_at.isoformat()}
        return JSONResponse(about, headers=_cors(request, embed))
    if answers.is_htmx(request):
        body = services(request).renderer.render("pages/frame.html", url=origin(request) + url, embed=embed)
        return Response(body, media_type="text/html", headers=_cors(request, embed))
    return RedirectResponse(url, 303)


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
    embed = _embed(request)
    headers = _cors(request, embed)
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
        visit = found.visits.read(request.query_params.get("visit", ""))
        visit.require_open()
        if visit.embed.name == embed.name:
            return found.visits.renewed(visit)
    if embed.known_only:
        raise errors.NotSignedIn
    return found.visits.begin(embed)


async def _latest(request: Request, visit: Visit) -> str:
    """Give the place of what a visitor talked about last, below the visit's address; none before the first."""
    listed = await services(request).lists.catalog.page(visit.reader, Shelf.RECENT, 1)
    return f"c/{listed[0].id}" if listed else ""


def _cors(request: Request, embed: Embed) -> dict[str, str]:
    """Let pages of the listed origins read the answer, and no others."""
    asking = request.headers.get("origin", "").lower()
    headers = {"Vary": "Origin"}
    if asking in embed.origins:
        headers |= {"Access-Control-Allow-Origin": asking, "Cross-Origin-Resource-Policy": "cross-origin"}
    return headers
