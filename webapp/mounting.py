"""The app as a part of another one, which may know nothing of what it needs open."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send


class Chat(Starlette):
    """An ASGI app that opens what it needs by itself, when nobody has told it to.

    Whoever serves it alone runs its lifespan. Apps that mount others do not: then the first request opens it, and it is
    closed, after running replies have had their time, when the event loop cancels what is left, as `asyncio.run` does
    at its end.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._life: asyncio.Task[None] | None = None
        self._opening: asyncio.Future[None] | None = None

    def build_middleware_stack(self) -> ASGIApp:
        stack = super().build_middleware_stack()

        def open_stack(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
            # No coroutine once it is open: sockets wait for hours, and would keep its frame.
            is_open = scope["type"] == "lifespan" or hasattr(self.state, "services")
            return stack(scope, receive, send) if is_open else self._open_first(stack, scope, receive, send)

        return open_stack

    async def _open_first(self, stack: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        if self._opening is None or self._opening.done():
            self._opening = asyncio.get_running_loop().create_future()
            self._life = asyncio.create_task(self._live(self._opening), name="rill")
        await asyncio.shield(self._opening)
        await stack(scope, receive, send)

    async def _live(self, opening: asyncio.Future[None]) -> None:
        try:
            async with self.router.lifespan_context(self):
                opening.set_result(None)
                await asyncio.Event().wait()
        except Exception as error:
            if opening.done():
                raise
            opening.set_exception(error)  # Whoever waits is told, and the next request tries again.
