"""Assistants that readers can begin conversations with: the operator's, then their own."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence

from webapp import errors
from webapp.domain import Assistant, AssistantId, ReaderId
from webapp.languages import gettext as _
from webapp.setups import Offer, read_assistant
from webapp.stores import Workshop

MAX_OWN = 50


class Assistants:
    """Finds and keeps assistants. `are_own_allowed` says whether readers may make some, and set conversations up.

    Methods raise `StoreUnavailable` when the database fails.
    """

    def __init__(self, offer: Offer, workshop: Workshop, *, are_own_allowed: bool) -> None:
        self._offer, self._workshop = offer, workshop
        self.are_own_allowed = are_own_allowed

    @property
    def starters(self) -> Sequence[str]:
        """The operator's first prompts for conversations without an assistant."""
        return self._offer.starters

    async def offered(self, reader: ReaderId) -> Sequence[Assistant]:
        """Give all that a reader can choose."""
        own = await self._workshop.assistants(reader) if self.are_own_allowed else ()
        return (*self._offer.assistants, *own)

    async def find(self, reader: ReaderId, assistant_id: AssistantId) -> Assistant:
        """Give one of those. Raises `AssistantNotFound`."""
        found = next((each for each in await self.offered(reader) if each.id == assistant_id), None)
        if found is None:
            raise errors.AssistantNotFound
        return found

    async def own(self, reader: ReaderId, assistant_id: AssistantId) -> Assistant:
        """Give one that this reader made. Raises `AssistantNotFound`."""
        found = await self.find(reader, assistant_id)
        if not found.is_own:
            raise errors.AssistantNotFound
        return found

    async def keep(self, reader: ReaderId, assistant_id: AssistantId | None, fields: Mapping[str, object]) -> Assistant:
        """Make a reader's own assistant of what they wrote, or change one. Raises `SetupRefused`, `AssistantNotFound`.

        See `webapp.setups.read_assistant` for the fields.
        """
        self.require_own()
        if assistant_id is not None:
            await self.own(reader, assistant_id)
        assistant = read_assistant(fields, assistant_id or AssistantId(secrets.token_urlsafe(8)), is_own=True)
        if not await self._workshop.keep_assistant(reader, assistant, MAX_OWN):
            raise errors.SetupRefused(_("You have %(count)s assistants already. Delete one first.", count=MAX_OWN))
        return assistant

    async def drop(self, reader: ReaderId, assistant_id: AssistantId) -> None:
        """Delete a reader's own assistant; one that is not there is none already."""
        self.require_own()
        await self._workshop.drop_assistant(reader, assistant_id)

    def require_own(self) -> None:
        """Raise `SetupRefused` where only the operator says how conversations are set up."""
        if not self.are_own_allowed:
            raise errors.SetupRefused(_("Assistants and system prompts of one's own are switched off here."))
