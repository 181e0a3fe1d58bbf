"""What happens in embeds, told to programs of their operators: signed, and again until it is taken.

What is to be told is stored first, so that neither a crash nor a program that is down loses it; it may be told twice,
with the same `webhook-id`. Source: Standard Webhooks, https://www.standardwebhooks.com.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx2
import structlog
from standardwebhooks import Webhook

from webapp import errors
from webapp.domain import Conversation, Delivery, Message, ReaderId
from webapp.embeds import Embed, Embeds
from webapp.logs import describe
from webapp.stores import Outbox, VisitorStore

log = structlog.get_logger()

TIMEOUT_SECONDS = 10.0
LEASE = timedelta(seconds=60)
"""How long one that was taken is left alone by others: longer than an attempt takes."""
WAITS = tuple(timedelta(seconds=seconds) for seconds in (5, 30, 300, 1_800, 7_200, 21_600, 43_200))
"""Before each further attempt; after the last one, a day later, it is given up."""
AT_ONCE = 8
LONGEST_SLEEP_SECONDS = 30.0
"""Other processes store deliveries, too."""


class Event(StrEnum):
    """What can be told."""

    CONVERSATION_STARTED = "conversation.started"
    REPLY_FINISHED = "reply.finished"
    FEEDBACK_GIVEN = "feedback.given"
    HANDOVER_ASKED = "handover.asked"


class Webhooks:
    """Stores what is to be told, and tells it. `waits` are those before each further attempt."""

    def __init__(
        self, outbox: Outbox, visitors: VisitorStore, embeds: Embeds, waits: Sequence[timedelta] = WAITS
    ) -> None:
        self._outbox, self._visitors, self._embeds, self._waits = outbox, visitors, embeds, waits
        # No receiver's cookies: they are nobody's, and may be such as cannot be sent back.
        cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        self._client = httpx2.AsyncClient(
            timeout=TIMEOUT_SECONDS, follow_redirects=False, trust_env=False, cookies=cookies
        )
        self._something_new = asyncio.Event()
        self._sender: asyncio.Task[None] | None = None
        self._telling: set[asyncio.Task[bool]] = set()

    async def open(self) -> None:
        """Begin to tell what is stored."""
        self._sender = asyncio.create_task(self._send(), name="webhooks")

    async def close(self) -> None:
        """Store what is still to be stored; what was not told yet is told after the next start."""
        if self._telling:
            await asyncio.wait(self._telling)
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.wait([self._sender])
        await self._client.aclose()

    def tell_soon(self, event: Event, conversation: Conversation, about: Mapping[str, object]) -> None:
        """Tell from where nobody can wait for the store; a failure of it is logged."""
        if (embed := self._embeds.of(conversation.owner)) is not None and embed.webhook:
            task = asyncio.create_task(self._tell_logged(embed, event, conversation, about))
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

    async def _tell_logged(
        self, embed: Embed, event: Event, conversation: Conversation, about: Mapping[str, object]
    ) -> bool:
        try:
            return await self.tell(embed, event, conversation, about)
        except errors.StoreUnavailable as error:
            log.error("webhook.lost", event_type=event.value, cause=error.cause, detail=error.detail)
            return False

    async def tell(
        self, embed: Embed, event: Event, conversation: Conversation, about: Mapping[str, object], once: str = ""
    ) -> bool:
        """Store that something is to be told. What has the same `once` in the same conversation is told one time.

        Raises `StoreUnavailable`.
        """
        if not embed.webhook:
            return False
        data = {
            "embed": embed.name,
            "conversation": conversation.id,
            "title": conversation.title,
            "visitor": await self._visitor(conversation.owner),
            **about,
        }
        told_at = datetime.now(UTC).isoformat()
        body = json.dumps({"type": event.value, "timestamp": told_at, "data": data}, ensure_ascii=False)
        delivery_id = f"{event.value}:{conversation.id}:{once or secrets.token_urlsafe(8)}"
        is_new = await self._outbox.put(Delivery(delivery_id, embed.name, body))
        self._something_new.set()
        return is_new

    async def _visitor(self, reader: ReaderId) -> Mapping[str, str] | None:
        found = await self._visitors.find(reader)
        return None if found is None else {"subject": found.subject, "name": found.name}

    async def _send(self) -> None:
        while True:
            self._something_new.clear()
            try:
                while taken := await self._outbox.take(AT_ONCE, LEASE):
                    await asyncio.gather(*(self._attempt(delivery) for delivery in taken))
                due = await self._outbox.next_due()
            except errors.StoreUnavailable as error:
                log.warning("webhooks.not_read", detail=error.detail)
                due = None
            seconds = (due - datetime.now(UTC)).total_seconds() if due else LONGEST_SLEEP_SECONDS
            try:
                async with asyncio.timeout(min(max(seconds, 0.05), LONGEST_SLEEP_SECONDS)):
                    await self._something_new.wait()
            except TimeoutError:
                continue

    async def _attempt(self, delivery: Delivery) -> None:
        embed = self._embeds.all().get(delivery.embed)
        if embed is None or not embed.webhook or embed.secret is None:
            log.warning("webhook.dropped", embed=delivery.embed, reason="It has no webhook any more.")
            await self._outbox.drop(delivery.id)
            return
        problem = await self._post(embed, delivery)
        if problem is None:
            await self._outbox.drop(delivery.id)
        elif delivery.attempts <= len(self._waits):
            await self._outbox.put_off(delivery.id, datetime.now(UTC) + self._waits[delivery.attempts - 1])
            log.warning("webhook.failed", embed=embed.name, attempts=delivery.attempts, problem=problem)
        else:
            log.error("webhook.given_up", embed=embed.name, attempts=delivery.attempts, problem=problem)
            await self._outbox.drop(delivery.id)

    async def _post(self, embed: Embed, delivery: Delivery) -> str | None:
        """Make one attempt; say what was wrong, if anything was."""
        try:
            async with self._client.stream(
                "POST", embed.webhook, content=delivery.body.encode(), headers=_headers(embed, delivery)
            ) as answer:
                return None if answer.is_success else f"status {answer.status_code}"
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            return describe(error)
        except Exception as error:  # Whatever one receiver does, the others are told.
            log.exception("webhook.fault", embed=embed.name)
            return describe(error)


def _headers(embed: Embed, delivery: Delivery) -> dict[str, str]:
    now = datetime.now(UTC)
    secret = embed.secret.get_secret_value() if embed.secret else ""
    signature = Webhook(b64encode(secret.encode()).decode()).sign(delivery.id, now, delivery.body)
    return {
        "content-type": "application/json",
        "webhook-id": delivery.id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signature,
    }


def transcript(messages: Sequence[Message]) -> Sequence[Mapping[str, str]]:
    """Give messages as people read them."""
    return [
        {"role": each.role.value, "text": each.text, "created_at": each.created_at.isoformat()} for each in messages
    ]
