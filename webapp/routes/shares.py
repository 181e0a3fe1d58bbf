"""Shared conversations: their owner's page about the link, and the page that anybody with the link reads."""

from __future__ import annotations

from datetime import UTC, datetime

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from webapp import errors
from webapp.domain import Conversation, ConversationId, Role, ShareToken
from webapp.languages import gettext as _
from webapp.rendering import Parts
from webapp.routes import answers
from webapp.security import READING_POLICY
from webapp.services import THEME_COOKIE, Services, asking_page, base, new_page, origin, read_theme, reader, services

MAX_DESCRIPTION_CHARS = 200
"""As much as those who show a link's preview show of it."""


async def show(request: Request) -> Response:
    """`GET /c/{id}/share`: whether a conversation is shared, and what its owner can do about that."""
    owner, found, conversation_id = reader(request), _required(request), _id(request)
    listed = await found.lists.catalog.find(owner, conversation_id)
    share = await found.shares.find(owner, conversation_id)
    listing = await found.lists.listing(owner)
    page = new_page(request, listed=listing.version)
    body = found.renderer.render(
        "pages/share.html",
        page=page,
        title=_("Share a conversation"),
        listed=listed,
        share=share,
        url=share and _url(request, share.token),
        notice="",
        query="",
        listing=listing,
        now=datetime.now(UTC),
        assets=found.assets,
    )
    return answers.html(page, body)


async def share(request: Request) -> Response:
    """`POST /c/{id}/share`: let anybody with the link read the conversation as it is now."""
    shared = await _required(request).shares.share(reader(request), _id(request))
    if answers.is_program(request):
        return JSONResponse({"url": _url(request, shared.token)}, 201)
    return RedirectResponse(_own_url(request), 303)


async def take_back(request: Request) -> Response:
    """`DELETE /c/{id}/share`, and its form twin `POST /c/{id}/share/end`: have the link lead nowhere."""
    await _required(request).shares.take_back(reader(request), _id(request))
    return answers.done(request, asking_page(request, _id(request)), _own_url(request))


async def read(request: Request) -> Response:
    """`GET /s/{token}`: a conversation as it was shared. Nobody is known here, and nobody gets a cookie."""
    request.state.has_no_cookie = True
    found = _required(request)
    shared, conversation = await found.shares.conversation(ShareToken(request.path_params["token"]))
    conversation = await found.turns.rendered(conversation)
    body = found.renderer.render(
        "pages/shared.html",
        base=base(request),
        url=_url(request, shared.token),
        theme=read_theme(request.cookies.get(THEME_COOKIE)),
        title=conversation.title,
        description=_description(conversation),
        shared_at=shared.shared_at,
        parts=Parts(settled=conversation.messages),
        assets=found.assets,
    )
    return HTMLResponse(body, headers={"Content-Security-Policy": READING_POLICY, "X-Robots-Tag": "noindex"})


def _description(conversation: Conversation) -> str:
    """Give the beginning of the first reply as plain text."""
    replies = (each.rendering for each in conversation.messages if each.role is Role.ASSISTANT and each.rendering)
    first = next(replies, None)
    text = Markup(first.html).striptags() if first else ""  # noqa: S704  # To take what is markup out of it.
    return text if len(text) <= MAX_DESCRIPTION_CHARS else text[: MAX_DESCRIPTION_CHARS - 1] + "…"


def _required(request: Request) -> Services:
    found = services(request)
    if not found.settings.rill_sharing:
        raise errors.NotFound
    return found


def _url(request: Request, token: ShareToken) -> str:
    return f"{origin(request)}{base(request)}/s/{token}"


def _own_url(request: Request) -> str:
    return f"{asking_page(request, _id(request)).conversation_url}/share"


def _id(request: Request) -> ConversationId:
    return ConversationId(request.path_params["conversation_id"])
