"""The page as HTML, whoever sends it: at once, or in pieces while a reply is being written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from webapp.domain import Conversation
from webapp.feeds import Snapshot
from webapp.pages import Page, new_request_id
from webapp.rendering import Parts, marker_index
from webapp.services import Services

LISTED_CONVERSATIONS = 50


def render_page(
    services: Services,
    page: Page,
    listed: Sequence[Conversation],
    snapshot: Snapshot | None,
    *,
    streamed: int | None = None,
    streamed_chars: int | None = None,
    notice: str = "",
    draft: str = "",
) -> str:
    """Render the page of a conversation, or of a new one if there is no snapshot.

    `streamed` is the number of the reply that the page streams in itself, of which `streamed_chars` are shown so far.
    """
    messages = snapshot.conversation.messages if snapshot else ()
    if streamed is not None and streamed_chars is not None:
        messages = tuple(replace(m, text=m.text[:streamed_chars]) if m.number == streamed else m for m in messages)
    parts = Parts.after(messages, page.since)
    return services.renderer.render(
        "pages/conversation.html",
        page=page,
        listed=listed,
        title=snapshot.conversation.title if snapshot else "",
        parts=parts,
        running=snapshot.conversation.running if snapshot else None,
        index=marker_index(snapshot.position) if snapshot else 0,
        streamed=streamed,
        model=services.provider.model,
        request_id=new_request_id(),
        assets=services.assets,
        notice=notice,
        draft=draft,
    )
