"""Conversations: a new one, one of them, its feed, and the state that its page steps down to."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.websockets import WebSocket

from webapp.domain import (
    NOTHING,
    PAGE_OF_MESSAGES,
    AssistantId,
    ConversationId,
    Listing,
    Message,
    Position,
    Role,
    Window,
)
from webapp.errors import AssistantNotFound, MessageNotFound, NothingToEdit, RillError
from webapp.feeds import Snapshot, snapshot
from webapp.insets import replaced
from webapp.languages import N_
from webapp.languages import gettext as _
from webapp.pages import Page
from webapp.prompts import SentPrompt, is_number, read_assistant_id, read_number
from webapp.rendering import Parts
from webapp.routes import answers, attachments
from webapp.security import framed_policy
from webapp.services import (
    SCRIPTS_COOKIE,
    asking_page,
    embed_of,
    is_alone,
    is_inset,
    new_page,
    reader,
    services,
)
from webapp.transports import html, sse
from webapp.transports.view import Draft, Welcome, embedded_welcome, render_page, welcome
from webapp.transports.websocket import PageSocket

PERSON_ASKED = N_("A person was asked to come, and sees what was said here. You can go on writing meanwhile.")


async def new(request: Request) -> Response:
    """`GET /`: an empty conversation, which the first prompt gives an address.

    `?with={id}` begins it with an assistant, and `?prompt=` with a text in its composer.
    """
    if (framed := _frame_instead(request, None)) is not None:
        return framed
    found, owner, query = services(request), reader(request), request.query_params
    offered = await _welcome(request, read_assistant_id(query, "with"))
    listing = await _listing(request)
    page = new_page(request, listed=listing.version)
    text = query["prompt"] if "prompt" in query else await found.workshop.draft(owner, None)
    draft = Draft(text, waiting=await found.attachments.store.waiting(owner, None))
    deleted = "" if is_alone(request) else query.get("deleted", "")[:64]
    body = render_page(found, page, listing, None, draft=draft, welcome=offered, deleted=deleted)
    return _shown(request, page, body)


async def show(request: Request) -> Response:
    """`GET /c/{id}`: a conversation's page; without scripts it streams a running reply in itself.

    `?raw={number}` gives the text of one message alone, `?attachment={id}` what was attached.
    """
    conversation_id, owner, found = _id(request), reader(request), services(request)
    if "attachment" in request.query_params:
        return await attachments.content(request, conversation_id, request.query_params["attachment"])
    now = await snapshot(found.turns, owner, conversation_id, _window(request))
    if "raw" in request.query_params:
        return _raw(request, now)
    if (framed := _frame_instead(request, conversation_id)) is not None:
        return framed
    is_scriptless = request.query_params.get("scripts") == "off"
    if is_scriptless and not is_alone(request):
        return without_scripts(request, asking_page(request, conversation_id).conversation_url)
    is_scriptless = is_scriptless or SCRIPTS_COOKIE in request.cookies
    if now.conversation.running is not None and is_scriptless and not is_inset(request):
        page = _page_of(request, now, Listing())
        return html.page_response(found, owner, page, now.conversation.running.number)
    listing = await _listing(request)
    page = _page_of(request, now, listing)
    notice = _(PERSON_ASKED) if request.query_params.get("asked") == "person" and embed_of(request) else ""
    body = render_page(found, page, listing, now, draft=await _draft(request, now), notice=notice)
    return _shown(request, page, body)


def _frame_instead(request: Request, conversation_id: ConversationId | None) -> Response | None:
    """Send a browser on that opens an inset's address by itself, in a tab of its own: what is there is no page."""
    if not is_inset(request) or answers.is_htmx(request):
        return None
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(asking_page(request, conversation_id).framed_url + query, 303)


def _shown(request: Request, page: Page, body: str) -> Response:
    """Answer with a page; in an inset, with what takes the place of the one that is there, if there is one."""
    is_first = getattr(request.state, "is_first", False)
    return answers.html(page, body if is_first or not page.is_inset else replaced(body))


async def go_to(request: Request, page: Page, url: str, status: int = 200) -> Response:
    """Have htmx show a page; in an inset, the conversation of the page, or a new one, in the place of what is there."""
    if not page.is_inset:
        response = answers.fragments(request, page, "", status)
        response.headers["HX-Redirect"] = url
        return response
    if page.conversation_id is None:
        return await new(request)
    request.path_params["conversation_id"] = page.conversation_id
    return await show(request)


async def _listing(request: Request) -> Listing:
    """Give the beginning of the reader's list; none where no list shows."""
    return Listing() if is_alone(request) else await services(request).lists.listing(reader(request))


def _window(request: Request) -> Window:
    """Show the last messages; also those from a message on that the query names, or as many as it says in `shown`."""
    query = request.query_params
    named = [int(query[name]) for name in ("at", "edit", "quote", "raw") if is_number(query.get(name))]
    least = int(query["shown"]) if is_number(query.get("shown")) else 0
    return Window(max(PAGE_OF_MESSAGES, least), since=min(named) - 1 if named else None)


def _page_of(request: Request, now: Snapshot | None, listing: Listing) -> Page:
    """Make the page of a conversation as it is now, or of a new one."""
    if now is None:
        return new_page(request, listed=listing.version)
    settled = Parts.at_last_prompt(now.conversation).settled
    since, switches = settled[-1].number if settled else 0, now.conversation.switches
    return new_page(request, now.conversation.id, since=since, switches=switches, listed=listing.version)


async def _draft(request: Request, now: Snapshot) -> Draft:
    """Begin the composer as `?edit=` or `?quote=` says, with the number of a message; or with what was not sent yet."""
    if (edited := _asked(request, now, "edit")) is not None and edited.role is Role.USER:
        return Draft(edited.text, edited.number)
    found, owner, place = services(request), reader(request), now.conversation.id
    kept, waiting = await found.workshop.draft(owner, place), await found.attachments.store.waiting(owner, place)
    if (quoted := _asked(request, now, "quote")) is not None:
        lines = "".join(f"> {line}\n" for line in quoted.text.splitlines())
        # It is there already when the page is loaded again.
        kept = kept if lines in kept else f"{kept.rstrip()}\n\n{lines}\n".lstrip("\n")
    return Draft(kept, waiting=waiting)


def _raw(request: Request, now: Snapshot) -> Response:
    """Answer with the text of the message that `?raw=` names, as it is; as a file with `&download`."""
    message = _asked(request, now, "raw")
    if message is None:
        raise MessageNotFound
    way = "attachment" if "download" in request.query_params else "inline"
    name = f"{'prompt' if message.role is Role.USER else 'reply'}-{message.number}.md"
    embed = embed_of(request)
    policy = framed_policy(embed.origins if embed else ())
    headers = {"Content-Disposition": f'{way}; filename="{name}"', "Content-Security-Policy": policy}
    # Browsers show Markdown as text only if it is called so.
    media_type = "text/markdown" if way == "attachment" else "text/plain"
    return Response(message.text, media_type=media_type, headers=headers)


def _asked(request: Request, now: Snapshot, name: str) -> Message | None:
    """Give the message whose number the query has under a name, if it is on the showing branch."""
    asked = request.query_params.get(name)
    return next((message for message in now.conversation.messages if str(message.number) == asked), None)


async def show_refusal(
    request: Request, conversation_id: ConversationId | None, error: RillError, sent: SentPrompt
) -> Response:
    """Answer a refused form with the page it came from: the sentence is on it, and what was written is kept."""
    found, owner = services(request), reader(request)
    now = await snapshot(found.turns, owner, conversation_id) if conversation_id else None
    listing = await _listing(request)
    page = _page_of(request, now, listing)
    waiting = await found.attachments.store.waiting(owner, conversation_id)
    draft = Draft(sent.text, None if isinstance(error, NothingToEdit) else sent.edits, waiting)
    offered = None if now else await _welcome_back(request, sent)
    body = render_page(found, page, listing, now, notice=error.sentence, draft=draft, welcome=offered)
    return answers.html(page, body, error.status)


async def _welcome_back(request: Request, sent: SentPrompt) -> Welcome:
    """Offer what was chosen and written again; without the assistant, if that is no longer there."""
    with suppress(AssistantNotFound):
        return await _welcome(request, sent.assistant, sent.written)
    return await _welcome(request, None, sent.written)


async def _welcome(
    request: Request, assistant_id: AssistantId | None, written: Mapping[str, object] | None = None
) -> Welcome:
    found, embed = services(request), embed_of(request)
    if embed is not None:
        return embedded_welcome(found, embed)
    return await welcome(found, reader(request), assistant_id, written)


async def messages(request: Request) -> Response:
    """`GET /c/{id}/messages?before=...`: for htmx, messages of the showing branch that stand before one of it.

    For others, on to the conversation, which links on the page of a refused form lead to.
    """
    page = asking_page(request, _id(request))
    if answers.is_htmx(request):
        return await _earlier(request, page)
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(page.conversation_url + query, 303)


async def _earlier(request: Request, page: Page) -> Response:
    found, before = services(request), read_number(request.query_params, "before")
    window = Window(PAGE_OF_MESSAGES, before=before)
    conversation = await found.store.conversation(reader(request), _id(request), window)
    shown = await found.turns.rendered(conversation)
    parts = Parts(settled=shown.messages, earlier=shown.earlier)
    return answers.fragments(request, page, found.renderer.render("fragments/earlier.html", page=page, parts=parts))


def without_scripts(request: Request, url: str) -> Response:
    """Send a browser on to a page, and remember that it runs no scripts: by a cookie, where there are any."""
    if is_alone(request):
        return RedirectResponse(f"{url}?scripts=off", 303)
    response = RedirectResponse(url, 303)
    response.set_cookie(SCRIPTS_COOKIE, "off", httponly=True, samesite="lax", path="/")
    return response


async def stream(request: Request) -> Response:
    """`GET /c/{id}/stream`: the conversation's feed as Server-Sent Events, from `Last-Event-ID` on."""
    conversation_id, owner, found = _id(request), reader(request), services(request)
    await found.store.conversation(owner, conversation_id, NOTHING)
    after = Position.parse(request.headers.get("last-event-id", ""))
    return sse.feed_response(found, owner, asking_page(request, conversation_id), after)


async def socket(websocket: WebSocket) -> None:
    """`WS /c/{id}/stream`, `WS /stream`: the same feed, with prompts coming up; that of the reader's list alone."""
    found, owner = services(websocket), reader(websocket)
    conversation_id = websocket.path_params.get("conversation_id")
    try:
        if conversation_id is not None:
            await found.store.conversation(owner, conversation_id, NOTHING)
    except RillError as error:
        await websocket.send_denial_response(Response(error.sentence, error.status, media_type="text/plain"))
        return
    await websocket.accept()
    await PageSocket(websocket, found, owner, asking_page(websocket, conversation_id)).run()


async def fallback(request: Request) -> Response:
    """`GET /c/{id}/fallback`: what a page changes to when its socket does not open, or breaks."""
    conversation_id, found = _id(request), services(request)
    await found.store.conversation(reader(request), conversation_id, NOTHING)
    page = asking_page(request, conversation_id)
    return answers.fragments(request, page, found.renderer.render("fragments/stepped_down.html", page=page))


def _id(request: Request) -> ConversationId:
    return ConversationId(request.path_params["conversation_id"])
