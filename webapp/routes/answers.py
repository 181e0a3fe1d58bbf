"""One shape of answer for each kind of asker: htmx gets fragments, programs JSON, browsers a page."""

from __future__ import annotations

import structlog
from markupsafe import escape
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from webapp import errors, ids
from webapp.insets import fitted
from webapp.pages import Page
from webapp.security import DEFAULT_HEADERS
from webapp.services import SCRIPTS_COOKIE, asking_page, services
from webapp.wire import Failure

log = structlog.get_logger()


def is_htmx(request: HTTPConnection) -> bool:
    return request.headers.get("hx-request") == "true"


def wants_ndjson(request: HTTPConnection) -> bool:
    return "application/x-ndjson" in request.headers.get("accept", "") or request.query_params.get("format") == "json"


def wants_json(request: HTTPConnection) -> bool:
    return wants_ndjson(request) or "application/json" in request.headers.get("accept", "")


def wants_event_stream(request: HTTPConnection) -> bool:
    return "text/event-stream" in request.headers.get("accept", "")


def is_program(request: HTTPConnection) -> bool:
    return wants_json(request) or wants_event_stream(request)


def html(page: Page, body: str, status: int = 200) -> HTMLResponse:
    """Answer with a page, or with fragments whose nonces htmx rewrites to the page's own."""
    return HTMLResponse(fitted(page, body), status, headers={"Content-Security-Policy": page.content_security_policy})


def fragments(request: Request, page: Page, body: str, status: int = 200) -> HTMLResponse:
    """Answer htmx with fragments; a browser that sends these runs scripts after all."""
    response = html(page, body, status)
    if SCRIPTS_COOKIE in request.cookies:
        response.delete_cookie(SCRIPTS_COOKIE, path="/")
    return response


def done(request: Request, page: Page, url: str, body: str = "") -> Response:
    """Answer for what has been done: htmx with what it changes, or nothing but that the notice is over."""
    if is_htmx(request):
        return fragments(request, page, body or services(request).renderer.render("fragments/notice.html", notice=""))
    if is_program(request) or request.method == "DELETE":
        return Response(status_code=204)
    return RedirectResponse(url, 303)


async def refused(request: Request, error: Exception) -> Response:
    """Answer a `RillError` in the asker's own form, with its true status."""
    if not isinstance(error, errors.RillError):
        raise error
    if error.detail:
        log.warning("request.refused", cause=error.cause, detail=error.detail)
    page = asking_page(request, request.path_params.get("conversation_id"))
    if is_htmx(request):
        body = services(request).renderer.render("fragments/refusal.html", page=page, notice=error.sentence)
        return fragments(request, page, body, error.status)
    if is_program(request):
        return JSONResponse(error.as_json(), error.status)
    return _error_page(request, page, error)


async def not_found(request: Request, error: Exception) -> Response:
    """Answer for an address that no route has."""
    return await refused(request, errors.NotFound())


async def method_not_allowed(request: Request, error: Exception) -> Response:
    return await refused(request, errors.MethodNotAllowed())


def _error_page(request: Request, page: Page, error: errors.RillError) -> HTMLResponse:
    found = services(request)
    body = found.renderer.render(
        "pages/error.html",
        page=page,
        explanation=error.sentence,
        status=error.status,
        # A site's visitors have no business in the operator's own chat.
        can_begin=not isinstance(error, errors.EmbedNotFound),
        assets=found.assets,
    )
    return html(page, body, error.status)


async def bad_request(request: Request, error: Exception) -> Response:
    """Answer for a form that Starlette could not read."""
    return await refused(request, errors.BadRequest())


async def left(_request: Request, _error: Exception) -> Response:
    """Answer somebody who left before the whole request had come, so nobody; that is no fault of ours."""
    return Response(status_code=400)


async def failed(request: Request, error: Exception) -> Response:
    """Answer for a fault of our own; the server logs it. This runs outside the `Guard`, so it brings the headers."""
    sentence = errors.RillError().sentence
    if is_htmx(request):
        body = f'<hx-partial id="{ids.NOTICE}" hx-swap="textContent">{escape(sentence)}</hx-partial>'
        return HTMLResponse(body, 500, headers=DEFAULT_HEADERS)
    if is_program(request):
        told = Failure(type="error", cause="internal", message=sentence)
        return JSONResponse(told, 500, headers=DEFAULT_HEADERS)
    return HTMLResponse(f"<!doctype html><title>Rill</title><p>{escape(sentence)}", 500, headers=DEFAULT_HEADERS)
