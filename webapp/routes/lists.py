"""The list of a reader's conversations: more of it, the archive, a search, and what can be done to each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from webapp import errors
from webapp.domain import ConversationId, Hit, ListedConversation, Place
from webapp.languages import gettext as _
from webapp.languages import ngettext, pgettext
from webapp.lists import PAGE_SIZE
from webapp.pages import Page
from webapp.prompts import is_number
from webapp.routes import answers
from webapp.routes.bodies import read_fields, shown_conversation
from webapp.services import asking_page, new_page, reader, services
from webapp.stores import Shelf

MAX_QUERY_CHARS = 500
SEARCH_SIZE = 20

T = TypeVar("T", Hit, ListedConversation)


async def older(request: Request) -> Response:
    """`GET /conversations?after=...`: the list after a place: the next piece for htmx, otherwise a page."""
    found, owner = services(request), reader(request)
    after = Place.parse(request.query_params.get("after", ""))
    listed, following = _cut(await found.lists.catalog.page(owner, Shelf.RECENT, PAGE_SIZE + 1, after), PAGE_SIZE)
    if answers.is_htmx(request):
        page = asking_page(request, shown_conversation(request.query_params))
        body = found.renderer.render(
            "fragments/older.html", page=page, older=listed, after=after, goes_on=bool(following), now=datetime.now(UTC)
        )
        return answers.fragments(request, page, body)
    hits = [Hit(each, 0, "") for each in listed]
    return await _list_page(request, _("Conversations"), hits, following, empty=_("There are no older conversations."))


async def archive(request: Request) -> Response:
    """`GET /archive`: the conversations that were put out of the way."""
    after = Place.parse(request.query_params.get("after", ""))
    found = await services(request).lists.catalog.page(reader(request), Shelf.ARCHIVED, PAGE_SIZE + 1, after)
    listed, following = _cut(found, PAGE_SIZE)
    hits = [Hit(each, 0, "") for each in listed]
    title, notice = pgettext("list", "Archive"), ""
    if is_number(imported := request.query_params.get("imported")):
        notice = ngettext(
            "%(count)s conversation was imported.", "%(count)s conversations were imported.", int(imported)
        )
    return await _list_page(request, title, hits, following, empty=_("Nothing is archived."), notice=notice)


async def search(request: Request) -> Response:
    """`GET /search?q=...`: the conversations in which something was written."""
    query = request.query_params.get("q", "")[:MAX_QUERY_CHARS]
    after = Place.parse(request.query_params.get("after", ""))
    found = await services(request).lists.catalog.search(reader(request), query, SEARCH_SIZE + 1, after)
    hits, following = _cut(found, SEARCH_SIZE)
    if query.strip():
        empty = _("Nothing was found for “%(query)s”.", query=query)
    else:
        empty = _("Search in all that you and the model have written.")
    return await _list_page(request, _("Search"), hits, following, empty=empty, query=query)


async def actions(request: Request) -> Response:
    """`GET /conversations/actions?of={id}`: what can be done to a conversation: in the list for htmx, or a page."""
    found, owner = services(request), reader(request)
    conversation_id = ConversationId(request.query_params.get("of", "")[:64])
    listed = await found.lists.catalog.find(owner, conversation_id)
    if answers.is_htmx(request):
        page = asking_page(request, shown_conversation(request.query_params))
        body = found.renderer.render("fragments/actions.html", page=page, listed=listed)
        return answers.fragments(request, page, body)
    listing = await found.lists.listing(owner)
    page = new_page(request, listed=listing.version)
    body = found.renderer.render(
        "pages/actions.html",
        page=page,
        listed=listed,
        listing=listing,
        now=datetime.now(UTC),
        query="",
        assets=found.assets,
        title=listed.title,
    )
    return answers.html(page, body)


async def change(request: Request) -> Response:
    """`POST /conversations` with what is to be done and to which, such as `pin={id}` or `rename={id}&title=...`."""
    fields = await read_fields(request)
    name = next((name for name in _CHANGES if name in fields), None)
    if name is None:
        raise errors.BadRequest(_("This request does not say what is to be done to which conversation."))
    conversation_id = ConversationId(str(fields[name])[:64])
    owner, lists = reader(request), services(request).lists
    match name:
        case "rename":
            await lists.rename(owner, conversation_id, str(fields.get("title", "")))
        case "pin" | "unpin":
            await lists.pin(owner, conversation_id, is_on=name == "pin")
        case "archive" | "unarchive":
            await lists.archive(owner, conversation_id, is_on=name == "archive")
        case "delete":
            with suppress(errors.TurnNotRunning):
                await services(request).turns.stop(owner, conversation_id)
            await lists.delete(owner, conversation_id)
        case "restore" | "reopen":
            await lists.restore(owner, conversation_id)
    return await _changed(request, fields, name, conversation_id)


_RESTORES = ("restore", "reopen")
_CHANGES = ("rename", "pin", "unpin", "archive", "unarchive", "delete", *_RESTORES)


async def _changed(
    request: Request, fields: Mapping[str, object], name: str, conversation_id: ConversationId
) -> Response:
    """Answer what changed a list: the page that asked gets it whole, whether or not its feed gets through."""
    if answers.is_program(request) and not answers.is_htmx(request):
        return Response(status_code=204)
    shown = shown_conversation(fields)
    page = asking_page(request, shown)
    deleted = conversation_id if name == "delete" else ""
    goes_elsewhere = name == "reopen" or (deleted and deleted == shown)
    if answers.is_htmx(request) and not goes_elsewhere:
        listing = await services(request).lists.listing(reader(request))
        gone = conversation_id if name in {"delete", "unarchive"} else ""
        body = services(request).renderer.render(
            "fragments/list_changed.html", page=page, listing=listing, now=datetime.now(UTC), deleted=deleted, gone=gone
        )
        return answers.fragments(request, page, body)
    if deleted:
        url = f"{page.home_url}?deleted={deleted}"
    else:
        url = asking_page(request, conversation_id).conversation_url if name in _RESTORES else _back(page)
    if answers.is_htmx(request):
        response: Response = answers.fragments(request, page, "")
        response.headers["HX-Redirect"] = url
        return response
    return RedirectResponse(url, 303)


def _back(page: Page) -> str:
    """Where a form without scripts goes back to."""
    return page.home_url if page.conversation_id is None else page.conversation_url


async def newer_neighbour(request: Request) -> Response:
    """`GET /c/{id}/newer`: on to the conversation above in the list."""
    return await _neighbour(request, is_newer=True)


async def older_neighbour(request: Request) -> Response:
    """`GET /c/{id}/older`: on to the conversation below in the list."""
    return await _neighbour(request, is_newer=False)


async def _neighbour(request: Request, *, is_newer: bool) -> Response:
    conversation_id = ConversationId(request.path_params["conversation_id"])
    catalog = services(request).lists.catalog
    listed = await catalog.neighbour(reader(request), conversation_id, is_newer=is_newer)
    page = asking_page(request, listed.id if listed else conversation_id)
    return RedirectResponse(page.conversation_url, 303)


async def _list_page(
    request: Request,
    title: str,
    hits: Sequence[Hit],
    following: Place | None,
    *,
    empty: str,
    query: str = "",
    notice: str = "",
) -> Response:
    found = services(request)
    listing = await found.lists.listing(reader(request))
    page = new_page(request, listed=listing.version)
    body = found.renderer.render(
        "pages/list.html",
        page=page,
        title=title,
        hits=hits,
        following=following,
        empty=empty,
        query=query,
        notice=notice,
        path=request.url.path,
        listing=listing,
        now=datetime.now(UTC),
        assets=found.assets,
    )
    return answers.html(page, body)


def _cut(found: Sequence[T], size: int) -> tuple[Sequence[T], Place | None]:
    """Give as much as is wanted, and the place after which there is more."""
    if len(found) <= size:
        return found, None
    last = found[size - 1]
    return found[:size], (last.listed if isinstance(last, Hit) else last).place
