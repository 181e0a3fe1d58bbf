"""How conversations are set up: assistants, system prompts and parameters; and what was not sent yet."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from webapp import errors
from webapp.domain import NOTHING, Assistant, AssistantId, Conversation, ConversationId, Setup
from webapp.languages import gettext as _
from webapp.prompts import read_assistant_id, read_prompt
from webapp.routes import answers
from webapp.routes.bodies import read_fields
from webapp.services import asking_page, new_page, reader, services
from webapp.setups import read_setup
from webapp.text import clean, without_tags
from webapp.transports.view import written_again


async def keep_draft(request: Request) -> Response:
    """`POST /draft`, `POST /c/{id}/draft`: keep what is in a composer, so that it survives a reload."""
    sent, owner, found = read_prompt(await read_fields(request)), reader(request), services(request)
    text = without_tags(clean(sent.text))
    if len(text) > found.settings.rill_max_prompt_chars:
        raise errors.PromptTooLong(len(text), found.settings.rill_max_prompt_chars)
    conversation_id = request.path_params.get("conversation_id")
    if conversation_id is not None:
        await found.lists.catalog.find(owner, conversation_id)
    await found.workshop.keep_draft(owner, conversation_id, text, sent.request_id)
    return Response(status_code=204)


async def assistants(request: Request) -> Response:
    """`GET /assistants`: all that a conversation can begin with."""
    found = services(request).assistants
    offered = await found.offered(reader(request))
    are_own = found.are_own_allowed
    return await _page(request, "pages/assistants.html", _("Assistants"), assistants=offered, are_own_allowed=are_own)


async def new_assistant(request: Request) -> Response:
    """`GET /assistants/new`: a form for an assistant of one's own; `?like={id}` begins with what another one has."""
    found, like = services(request).assistants, read_assistant_id(request.query_params, "like")
    found.require_own()
    written = {} if like is None else assistant_fields(await found.own(reader(request), like))
    return await _form(request, None, written)


async def edit_assistant(request: Request) -> Response:
    """`GET /assistants/{id}`: a form to change an assistant of one's own."""
    assistant_id = AssistantId(request.path_params["assistant_id"])
    assistant = await services(request).assistants.own(reader(request), assistant_id)
    return await _form(request, assistant_id, assistant_fields(assistant))


async def change_assistant(request: Request) -> Response:
    """`POST /assistants`: make an assistant, or change the one with the `id` given; `drop={id}` deletes one."""
    fields, owner, found = await read_fields(request), reader(request), services(request).assistants
    if (dropped := read_assistant_id(fields, "drop")) is not None:
        await found.drop(owner, dropped)
        return _gone_to(request, asking_page(request).assistants_url)
    assistant_id = read_assistant_id(fields, "id")
    try:
        kept = await found.keep(owner, assistant_id, fields)
    except errors.SetupRefused as error:
        if answers.is_program(request) or not found.are_own_allowed:
            raise
        return await _form(request, assistant_id, fields, error)
    return _gone_to(request, f"{asking_page(request).home_url}?with={kept.id}")


async def show(request: Request) -> Response:
    """`GET /c/{id}/setup`: a form with how a conversation is answered."""
    conversation = await _conversation(request)
    return await _setup_form(request, conversation, setup_fields(conversation.setup))


async def change(request: Request) -> Response:
    """`POST /c/{id}/setup`: have a conversation answered in another way from its next reply on."""
    found, owner = services(request), reader(request)
    fields, conversation = await read_fields(request), await _conversation(request)
    try:
        setup = read_setup(fields)
    except errors.SetupRefused as error:
        if answers.is_program(request):
            raise
        return await _setup_form(request, conversation, fields, error)
    await found.store.set_up(owner, conversation.id, setup)
    return _gone_to(request, asking_page(request, conversation.id).conversation_url)


def setup_fields(setup: Setup) -> Mapping[str, object]:
    """Give what a form for a setup begins with."""
    return {
        "system_prompt": setup.system_prompt,
        "temperature": setup.parameters.temperature,
        "max_tokens": setup.parameters.max_tokens,
    }


def assistant_fields(assistant: Assistant) -> Mapping[str, object]:
    """Give what a form for an assistant begins with."""
    return {
        **setup_fields(assistant.setup),
        "name": assistant.name,
        "icon": assistant.icon,
        "model": assistant.parameters.model,
        "starters": "\n".join(assistant.starters),
    }


async def _conversation(request: Request) -> Conversation:
    """Give the conversation that is to be set up. Raises `SetupRefused` if that is not the reader's business."""
    found, conversation_id = services(request), ConversationId(request.path_params["conversation_id"])
    found.assistants.require_own()
    conversation = await found.store.conversation(reader(request), conversation_id, NOTHING)
    if conversation.setup.is_fixed:
        raise errors.SetupRefused(
            _("How %(name)s answers is set by whoever runs this server.", name=conversation.setup.assistant)
        )
    return conversation


async def _form(
    request: Request,
    assistant_id: AssistantId | None,
    written: Mapping[str, object],
    error: errors.RillError | None = None,
) -> Response:
    title = _("New assistant") if assistant_id is None else _("Change an assistant")
    return await _page(
        request, "pages/assistant.html", title, error=error, assistant_id=assistant_id, written=written_again(written)
    )


async def _setup_form(
    request: Request, conversation: Conversation, written: Mapping[str, object], error: errors.RillError | None = None
) -> Response:
    listed = conversation.listed
    return await _page(
        request,
        "pages/setup.html",
        _("System prompt and parameters"),
        error=error,
        listed=listed,
        written=written_again(written),
    )


async def _page(
    request: Request, template: str, title: str, *, error: errors.RillError | None = None, **context: object
) -> Response:
    found = services(request)
    listing = await found.lists.listing(reader(request))
    page = new_page(request, listed=listing.version)
    body = found.renderer.render(
        template,
        page=page,
        title=title,
        notice=error.sentence if error else "",
        query="",
        listing=listing,
        now=datetime.now(UTC),
        assets=found.assets,
        **context,
    )
    return answers.html(page, body, error.status if error else 200)


def _gone_to(request: Request, url: str) -> Response:
    return Response(status_code=204) if answers.is_program(request) else RedirectResponse(url, 303)
