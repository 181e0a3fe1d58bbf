"""Attachments: files come up before their prompt, and are given to nobody but their owner."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from webapp import errors
from webapp.domain import Attachment, AttachmentId, AttachmentKind, ConversationId
from webapp.languages import gettext as _
from webapp.prompts import MAX_ATTACHMENT_ID_CHARS
from webapp.routes import answers
from webapp.routes.bodies import SentFile, read_fields, read_fields_and_files
from webapp.services import asking_page, reader, services
from webapp.wire import Attached, AttachedFile

SAFE_HEADERS = {
    "Cache-Control": "private, max-age=31536000, immutable",
    "Content-Security-Policy": "default-src 'none'; sandbox",
}


async def attach(request: Request) -> Response:
    """`POST /attachments`, `POST /c/{id}/attachments`: keep each `file` of a form for the next prompt there."""
    conversation_id = request.path_params.get("conversation_id")
    _fields, files = await read_fields_and_files(request)
    if not files:
        raise errors.BadRequest(_("There is no file in this request."))
    try:
        taken = await take_files(request, conversation_id, files)
    except errors.AttachmentRefused as error:
        if answers.is_htmx(request):
            # Those before it wait already, and are shown.
            return await _waiting(request, conversation_id, error)
        raise
    if answers.is_program(request) and not answers.is_htmx(request):
        told = [AttachedFile(id=each.id, name=each.name, kind=each.kind, size=each.size) for each in taken]
        return JSONResponse(Attached(attachments=told), 201)
    return await _waiting(request, conversation_id)


async def detach(request: Request) -> Response:
    """`POST /attachments/drop`, `POST /c/{id}/attachments/drop`: forget one that waits, by its id as `drop`."""
    fields = await read_fields(request)
    attachment_id = AttachmentId(str(fields.get("drop", ""))[:MAX_ATTACHMENT_ID_CHARS])
    await services(request).attachments.store.drop(reader(request), attachment_id)
    if answers.is_program(request) and not answers.is_htmx(request):
        return Response(status_code=204)
    return await _waiting(request, request.path_params.get("conversation_id"))


async def take_files(
    request: Request, conversation_id: ConversationId | None, files: Sequence[SentFile]
) -> Sequence[Attachment]:
    """Keep files for the next prompt. Raises `AttachmentRefused` and `ConversationNotFound`."""
    found, owner = services(request), reader(request)
    if files and conversation_id is not None:
        await found.lists.catalog.find(owner, conversation_id)
    take, sees_images = found.attachments.take, found.provider.sees_images
    return [await take(owner, conversation_id, file.name, file.body, are_images_seen=sees_images) for file in files]


async def content(request: Request, conversation_id: ConversationId, attachment_id: str) -> Response:
    """Answer with what was sent in a conversation: an image to be shown, or text as it was told to the model."""
    wanted = AttachmentId(attachment_id[:MAX_ATTACHMENT_ID_CHARS])
    found = await services(request).attachments.store.content(reader(request), conversation_id, wanted)
    is_image = found.attachment.kind is AttachmentKind.IMAGE
    media_type = found.attachment.media_type if is_image else "text/plain; charset=utf-8"
    disposition = f"inline; filename*=UTF-8''{quote(found.attachment.name)}"
    return Response(found.body, media_type=media_type, headers={**SAFE_HEADERS, "Content-Disposition": disposition})


async def _waiting(
    request: Request, conversation_id: ConversationId | None, error: errors.RillError | None = None
) -> Response:
    """Show what waits now, in the composer that asked, and what was refused."""
    page = asking_page(request, conversation_id)
    if not answers.is_htmx(request):
        return RedirectResponse(page.home_url if conversation_id is None else page.conversation_url, 303)
    found = services(request)
    waiting = await found.attachments.store.waiting(reader(request), conversation_id)
    notice = error.sentence if error else ""
    body = found.renderer.render("fragments/attached.html", waiting=waiting, notice=notice)
    return answers.fragments(request, page, body, error.status if error else 201)
