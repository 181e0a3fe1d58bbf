"""The page as HTML, whoever sends it: at once, or in pieces while a reply is being written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from webapp.domain import Conversation
from webapp.feeds import Snapshot
from webapp.pages import Page, new_request_id
from webapp.rendering import Parts
from webapp.services import Services

LISTED_CONVERSATIONS = 50


@dataclass(frozen=True, slots=True)
class Draft:
    """What the composer begins with. `edits` is the number of an earlier prompt that it is to stand beside."""

    text: str = ""
    edits: int | None = None


def render_page(
    services: Services,
    page: Page,
    listed: Sequence[Conversation],
    snapshot: Snapshot | None,
    *,
    streamed: int | None = None,
    notice: str = "",
    draft: Draft | None = None,
) -> str:
    """Render the page of a conversation, or of a new one if there is no snapshot.

    `streamed` is the number of the reply that the page streams in itself.
    """
    messages = snapshot.conversation.messages if snapshot else ()
    parts = Parts.after(messages, page.since)
    draft = draft or Draft()
    return services.renderer.render(
        "pages/conversation.html",
        page=page,
        listed=listed,
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
    )
