"""One turn as lines of JSON, for programs that want no HTML.

Each line is an object: `{"type": "chunk", "content": "..."}` any number of times, then either
`{"type": "done", "state": "finished" | "stopped", "cause": null | "length" | "content_filter" | "too_large"}` or
`{"type": "error", "cause": "...", "message": "..."}`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.responses import StreamingResponse

from webapp import errors
from webapp.domain import BegunTurn, ReaderId, TurnState
from webapp.feeds import TextPiece, TurnEnd, follow_begun_reply
from webapp.pages import Page
from webapp.services import Services
from webapp.wire import Event

MEDIA_TYPE = "application/x-ndjson"


def turn_response(services: Services, reader: ReaderId, page: Page, begun: BegunTurn) -> StreamingResponse:
    """Stream one turn; its end does not depend on whoever reads it."""
    return StreamingResponse(
        _lines(services, reader, begun),
        media_type=MEDIA_TYPE,
        # Compression would hold lines back until there are enough of them; so would a buffering proxy.
        headers={"Location": page.conversation_url, "Content-Encoding": "identity", "X-Accel-Buffering": "no"},
    )


async def _lines(services: Services, reader: ReaderId, begun: BegunTurn) -> AsyncGenerator[str, None]:
    async with aclosing(follow_begun_reply(services.turns, reader, begun)) as news:
        async for item in news:
            yield _line(as_json(item))


def _line(event: Event) -> str:
    """Give one line, which has one end: many programs take U+2028 and U+2029 for ends of lines too."""
    line = json.dumps(event, ensure_ascii=False)
    return line.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029") + "\n"


def as_json(item: TextPiece | TurnEnd) -> Event:
    """Make the JSON event of one piece of news."""
    if isinstance(item, TextPiece):
        return {"type": "chunk", "content": item.text}
    if item.state is TurnState.FINISHED:
        return {"type": "done", "state": "finished", "cause": item.cause}
    if item.state is TurnState.STOPPED:
        return {"type": "done", "state": "stopped", "cause": item.cause}
    cause = item.cause or item.state.value
    return {"type": "error", "cause": cause, "message": errors.sentence(cause)}
