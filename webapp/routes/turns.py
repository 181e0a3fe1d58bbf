"""The turn of a conversation: stopping it, trying it again."""

from __future__ import annotations

from contextlib import suppress

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from webapp import errors
from webapp.domain import ConversationId
from webapp.routes import answers
from webapp.routes.bodies import read_fields
from webapp.services import asking_page, reader, services


async def stop(request: Request) -> Response:
    """`DELETE /c/{id}/turn`, or its form twin `POST /c/{id}/turn/stop`; stopping what has ended is no error."""
    conversation_id = _id(request)
    with suppress(errors.TurnNotRunning):
        await services(request).turns.stop(reader(request), conversation_id)
    return _done(request, conversation_id)


async def retry(request: Request) -> Response:
    """`POST /c/{id}/turn/retry` with the `reply` to try again: another reply in its place; the old one is kept."""
    conversation_id = _id(request)
    number = str((await read_fields(request)).get("reply", ""))
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise errors.BadRequest('This request has no "reply" number in it.')
    await services(request).turns.retry(reader(request), conversation_id, int(number))
    return _done(request, conversation_id)


def _done(request: Request, conversation_id: ConversationId) -> Response:
    page = asking_page(request, conversation_id)
    if answers.is_htmx(request):
        # What changed comes by the feed, to every page of this conversation alike.
        return answers.fragments(request, page, services(request).renderer.render("fragments/notice.html", notice=""))
    if answers.wants_json(request) or request.method == "DELETE":
        return Response(status_code=204)
    return RedirectResponse(page.conversation_url, 303)


def _id(request: Request) -> ConversationId:
    return ConversationId(request.path_params["conversation_id"])
