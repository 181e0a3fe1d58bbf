"""A reader of a chat, who has its pages as a browser has them: loaded once, and changed by what comes down the feed."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus

import httpx2
import turbohtml

from webapp.services import SCRIPTS_COOKIE
from webapp.testing.dom import Dom
from webapp.testing.events import EventStream

PATIENCE_SECONDS = 10.0
"""How long anything is waited for; a chat on this machine takes milliseconds, and what takes longer hangs."""
RECONNECT_SECONDS = 0.05
"""Browsers wait a second, as the feed asks them to; a test need not."""

_FEED = re.compile(r'hx-sse:connect="([^"]+)"')


class Refused(Exception):
    """The chat did not take a prompt: its HTTP status, and the sentence that a reader is told."""

    def __init__(self, status: int, cause: str, sentence: str) -> None:
        super().__init__(f"{status} {cause}: {sentence}")
        self.status, self.cause, self.sentence = status, cause, sentence


class Reader:
    """One reader with one page open, at `path`. `http` has the reader's cookies, for whatever else is to be asked.

    Whatever is waited for raises `AssertionError` after `PATIENCE_SECONDS`, with the reply so far.
    """

    def __init__(self, url: str) -> None:
        self.http = httpx2.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS, trust_env=False)
        self.path, self.page = "/", Dom("")
        self._feed: asyncio.Task[None] | None = None
        self._feed_path, self._last_id = "", ""
        self._has_come = asyncio.Event()

    async def ask(self, prompt: str) -> Reply:
        """Send a prompt, and wait until its reply has ended, well or not. Raises `Refused`."""
        reply = await self.begin(prompt)
        await reply.has_ended()
        return reply

    async def begin(self, prompt: str) -> Reply:
        """Send a prompt to the open conversation, or as the first of a new one; give its reply while it is written.

        Raises `Refused`.
        """
        known = len(self.page.replies)
        before = "" if self.path == "/" else self.path
        sent = await self.http.post(
            f"{before}/messages", data={"prompt": prompt}, headers={"Accept": "application/json"}
        )
        if sent.status_code != HTTPStatus.SEE_OTHER:
            said = sent.json()
            raise Refused(sent.status_code, said["cause"], said["message"])
        if self.path == "/":
            await self.open(sent.headers["location"])
            known = 0
        await self.until(lambda: len(self.page.replies) > known, "the reply to begin")
        return Reply(self, self.page, str(self.page.replies[-1].attrs["id"]))

    async def open(self, path: str = "/") -> None:
        """Load another page: that of a conversation, or of a new one; its feed is followed from then on."""
        await self._end_feed()
        if SCRIPTS_COOKIE in self.http.cookies:
            self.http.cookies.delete(SCRIPTS_COOKIE)  # The chat takes whoever sends a form for one without scripts.
        loaded = await self.http.get(path)
        loaded.raise_for_status()
        self.path, self.page, self._last_id = path, Dom(loaded.text), ""
        found = _FEED.search(loaded.text)
        if found is not None:
            self._feed_path = html.unescape(found[1])
            self._begin_feed()

    async def stop(self) -> None:
        """Stop the running reply, as the button does."""
        (await self.http.delete(f"{self.path}/turn")).raise_for_status()

    @asynccontextmanager
    async def offline(self) -> AsyncGenerator[None, None]:
        """Have no connection for a while; then the feed goes on where it broke off."""
        await self._end_feed()
        try:
            yield
        finally:
            self._begin_feed()

    async def close(self) -> None:
        """Leave the chat, which goes on without this reader."""
        await self._end_feed()
        await self.http.aclose()

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait until something is true of the page."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not condition():
                    await self._next_news()
        except TimeoutError:
            raise AssertionError(f"waited {PATIENCE_SECONDS:g} s for {what}; there is {self.page.text()!r}") from None

    async def _next_news(self) -> None:
        self._has_come.clear()
        waiting = asyncio.create_task(self._has_come.wait())
        try:
            await asyncio.wait({waiting, *([self._feed] if self._feed else [])}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if self._feed is not None and self._feed.done():
            self._feed.result()  # It ends with an error only.

    def _begin_feed(self) -> None:
        self._feed = asyncio.create_task(self._follow(self.page), name="a reader's feed")

    async def _end_feed(self) -> None:
        feed, self._feed = self._feed, None
        if feed is not None:
            feed.cancel()
            # What it failed with was raised where something was waited for; here it would hide what a test failed with.
            await asyncio.gather(feed, return_exceptions=True)

    async def _follow(self, page: Dom) -> None:
        while True:
            with suppress(httpx2.TransportError):
                await self._receive(page)
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _receive(self, page: Dom) -> None:
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": self._last_id} if self._last_id else {})}
        async with self.http.stream("GET", self._feed_path, headers=headers) as response:
            response.raise_for_status()
            stream = EventStream()
            async for piece in response.aiter_text():
                for event in stream.feed(piece):
                    self._last_id = event.id or self._last_id
                    page.receive(event.data)
                    self._has_come.set()


class Reply:
    """A reply as it stands in a reader's page, while it is written and after."""

    def __init__(self, reader: Reader, page: Dom, element_id: str) -> None:
        self._reader, self._page, self._id = reader, page, element_id

    @property
    def article(self) -> turbohtml.Element:
        """The whole message, with its footer."""
        (found,) = self._page.document.select(f'[id="{self._id}"]')
        return found

    @property
    def dom(self) -> turbohtml.Element:
        """What the model has written, as HTML that can be searched: `reply.dom.select("p")[0].text`."""
        return self.article.select(".text")[0]

    @property
    def text(self) -> str:
        """What can be read of it so far, without the signs of Markdown."""
        return self.dom.text.strip()

    @property
    def state(self) -> str:
        """How it stands: `running`, `finished`, `stopped`, `failed` or `interrupted`."""
        return str(self.article.select(".end")[0].attrs["data-state"])

    @property
    def why(self) -> str:
        """What the reader is told of its end, if it did not end well."""
        return " ".join(said.text.strip() for said in self.article.select(".end .why"))

    async def has_text(self, text: str) -> None:
        """Wait until something can be read in it."""
        await self._reader.until(lambda: text in self.text, f"{text!r}")

    async def has_ended(self) -> None:
        """Wait for its end."""
        await self._reader.until(lambda: self.state != "running", "the end of the reply")
