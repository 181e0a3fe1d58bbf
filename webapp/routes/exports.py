"""Conversations to take along, one of them in three forms or all in one file; and those that readers bring."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import IO
from urllib.parse import quote

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse

from webapp import errors
from webapp.domain import WHOLE, Conversation, ConversationId
from webapp.exports import as_data_url, as_markdown, file_name
from webapp.feeds import snapshot
from webapp.languages import gettext as _
from webapp.rendering import Parts
from webapp.routes import answers
from webapp.routes.attachments import SAFE_HEADERS
from webapp.routes.bodies import read_files
from webapp.services import asking_page, reader, services
from webapp.wire import Imported

PIECE_BYTES = 64 * 1024


async def conversation(request: Request) -> Response:
    """`GET /c/{id}/export?as=...`: the showing branch as `markdown` or `html`, or all branches as `json`."""
    conversation_id = ConversationId(request.path_params["conversation_id"])
    owner, found = reader(request), services(request)
    form = request.query_params.get("as")
    if form == "json":
        whole, text = await found.exports.json(owner, conversation_id)
        return _file(file_name(whole, ".json"), "application/json", text)
    if form not in {"markdown", "html"}:
        raise errors.BadRequest(_("A conversation can be had as markdown, html or json."))
    now = (await snapshot(found.turns, owner, conversation_id, WHOLE)).conversation
    if form == "markdown":
        return _file(file_name(now, ".md"), "text/markdown", as_markdown(now))
    return _file(file_name(now, ".html"), "text/html", await _page(request, now))


async def everything(request: Request) -> Response:
    """`GET /export`: all conversations of a reader, each as Markdown and JSON with what is attached, in a zip file."""
    file = await services(request).exports.zip(reader(request))
    headers = {**SAFE_HEADERS, "Content-Disposition": 'attachment; filename="conversations.zip"'}
    return StreamingResponse(_pieces(file), media_type="application/zip", headers=headers)


async def bring(request: Request) -> Response:
    """`POST /import` with a `file`: add the conversations of an export to the reader's own."""
    files = await read_files(request)
    if not files:
        raise errors.BadRequest(_("There is no file in this request."))
    count = await services(request).imports.keep(reader(request), files[0].body)
    if answers.is_program(request):
        return JSONResponse(Imported(imported=count), 201)
    return RedirectResponse(f"{asking_page(request).archive_url}?imported={count}", 303)


async def _page(request: Request, whole: Conversation) -> str:
    """Make a page that needs nothing but itself."""
    found = services(request)
    style = found.assets.get(found.assets.style(""))
    if style is None:
        raise LookupError("there is no style sheet")
    sheet = Markup(f"<style>{style.body.decode()}</style>")  # noqa: S704  # Ours, from the static folder.
    carried = await found.exports.carried(whole.id, whole.messages)
    return found.renderer.render(
        "pages/export.html",
        title=whole.title,
        parts=Parts(settled=whole.messages),
        carried={name: as_data_url(content) for name, content in carried.items()},
        style=sheet,
    )


async def _pieces(file: IO[bytes]) -> AsyncGenerator[bytes, None]:
    with file:
        while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
            yield piece


def _file(name: str, media_type: str, text: str) -> Response:
    headers = {**SAFE_HEADERS, "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}"}
    return Response(text, media_type=media_type, headers=headers)
