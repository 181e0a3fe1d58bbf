"""The turn of a conversation: stopping it, trying it again, going on from it, showing another."""

from __future__ import annotations

from contextlib import suppress

from starlette.requests import Request
from starlette.responses import Response

from webapp import errors
from webapp.domain import ConversationId
from webapp.prompts import read_model, read_number
from webapp.routes import answers
from webapp.routes.bodies import read_fields
from webapp.services import asking_page, embed_of, reader, services


async def stop(request: Request) -> Response:
    """`DELETE /c/{id}/turn`, `POST /c/{id}/turn/stop`: stop the running reply at the model; none is no error."""
    conversation_id = _id(request)
    with suppress(errors.TurnNotRunning):
        await services(request).turns.stop(reader(request), conversation_id)
    return _done(request, conversation_id)


async def retry(request: Request) -> Response:
    """`POST /c/{id}/turn/retry` with the `reply` to try again: another reply in its place; the old one is kept.

    With `reply-by`, such as `4 gpt-5`, it is by another model.
    """
    fields = await read_fields(request)
    number, _, model = str(fields.get("reply-by", "")).partition(" ")
    reply = read_number({"reply": number} if model else fields, "reply")
    model = "" if embed_of(request) else model
    with services(request).admitted(embed_of(request), reader(request)):
        await services(request).turns.retry(reader(request), _id(request), reply, model=read_model({"model": model}))
    return _done(request, _id(request))


async def go_on(request: Request) -> Response:
    """`POST /c/{id}/turn/continue` with the `reply` to go on from: another reply that begins with its text."""
    number = read_number(await read_fields(request), "reply")
    with services(request).admitted(embed_of(request), reader(request)):
        await services(request).turns.retry(reader(request), _id(request), number, continues=True)
    return _done(request, _id(request))


async def show_branch(request: Request) -> Response:
    """`POST /c/{id}/branch` with the `message` to show: the newest branch that it is on, in every page."""
    number = read_number(await read_fields(request), "message")
    await services(request).turns.show_branch(reader(request), _id(request), number)
    return _done(request, _id(request))


def _done(request: Request, conversation_id: ConversationId) -> Response:
    page = asking_page(request, conversation_id)
    # What changed comes by the feed, to every page of this conversation alike.
    return answers.done(request, page, page.conversation_url)


def _id(request: Request) -> ConversationId:
    return ConversationId(request.path_params["conversation_id"])
