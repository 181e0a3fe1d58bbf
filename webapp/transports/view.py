"""What a page shows, whoever sends it: all of it at once, or what an item of its feed changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from webapp.domain import Assistant, AssistantId, Attachment, Listing, ListNews, Position, ReaderId, Setup, Window
from webapp.embeds import Embed
from webapp.feeds import RECENT, Beat, Item, ListCursor, Snapshot
from webapp.pages import Page, new_request_id
from webapp.rendering import Parts
from webapp.services import Services


@dataclass(frozen=True, slots=True)
class Draft:
    """What the composer begins with. `edits` is the number of an earlier prompt that it is to stand beside.

    `waiting` is what was attached and not sent yet.
    """

    text: str = ""
    edits: int | None = None
    waiting: Sequence[Attachment] = ()


@dataclass(frozen=True, slots=True)
class Welcome:
    """What the page of a new conversation offers: assistants, or the one that was chosen, and first prompts.

    `written` is what stands in the form for its setup; without one, readers may not set conversations up. `greeting` is
    an embed's own.
    """

    assistants: Sequence[Assistant] = ()
    assistant: Assistant | None = None
    starters: Sequence[str] = ()
    written: Mapping[str, str] | None = None
    greeting: str = ""


SETUP_FIELDS = ("system_prompt", "temperature", "max_tokens", "name", "icon", "model", "starters")


def written_again(fields: Mapping[str, object]) -> Mapping[str, str]:
    """Give what was written in a form for a setup, or stands in one, so that it can be shown in it."""
    return {name: "" if fields.get(name) is None else str(fields[name]) for name in SETUP_FIELDS}


async def welcome(
    services: Services, owner: ReaderId, assistant_id: AssistantId | None, written: Mapping[str, object] | None = None
) -> Welcome:
    """Read what a new conversation can begin with. Raises `AssistantNotFound`."""
    found = services.assistants
    shown = written_again(written or {}) if found.are_own_allowed else None
    if assistant_id is None:
        return Welcome(await found.offered(owner), None, found.starters, shown)
    assistant = await found.find(owner, assistant_id)
    return Welcome((), assistant, assistant.starters)


def embedded_welcome(services: Services, embed: Embed) -> Welcome:
    """Say what a new conversation can begin with in an embed."""
    return Welcome(starters=services.embeds.starters(embed), greeting=embed.greeting)


def render_page(
    services: Services,
    page: Page,
    listing: Listing,
    snapshot: Snapshot | None,
    *,
    streamed: int | None = None,
    notice: str = "",
    draft: Draft | None = None,
    welcome: Welcome | None = None,
    deleted: str = "",
) -> str:
    """Render the page of a conversation, or of a new one if there is no snapshot.

    A new one needs a `welcome`. `streamed` is the number of the reply that the page streams in itself, `deleted`
    the id of a conversation whose deletion can be undone.
    """
    parts = Parts.after(snapshot.conversation, page.since) if snapshot else Parts()
    draft = draft or Draft()
    return services.renderer.render(
        _template(page),
        page=page,
        listing=listing,
        now=datetime.now(UTC),
        query="",
        title=snapshot.conversation.title if snapshot else "",
        parts=parts,
        running=snapshot.conversation.running if snapshot else None,
        streamed=streamed,
        model=services.provider.model,
        request_id=new_request_id(),
        assets=services.assets,
        notice=notice,
        draft=draft.text,
        edits=draft.edits,
        waiting=draft.waiting,
        deleted=deleted,
        chosen=_chosen(services, snapshot, welcome),
        welcome=welcome,
        setup=snapshot.conversation.setup if snapshot else Setup(),
    )


def _template(page: Page) -> str:
    if page.is_inset:
        return "pages/inset.html"
    return "pages/embedded.html" if page.embed else "pages/conversation.html"


def _chosen(services: Services, snapshot: Snapshot | None, welcome: Welcome | None) -> str:
    """The name of the model that answers next, unless the reader chooses another."""
    offered = {option.name for option in services.provider.offered}
    if snapshot is not None:
        last = snapshot.conversation.setup.parameters.model
    else:
        last = welcome.assistant.parameters.model if welcome and welcome.assistant else None
    return last if last is not None and last in offered else services.provider.model.name


def window(page: Page) -> Window:
    """Say how much of a conversation a page has to be given: all that it does not show as settled.

    A program that follows a feed is given the last messages.
    """
    return RECENT if page.listed is None and not page.is_alone else replace(RECENT, since=page.since)


def list_cursor(services: Services, page: Page) -> ListCursor | None:
    """Say where a page is in its reader's list; a program's feed has none, nor that of an embed or inset."""
    return None if page.listed is None or page.is_alone else ListCursor(services.lists, page.listed)


def fragments(services: Services, page: Page, item: Item) -> Iterator[tuple[str, Position | None]]:
    """Give what an item of a feed changes in a page, with the feed's position after it, if that moves.

    Each by itself: htmx looks up the targets of a whole message before it applies any of it. Raises `VisitEnded`,
    `EmbedNotFound` or `NotSignedIn` at a beat, if the page may follow no longer.
    """
    renderer = services.renderer
    if isinstance(item, Beat):
        services.require_visit(page)
        yield renderer.render("fragments/beat.html"), None
    elif isinstance(item, Snapshot):
        yield renderer.snapshot(item.conversation, page), item.position
    elif isinstance(item, Listing):
        yield renderer.render("fragments/listing.html", page=page, listing=item, now=datetime.now(UTC)), None
    elif isinstance(item, ListNews):
        yield renderer.render("fragments/list_news.html", page=page, listed=item.listed, change=item.change), None
    else:
        yield from ((fragment.html, fragment.position) for fragment in item if fragment.html)
