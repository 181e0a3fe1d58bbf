"""A page that streams a running reply in itself, for browsers without scripts: append-only HTML until the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.responses import StreamingResponse

from webapp.domain import ConversationId, ReaderId
from webapp.feeds import TextPiece, follow_reply, snapshot
from webapp.insets import fitted
from webapp.pages import Page
from webapp.rendering import SPLIT
from webapp.replies import steps
from webapp.services import Services
from webapp.transports.view import render_page


def page_response(services: Services, reader: ReaderId, page: Page, number: int) -> StreamingResponse:
    """Stream a conversation's page with the reply `number` growing in it. The page must be a conversation's."""
    return StreamingResponse(
        _pieces(services, reader, page, number),
        media_type="text/html",
        headers={
            "Content-Security-Policy": page.content_security_policy,
            # Compression would hold the words back, and so would a buffering proxy.
            "Content-Encoding": "identity",
            "X-Accel-Buffering": "no",
        },
    )


async def _pieces(services: Services, reader: ReaderId, page: Page, number: int) -> AsyncGenerator[str, None]:
    if page.conversation_id is None:
        raise ValueError("only a conversation's page can stream a reply")
    yield (await _page(services, reader, page, page.conversation_id, number)).partition(SPLIT)[0]
    reply = services.replies.append_only(number)
    async with aclosing(follow_reply(services.turns, reader, page.conversation_id, number)) as news:
        async for item in news:
            if isinstance(item, TextPiece):
                for step in steps(item.text):
                    reply.feed(step)
                    yield reply.take()
                    await asyncio.sleep(0)
    yield reply.close()
    yield (await _page(services, reader, page, page.conversation_id, number)).partition(SPLIT)[2]


async def _page(services: Services, reader: ReaderId, page: Page, conversation_id: ConversationId, number: int) -> str:
    now = await snapshot(services.turns, reader, conversation_id)
    listing = await services.lists.listing(reader)
    return fitted(page, render_page(services, page, listing, now, streamed=number))
