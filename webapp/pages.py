"""What one page in one browser knows of itself: its addresses, its nonce, and how much of the transcript is settled.

It can be made again from a socket's URL, so that what the server sends over that socket fits the page at the other end.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from urllib.parse import quote, urlencode, urljoin

from webapp.domain import ConversationId, ReaderId, RequestId
from webapp.embeds import Embed
from webapp.security import content_security_policy, page_nonce
from webapp.visits import Visit


def new_request_id() -> RequestId:
    return RequestId(secrets.token_urlsafe(12))


def empty_composer() -> dict[str, object]:
    """Give what the composer's template needs when a prompt was stored."""
    return {"request_id": new_request_id(), "draft": "", "edits": None, "waiting": ()}


@dataclass(frozen=True, slots=True)
class Page:
    """One page. `base` is the path that the app is mounted at, `origin` the scheme, host and port it was asked at.

    `name` is random; `since` is the number of the last message that the page shows as settled, `switches` how often
    another branch of the conversation had been shown before, `listed` the version of the reader's list that it shows;
    what asks without one is no page, and follows no list. `theme` is the one that its reader chose, "light" or "dark".
    A page in another site's has a `visit`, and lasts as long. An inset is no page of ours but markup in
    one of other people's; there `base` is a whole URL, as addresses have to be, and at `framed_base` are pages that
    show the same in a frame. Neither shows a list. Static files are at `static_url`, for all pages alike.
    """

    base: str
    origin: str
    name: str
    nonce: str
    conversation_id: ConversationId | None
    since: int
    switches: int = 0
    listed: int | None = None
    theme: str = ""
    visit: Visit | None = None
    static_url: str = "/static"
    is_inset: bool = False
    framed_base: str = ""

    @classmethod
    def make(
        cls,
        *,
        base: str,
        origin: str,
        secret: str,
        reader: ReaderId,
        conversation_id: ConversationId | None = None,
        name: str | None = None,
        since: int = 0,
        switches: int = 0,
        listed: int | None = None,
        theme: str = "",
        visit: Visit | None = None,
        static_url: str = "/static",
        is_inset: bool = False,
        framed_base: str = "",
    ) -> Page:
        name = name or secrets.token_urlsafe(12)
        return cls(
            base,
            origin,
            name,
            page_nonce(secret, reader, name),
            conversation_id,
            since,
            switches,
            listed,
            theme,
            visit,
            static_url,
            is_inset,
            framed_base,
        )

    @property
    def embed(self) -> Embed | None:
        return self.visit.embed if self.visit else None

    @property
    def is_alone(self) -> bool:
        """Whether it shows a conversation without a list beside it."""
        return self.embed is not None or self.is_inset

    @property
    def home_url(self) -> str:
        return f"{self.base}/"

    @property
    def theme_url(self) -> str:
        return f"{self.base}/theme"

    @property
    def language_url(self) -> str:
        return f"{self.base}/language"

    @property
    def model_url(self) -> str:
        return f"{self.base}/model"

    @property
    def list_url(self) -> str:
        return f"{self.base}/conversations"

    @property
    def actions_url(self) -> str:
        return f"{self.base}/conversations/actions"

    @property
    def archive_url(self) -> str:
        return f"{self.base}/archive"

    @property
    def search_url(self) -> str:
        return f"{self.base}/search"

    @property
    def conversation_url(self) -> str:
        # Whatever stands in an address that somebody made up, it ends up in a header here.
        return f"{self.base}/c/{quote(self.conversation_id or '', safe='')}"

    @property
    def framed_url(self) -> str:
        """The address of a frame that shows what an inset does."""
        here = self.home_url if self.conversation_id is None else self.conversation_url
        return self.framed_base + here.removeprefix(self.base)

    @property
    def messages_url(self) -> str:
        return f"{self.base}/messages" if self.conversation_id is None else f"{self.conversation_url}/messages"

    @property
    def assistants_url(self) -> str:
        return f"{self.base}/assistants"

    @property
    def setup_url(self) -> str:
        return f"{self.conversation_url}/setup"

    @property
    def attachments_url(self) -> str:
        return f"{self.base}/attachments" if self.conversation_id is None else f"{self.conversation_url}/attachments"

    @property
    def detach_url(self) -> str:
        return f"{self.attachments_url}/drop"

    @property
    def draft_url(self) -> str:
        return f"{self.base}/draft" if self.conversation_id is None else f"{self.conversation_url}/draft"

    @property
    def stream_url(self) -> str:
        """The feed of the conversation and of the reader's list; without a conversation, only that of the list."""
        return f"{self._stream_path}?{self._cursor}"

    @property
    def fallback_url(self) -> str:
        return f"{self.conversation_url}/fallback?{self._cursor}"

    @property
    def stop_url(self) -> str:
        return f"{self.conversation_url}/turn/stop"

    @property
    def retry_url(self) -> str:
        return f"{self.conversation_url}/turn/retry"

    @property
    def continue_url(self) -> str:
        return f"{self.conversation_url}/turn/continue"

    @property
    def branch_url(self) -> str:
        return f"{self.conversation_url}/branch"

    @property
    def person_url(self) -> str:
        return f"{self.conversation_url}/person"

    @property
    def rating_url(self) -> str:
        return f"{self.conversation_url}/rating"

    @property
    def delete_url(self) -> str:
        return f"{self.conversation_url}/messages/delete"

    @property
    def content_security_policy(self) -> str:
        """The policy that lets this page reach exactly its own addresses.

        An inset is under the policy of the page around it; from this one htmx learns the nonce of what comes.
        """
        if self.is_inset:
            return f"default-src 'none'; script-src 'nonce-{self.nonce}'; frame-ancestors 'none'"
        paths = [self.messages_url, self.draft_url, self.attachments_url, self.detach_url]
        ancestors = ("'self'", *(self.embed.origins if self.embed else ()))
        # The last is for those who judge pages from within them: Lighthouse reads it under the page's own policy.
        paths += [self.model_url, self.list_url, self.actions_url, f"{self.base}/robots.txt"]
        if self.conversation_id is not None:
            forms = [self.stop_url, self.retry_url, self.continue_url, self.branch_url]
            forms += [self.rating_url, self.delete_url]
            forms += [self.person_url] if self.embed and self.embed.handover else []
            paths += [self._stream_path, f"{self.conversation_url}/fallback", *forms]
        urls = [urljoin(self.origin, path) for path in [*paths, self._stream_path]]
        urls[-1] = f"ws{urls[-1].removeprefix('http')}"
        return content_security_policy(self.nonce, urls, ancestors)

    @property
    def _stream_path(self) -> str:
        return f"{self.base}/stream" if self.conversation_id is None else f"{self.conversation_url}/stream"

    @property
    def _cursor(self) -> str:
        cursor = {"page": self.name, "since": self.since, "switches": self.switches}
        return urlencode(cursor if self.is_alone else {**cursor, "listed": self.listed or 0})
