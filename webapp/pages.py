"""What one page in one browser knows of itself: its addresses, its nonce, and how much of the transcript is settled.

It can be made again from a socket's URL, so that what the server sends over that socket fits the page at the other end.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from urllib.parse import urlencode

from webapp.domain import ConversationId, ReaderId, RequestId
from webapp.security import content_security_policy, page_nonce


def new_request_id() -> RequestId:
    return RequestId(secrets.token_urlsafe(12))


@dataclass(frozen=True, slots=True)
class Page:
    """One page. `base` is the path that the app is mounted at, `origin` the scheme, host and port it was asked at.

    `name` is random; `since` is the number of the last message that the page shows as settled, `switches` how often
    another branch of the conversation had been shown before.
    """

    base: str
    origin: str
    name: str
    nonce: str
    conversation_id: ConversationId | None
    since: int
    switches: int = 0

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
    ) -> Page:
        name = name or secrets.token_urlsafe(12)
        return cls(base, origin, name, page_nonce(secret, reader, name), conversation_id, since, switches)

    @property
    def home_url(self) -> str:
        return f"{self.base}/"

    @property
    def model_url(self) -> str:
        return f"{self.base}/model"

    @property
    def conversation_url(self) -> str:
        return f"{self.base}/c/{self.conversation_id}"

    @property
    def messages_url(self) -> str:
        return f"{self.base}/messages" if self.conversation_id is None else f"{self.conversation_url}/messages"

    @property
    def stream_url(self) -> str:
        return f"{self.conversation_url}/stream?{self._cursor}"

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
    def content_security_policy(self) -> str:
        """The policy that lets this page reach exactly its own addresses."""
        paths = [self.messages_url, self.model_url]
        if self.conversation_id is not None:
            stream = f"{self.conversation_url}/stream"
            forms = [self.stop_url, self.retry_url, self.continue_url, self.branch_url]
            paths += [stream, f"{self.conversation_url}/fallback", *forms]
        urls = [self.origin + path for path in paths]
        if self.conversation_id is not None:
            urls.append(f"ws{self.origin.removeprefix('http')}{stream}")
        return content_security_policy(self.nonce, urls)

    @property
    def _cursor(self) -> str:
        return urlencode({"page": self.name, "since": self.since, "switches": self.switches})
