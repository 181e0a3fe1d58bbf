"""A page over one WebSocket: prompts come up, the feed goes down.

Two tasks share the socket, and the first to end ends the other, so that neither a silent feed nor a silent reader keeps
a dead connection. Handshakes are refused with a status, never accepted and closed: htmx backs off from the one and
hammers after the other (FAULTS, W2).
"""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing

import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect

from webapp import errors
from webapp.deadlines import Deadline
from webapp.domain import ReaderId
from webapp.feeds import Beat, Item, Snapshot, follow
from webapp.insets import fitted
from webapp.languages import gettext as _
from webapp.pages import Page, empty_composer
from webapp.prompts import read_prompt
from webapp.services import Services
from webapp.transports.view import fragments, list_cursor, window

log = structlog.get_logger()

SEND_TIMEOUT_SECONDS = 30.0
"""A reader that takes nothing for this long is let go; it comes back to a snapshot."""


class PageSocket:
    """One page's socket. `run` returns when either side is done with it."""

    def __init__(self, websocket: WebSocket, services: Services, reader: ReaderId, page: Page) -> None:
        self._websocket, self._services, self._reader, self._page = websocket, services, reader, page
        self._has_opened = False

    async def run(self) -> None:
        """Serve the accepted socket until the reader leaves, is too slow, or the server ends."""
        try:
            async with asyncio.TaskGroup() as group:
                feed = group.create_task(self._send_feed())
                await self._receive_prompts()
                feed.cancel()
        except* TimeoutError:
            log.info("socket.too_slow", conversation=(self._page.conversation_id or "")[:6])
        except* (WebSocketDisconnect, errors.RillError):
            pass  # The reader has left, or is no longer allowed to follow.

    async def _send_feed(self) -> None:
        found, page = self._services, self._page
        cursor = list_cursor(found, page)
        items = follow(found.turns, self._reader, page.conversation_id, cursor=cursor, window=window(page))
        async with Deadline() as deadline, aclosing(items) as feed:
            async for item in feed:
                if isinstance(item, Beat):
                    await found.require_reader(self._reader)
                await self._send_item(item, deadline)
                del item  # It would stay until the next one, and readers wait for hours.

    async def _send_item(self, item: Item, deadline: Deadline) -> None:
        for html, _position in fragments(self._services, self._page, item):
            await self._send(self._opening(item) + html, deadline)

    def _opening(self, item: Item) -> str:
        """Give what comes before the first snapshot: from now on prompts go up this socket."""
        if self._has_opened or not isinstance(item, Snapshot):
            return ""
        self._has_opened = True
        return self._services.renderer.render("fragments/socket_opened.html", page=self._page)

    async def _receive_prompts(self) -> None:
        async with Deadline() as deadline:
            # A binary frame has no text; Starlette would answer it with a KeyError.
            while (message := await self._websocket.receive())["type"] != "websocket.disconnect":
                await self._send(await self._reaction(message.get("text")), deadline)

    async def _reaction(self, frame: str | None) -> str:
        try:
            return await self._answer(frame)
        except errors.RillError as error:
            return self._refusal(error)

    async def _answer(self, frame: str | None) -> str:
        sent, conversation_id = read_prompt(read_frame(frame)), self._page.conversation_id
        if conversation_id is None:
            raise errors.BadRequest("A first message goes by POST.")
        self._services.require_visit(self._page)
        await self._services.require_reader(self._reader)
        with self._services.admitted(self._page.embed, self._reader, sent.sending(conversation_id)):
            await self._services.turns.begin(
                *(self._reader, conversation_id, sent.text, sent.request_id),
                edits=sent.edits,
                model=None if self._page.embed else sent.model,
                attached=sent.attached,
            )
        return self._services.renderer.render("fragments/prompt_stored.html", page=self._page, **empty_composer())

    def _refusal(self, error: errors.RillError) -> str:
        return self._services.renderer.render("fragments/refusal.html", page=self._page, notice=error.sentence)

    async def _send(self, html: str, deadline: Deadline) -> None:
        if html:
            deadline.allow(SEND_TIMEOUT_SECONDS)
            await self._websocket.send_text(fitted(self._page, html))
            deadline.clear()


def read_frame(frame: str | None) -> dict[str, object]:
    """Read a JSON object, such as `{"prompt": "...", "request_id": "..."}`. Raises `BadRequest`."""
    try:
        body = json.loads(frame or "")
    except (ValueError, RecursionError) as error:
        raise errors.BadRequest(_("This message is not valid JSON."), detail=type(error).__name__) from None
    return body if isinstance(body, dict) else {}
