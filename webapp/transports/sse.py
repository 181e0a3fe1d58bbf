"""Server-Sent Events: a feed, or one turn of it, for htmx, for `curl -N` and for programs.

A fragment is one event; its id is the feed's position after it.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

import structlog
from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import SendTimeoutError
from starlette.types import Receive, Scope, Send

from webapp import ids
from webapp.domain import BegunTurn, Listing, ListNews, Position, ReaderId
from webapp.errors import EmbedNotFound, NotSignedIn, ProgramKeyUnknown, VisitEnded
from webapp.feeds import Beat, Item, Snapshot, follow, follow_turn
from webapp.insets import fitted
from webapp.pages import Page
from webapp.services import Services
from webapp.transports.view import fragments, list_cursor, window

log = structlog.get_logger()

RETRY_MS = 1000
KEEP_ALIVE_SECONDS = 15
LINE_END = "\n"
"""Each event has to be told; the response's own is for its keep-alives only."""
SEND_TIMEOUT_SECONDS = 30.0
"""A reader that takes nothing for this long is let go; it comes back to a snapshot."""

# The library logs the body of each event at DEBUG, and no log may hold a reply's text.
logging.getLogger("sse_starlette").setLevel(logging.INFO)


def feed_response(services: Services, reader: ReaderId, page: Page, after: Position | None) -> EventSourceResponse:
    """Follow a whole conversation until the reader leaves."""
    return _response(_feed_events(services, reader, page, after))


def turn_response(services: Services, reader: ReaderId, page: Page, begun: BegunTurn) -> EventSourceResponse:
    """Follow one turn from its first fragment to its last, then send `event: done`.

    Should the turn have ended by the time it is followed, the snapshot in the fragments' place shows no other turn.
    """
    page = replace(page, since=begun.prompt.parent or 0)
    return _response(_turn_events(services, reader, page, begun), headers={"Location": page.conversation_url})


def _response(
    events: AsyncGenerator[ServerSentEvent, None], headers: dict[str, str] | None = None
) -> EventSourceResponse:
    return _Response(events, ping=KEEP_ALIVE_SECONDS, sep=LINE_END, send_timeout=SEND_TIMEOUT_SECONDS, headers=headers)


VISIT_IS_OVER = (VisitEnded, EmbedNotFound, NotSignedIn)


class _Response(EventSourceResponse):
    """One that lets a reader go who takes nothing, which is no fault of ours."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except SendTimeoutError:
            log.info("stream.too_slow")


async def _feed_events(
    services: Services, reader: ReaderId, page: Page, after: Position | None
) -> AsyncGenerator[ServerSentEvent, None]:
    if page.conversation_id is None:
        raise ValueError("only a conversation has a feed")
    yield ServerSentEvent(comment="connected", retry=RETRY_MS, sep=LINE_END)
    cursor = list_cursor(services, page)
    items = follow(services.turns, reader, page.conversation_id, after, cursor=cursor, window=window(page))
    async with aclosing(items) as feed:
        async for item in feed:
            try:
                if isinstance(item, Beat):
                    await services.require_reader(reader)
                events = _events(services, page, item)
            except (*VISIT_IS_OVER, ProgramKeyUnknown):
                return  # What asks again is told so.
            for event in events:
                yield event


async def _turn_events(
    services: Services, reader: ReaderId, page: Page, begun: BegunTurn
) -> AsyncGenerator[ServerSentEvent, None]:
    turn = begun.reply.number
    async with aclosing(follow_turn(services.turns, reader, begun)) as feed:
        async for item in feed:
            try:
                events = _events(services, page, item)
            except VISIT_IS_OVER:
                return
            for event in events:
                yield event
            if has_ended(item, turn):
                break
    yield ServerSentEvent(event="done", data=f"{page.conversation_url}#{ids.message(turn)}", sep=LINE_END)


def _events(services: Services, page: Page, item: Item) -> list[ServerSentEvent]:
    return [
        ServerSentEvent(data=fitted(page, html), id=None if position is None else str(position), sep=LINE_END)
        for html, position in fragments(services, page, item)
    ]


def has_ended(item: Item, turn: int) -> bool:
    """Tell whether an item of a feed brings or shows the end of a turn."""
    if isinstance(item, Beat | Listing | ListNews):
        return False
    if isinstance(item, Snapshot):
        return item.conversation.running is None or item.conversation.running.number != turn
    return any(fragment.position.turn == turn and fragment.is_end for fragment in item)
