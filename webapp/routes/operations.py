"""What operators and browsers ask for besides the chat: health, static files, the state of the model."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.websockets import WebSocket

from webapp import errors
from webapp.assets import Assets
from webapp.branding import LIGHT_PAPERS
from webapp.domain import Message, Role, TurnState
from webapp.negotiation import LANGUAGE_COOKIE, read_language
from webapp.providers import Provider
from webapp.routes import answers
from webapp.routes.bodies import read_fields, shown_conversation
from webapp.security import COOKIE_SECONDS
from webapp.services import THEME_COOKIE, asking_page, new_page, read_theme, reader, services
from webapp.stores import Store
from webapp.transports.tutorial import TutorialSocket
from webapp.wire import Health, Readiness

FOR_EVER = "public, max-age=31536000, immutable"


async def healthz(request: Request) -> Response:
    """`GET /healthz`: the process answers."""
    return JSONResponse(Health(status="alive"))


async def readyz(request: Request) -> Response:
    """`GET /readyz`: the store and the model's endpoint answer, and the server goes on; 503 names what does not."""
    found = services(request)
    told = Readiness(status="ready", store=await _state(found.store), model=await _state(found.provider))
    if found.turns.is_ending:
        told["server"] = errors.ServerEnding.cause
    if set(told.values()) == {"ready"}:
        return JSONResponse(told)
    return JSONResponse({**told, "status": "not ready"}, 503)


async def _state(part: Store | Provider) -> str:
    try:
        await part.check()
    except errors.RillError as error:
        return error.cause
    return "ready"


async def model(request: Request) -> Response:
    """`GET /model`: the line about the model that answers, for a page that waits until it is ready."""
    page, found = asking_page(request), services(request)
    return answers.fragments(
        request, page, found.renderer.render("fragments/model.html", page=page, model=found.provider.model)
    )


async def static(request: Request) -> Response:
    """`GET /static/{name}`: a static file under its hashed name, to be kept for ever."""
    asset = services(request).assets.get(request.path_params["name"])
    if asset is None:
        raise errors.NotFound
    # An inset has them in a page of another origin; there is nothing of anybody's in them.
    shared = {"Cross-Origin-Resource-Policy": "cross-origin"}
    headers = {"Cache-Control": FOR_EVER, "Vary": "Accept-Encoding", **shared}
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(asset.gzipped, media_type=asset.media_type, headers={**headers, "Content-Encoding": "gzip"})
    return Response(asset.body, media_type=asset.media_type, headers=headers)


async def choose_theme(request: Request) -> Response:
    """`POST /theme` with `theme`: "light", "dark", or nothing for what the reader's system says."""
    fields = await read_fields(request)
    return _chosen(request, fields, THEME_COOKIE, read_theme(fields.get("theme")))


async def choose_language(request: Request) -> Response:
    """`POST /language` with the code of one that is spoken here as `language`, or nothing for the browser's."""
    fields = await read_fields(request)
    return _chosen(request, fields, LANGUAGE_COOKIE, read_language(fields.get("language")))


def _chosen(request: Request, fields: Mapping[str, object], cookie: str, value: str) -> Response:
    """Keep in the browser what its reader chose, and show the page that asked again."""
    page = asking_page(request, shown_conversation(fields))
    response = answers.done(request, page, page.home_url if page.conversation_id is None else page.conversation_url)
    if value:
        response.set_cookie(cookie, value, max_age=COOKIE_SECONDS, httponly=True, samesite="lax", path="/")
    else:
        response.delete_cookie(cookie, path="/")
    return response


async def manifest(request: Request) -> Response:
    """`GET /manifest.webmanifest`: what a browser needs to install the page like an app."""
    found, base = services(request), asking_page(request).base
    icons = [_icon(base, found.assets, "logo", "any", "any")]
    if found.brand.logo is None:
        icons.append(_icon(base, found.assets, "icon", "512x512", "maskable"))
    about = {
        "name": found.brand.name,
        "short_name": found.brand.name,
        "start_url": f"{base}/",
        "scope": f"{base}/",
        "display": "standalone",
        "background_color": LIGHT_PAPERS[0],
        "theme_color": LIGHT_PAPERS[0],
        "icons": icons,
    }
    return JSONResponse(about, media_type="application/manifest+json")


def _icon(base: str, assets: Assets, name: str, sizes: str, purpose: str) -> dict[str, str]:
    src = f"{base}/static/{assets.url_name(name)}"
    return {"src": src, "sizes": sizes, "type": assets.media_type(name), "purpose": purpose}


async def robots(request: Request) -> Response:
    """`GET /robots.txt`: what has nothing in it for a search engine. Conversations are not found without a cookie."""
    return PlainTextResponse("User-agent: *\nDisallow: /search\nDisallow: /archive\nDisallow: /assistants\n")


async def image(request: Request) -> Response:
    """`GET /image?url=...`: the copy of an image in a reply, from a host that the operator lists."""
    found = await services(request).images.fetch(request.query_params.get("url", ""))
    headers = {"Cache-Control": "private, max-age=86400", "Content-Security-Policy": "default-src 'none'; sandbox"}
    return Response(found.body, media_type=found.media_type, headers=headers)


async def styleguide(request: Request) -> Response:
    """`GET /styleguide`: one long reply with all that replies can have; there only when the setting says so."""
    found = services(request)
    if not found.settings.rill_styleguide:
        raise errors.NotFound
    rendering = await found.replies.render(1, found.renderer.source("styleguide.md"))
    reply = Message(1, None, Role.ASSISTANT, "", datetime.now(UTC), TurnState.FINISHED, rendering=rendering)
    page = new_page(request)
    body = found.renderer.render("pages/styleguide.html", page=page, message=reply, assets=found.assets)
    return answers.html(page, body)


async def tutorial(websocket: WebSocket) -> None:
    """`WS /chat`: the protocol of the tutorials, `{"prompt": "..."}` in and chunks out; one conversation."""
    try:
        owner = reader(websocket)
    except errors.NotSignedIn as error:
        await websocket.send_denial_response(Response(error.sentence, error.status, media_type="text/plain"))
        return
    await websocket.accept()
    await TutorialSocket(websocket, services(websocket), owner).run()
