"""One reader at a server: requests that insist on an answer, open tabs, and streams that are read aside."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager, suppress

import httpx

from tests.clients import HTMX
from tests.dom import Dom
from tests.fakes import Network
from tests.soak.lives import Life
from tests.soak.tabs import AGAIN_SECONDS, BROKEN, Tab, Way


def new_client(url: str) -> httpx.AsyncClient:
    # Without certificates to load: that would be most of the work of a short life.
    return httpx.AsyncClient(base_url=url, timeout=30, trust_env=False, verify=False)


class Visit:
    """What a reader has open. Each request says for itself which cookies it sends, whatever the answers set."""

    def __init__(self, life: Life, between: Network, client: httpx.AsyncClient) -> None:
        self.life, self.network, self.client = life, between, client
        self.prompt: dict[str, str] = {}
        self.tabs: list[Tab] = []
        self.aside: set[asyncio.Task[None]] = set()
        self.abandoned: list[asyncio.StreamWriter] = []

    async def arrive(self) -> None:
        """Become a reader, by a cookie."""
        await self.insist("GET", "/", {200})
        cookies = {name: value for name, value in self.client.cookies.items() if name != "rill_scripts"}
        self.life.headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}

    async def leave(self) -> None:
        """Close everything."""
        self.network.thaw()
        for task in self.aside:
            task.cancel()
        await asyncio.gather(*self.aside, *(tab.close() for tab in self.tabs), return_exceptions=True)
        for writer in self.abandoned:
            writer.transport.abort()

    async def insist(
        self,
        method: str,
        url: str,
        expected: set[int],
        fields: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Ask until something answers, as a reader clicks again; a server that ends is asked again too."""
        headers = {**self.life.headers, **(headers or {})}
        while True:
            with suppress(*BROKEN), self._noting_wait(method):
                answer = await self.client.request(method, url, data=fields, headers=headers)
                if answer.status_code in expected:
                    return answer
                assert answer.status_code == 503, f"{method} {url} answers {answer.status_code}: {answer.text[:300]}"
            await asyncio.sleep(AGAIN_SECONDS)

    @contextmanager
    def _noting_wait(self, method: str) -> Iterator[None]:
        begun = time.time()
        try:
            yield
        finally:
            if method == "POST":
                self.life.waits.append((begun, time.time()))

    async def fresh(self) -> Dom:
        """Load the conversation's page anew."""
        return Dom((await self.insist("GET", self.life.path, {200})).text)

    async def open_tab(self, way: Way) -> None:
        html = (await self.insist("GET", self.life.path, {200})).text
        self.tabs.append(Tab(self.network.url, html, self.life.headers, self.client, way))

    async def reload(self, tab: Tab) -> None:
        self.tabs.remove(tab)
        await tab.close()
        await self.open_tab(tab.way)

    def set_aside(self, work: Awaitable[None]) -> asyncio.Task[None]:
        """Do this meanwhile, until its connection breaks."""

        async def until_it_breaks() -> None:
            with suppress(*BROKEN):
                await work

        task = asyncio.create_task(until_it_breaks())
        self.aside.add(task)
        return task

    async def abandon(self, headers: str) -> None:
        """Open a connection to the feed, read nothing of it and never close it."""
        with suppress(*BROKEN):
            host, port = self.network.url.removeprefix("http://").split(":")
            _, writer = await asyncio.open_connection(host, int(port), limit=1024)
            self.abandoned.append(writer)
            head = f"GET {self.life.path}/stream HTTP/1.1\r\nHost: {host}:{port}\r\n"
            writer.write(f"{head}Cookie: {self.life.headers['Cookie']}\r\n{headers}\r\n".encode())
            await writer.drain()

    async def stop(self) -> None:
        await self.insist("POST", f"{self.life.path}/turn/stop", {200}, headers=HTMX)

    async def try_again(self, page: Dom, *, continues: bool) -> None:
        """Use one of the buttons below the last reply."""
        if not page.replies:
            return
        number = str(page.replies[-1].attrs["id"]).removeprefix("rill-m")
        how = "continue" if continues and page.has(f'button[form="rill-continue"][value="{number}"]') else "retry"
        # A turn that runs refuses it, and so does a conversation in which another one has taken the place of this.
        url = f"{self.life.path}/turn/{how}"
        answer = await self.insist("POST", url, {200, 409}, {"reply": number}, HTMX)
        self.life.counts[f"{how}: {'begun' if answer.status_code == 200 else 'refused'}"] += 1

    async def page_through(self, page: Dom) -> bool:
        """Have another branch shown; tell whether there is one."""
        buttons = [
            button for button in page.document.select('button[form="rill-branch"]') if "disabled" not in button.attrs
        ]
        if buttons:
            fields = {"message": str(buttons[-1].attrs["value"])}
            await self.insist("POST", f"{self.life.path}/branch", {200}, fields, HTMX)
            self.life.counts["branch shown"] += 1
        return bool(buttons)
