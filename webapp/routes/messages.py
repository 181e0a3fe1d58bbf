"""Messages: a prompt comes in, and its turn is answered in the form that was asked for."""

from __future__ import annotations

from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from webapp import errors, ids, languages
from webapp.domain import MAX_COMMENT_CHARS, NOTHING, BegunTurn, ConversationId, Setup
from webapp.languages import gettext as _
from webapp.pages import empty_composer
from webapp.prompts import SentPrompt, read_number, read_prompt
from webapp.routes import answers
from webapp.routes.attachments import take_files
from webapp.routes.bodies import read_fields, read_fields_and_files
from webapp.routes.conversations import go_to, show_refusal, without_scripts
from webapp.services import asking_page, embed_of, reader, services
from webapp.setups import read_setup
from webapp.text import clean
from webapp.transports import ndjson, sse
from webapp.visitors import about
from webapp.webhooks import Event

_RATINGS: dict[str, int | None] = {"good": 1, "bad": -1, "unrate": None}
_REFUSALS = (
    errors.PromptRefused,
    errors.TurnRunning,
    errors.NothingToEdit,
    errors.ModelNotOffered,
    errors.SetupRefused,
    errors.AssistantNotFound,
    errors.AttachmentNotFound,
    errors.AttachmentRefused,
    errors.StoreUnavailable,
    errors.ServerEnding,
    errors.QuotaReached,
)
"""After these, a page without scripts shows what was written again, so that it can be sent once more."""


async def create_first(request: Request) -> Response:
    """`POST /messages`: the first `prompt`, which opens a conversation; its address is in `Location`.

    It may bring a `model`, an `assistant`, or a `system_prompt`, `temperature` and `max_tokens`; and what a further
    prompt may.
    """
    return await _create(request, None)


async def create(request: Request) -> Response:
    """`POST /c/{id}/messages`: a further `prompt`.

    It may bring a `request_id`, with which it can be sent twice and is kept once; `attachments`, a list of ids; and in
    `edits` the number of an earlier prompt that it is to stand beside.
    """
    return await _create(request, _id(request))


async def delete(request: Request) -> Response:
    """`POST /c/{id}/messages/delete` with the `message` to delete, and all that follows it."""
    number, conversation_id = read_number(await read_fields(request), "message"), _id(request)
    is_left = await services(request).turns.delete_message(reader(request), conversation_id, number)
    page = asking_page(request, conversation_id if is_left else None)
    if is_left:
        return answers.done(request, page, page.conversation_url)
    url = f"{page.home_url}?deleted={conversation_id}"
    return await go_to(request, page, url) if answers.is_htmx(request) else answers.done(request, page, url)


async def rate(request: Request) -> Response:
    """`POST /c/{id}/rating` with the number of a reply as `good`, `bad` or `unrate`, and a `comment-{number}`."""
    fields, conversation_id, found = await read_fields(request), _id(request), services(request)
    name = next((name for name in _RATINGS if name in fields), None)
    if name is None:
        raise errors.BadRequest(_("This request does not say which reply is good or bad."))
    number = read_number(fields, name)
    comment = str(fields.get(f"comment-{number}", ""))
    if len(comment) > MAX_COMMENT_CHARS:
        raise errors.BadRequest(
            _("A comment can have %(limit)s characters.", limit=languages.number(MAX_COMMENT_CHARS))
        )
    reply = await found.store.rate(reader(request), conversation_id, number, _RATINGS[name], clean(comment).strip())
    if (embed := embed_of(request)) is not None:
        rating = {"reply": number, "rating": reply.rating, "comment": reply.comment, "text": reply.text}
        rated = await found.store.conversation(reader(request), conversation_id, NOTHING)
        await found.webhooks.tell(embed, Event.FEEDBACK_GIVEN, rated, {"feedback": rating})
    page = asking_page(request, conversation_id)
    body = found.renderer.render("fragments/reply_rated.html", reply=reply) if answers.is_htmx(request) else ""
    return answers.done(request, page, f"{page.conversation_url}#{ids.message(number)}", body)


def _id(request: Request) -> ConversationId:
    return ConversationId(request.path_params["conversation_id"])


async def _create(request: Request, conversation_id: ConversationId | None) -> Response:
    (fields, files), owner = await read_fields_and_files(request), reader(request)
    sent = read_prompt(fields)
    try:
        attached = [each.id for each in await take_files(request, conversation_id, files)]
        setup = await _setup(request, sent) if conversation_id is None else None
        with services(request).admitted(embed_of(request), owner, sent.sending(conversation_id)):
            begun = await services(request).turns.begin(
                *(owner, conversation_id, sent.text, sent.request_id),
                edits=sent.edits,
                model=None if embed_of(request) else sent.model,
                setup=setup,
                attached=(*sent.attached, *attached),
            )
        if conversation_id is None and not begun.is_repeat:
            prompt = {"number": begun.prompt.number, "text": begun.prompt.text}
            services(request).webhooks.tell_soon(Event.CONVERSATION_STARTED, begun.conversation, {"prompt": prompt})
        if begun.is_repeat:
            # The form was sent twice, and so were its files.
            for each in attached:
                await services(request).attachments.store.drop(owner, each)
    except _REFUSALS as error:
        if answers.is_htmx(request) or answers.is_program(request):
            raise
        return await show_refusal(request, conversation_id, error, sent)
    if answers.is_htmx(request):
        return await _acknowledgement(request, begun, is_first=conversation_id is None)
    return _turn(request, begun)


async def _setup(request: Request, sent: SentPrompt) -> Setup:
    """Set a new conversation up: as its embed is, as an assistant, or as the reader wrote beside the prompt."""
    if (embed := embed_of(request)) is not None:
        setup, visitor = services(request).embeds.setup(embed), await services(request).visitors.find(reader(request))
        known = about(visitor) if visitor else ""
        return replace(setup, system_prompt="\n\n".join(filter(None, [setup.system_prompt, known])))
    assistants = services(request).assistants
    if sent.assistant is not None:
        return (await assistants.find(reader(request), sent.assistant)).setup
    setup = read_setup(sent.written)
    if setup != Setup():
        assistants.require_own()
    return setup


async def _acknowledgement(request: Request, begun: BegunTurn, *, is_first: bool) -> Response:
    page, render = asking_page(request, begun.conversation.id), services(request).renderer.render
    if is_first:
        return await go_to(request, page, page.conversation_url, 201)
    stored = render("fragments/prompt_stored.html", page=page, **empty_composer())
    # Sent again because the socket did not answer: so the page stops relying on it.
    is_second_try = request.query_params.get("again") == "1"
    down = render("fragments/stepped_down.html", page=page) if is_second_try else ""
    return answers.fragments(request, page, stored + down, 201)


def _turn(request: Request, begun: BegunTurn) -> Response:
    found, owner, page = services(request), reader(request), asking_page(request, begun.conversation.id)
    if answers.wants_ndjson(request):
        return ndjson.turn_response(found, owner, page, begun)
    if answers.wants_event_stream(request):
        return sse.turn_response(found, owner, page, begun)
    # A browser that runs scripts has sent this through htmx.
    return without_scripts(request, page.conversation_url)
