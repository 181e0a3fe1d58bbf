"""The compression of pages, and that of WebSockets, with a memory that is given up between replies.

A compressor takes 38 KB, more than all else that a waiting reader costs. One that is new refers to nothing that was
sent before, so a peer's decompressor, which keeps what it has, takes the change of compressors at any message.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Sequence
from typing import Any

from starlette.middleware.gzip import GZipMiddleware
from starlette.types import Receive, Scope, Send
from websockets.extensions.base import Extension
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.frames import Frame
from websockets.typing import ExtensionParameter

UNUSED_SECONDS = 0.5
"""How long a compressor is kept for a next message: fragments of a reply come many times a second, beats do not."""


class PageCompression(GZipMiddleware):
    """Compresses what goes over HTTP, and leaves nothing of itself in the stack of a socket, which waits for hours."""

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:  # type: ignore[override]
        call = super().__call__ if scope["type"] == "http" else self.app
        return call(scope, receive, send)


class DeflateFactory(ServerPerMessageDeflateFactory):
    """Agrees with each peer on compression, in uvicorn's sizes."""

    def __init__(self) -> None:
        super().__init__(
            # Prompts are few: a decompressor for each costs less than one for every connection.
            client_no_context_takeover=True,
            server_max_window_bits=12,
            client_max_window_bits=12,
            compress_settings={"memLevel": 5},
        )

    def process_request_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> tuple[list[ExtensionParameter], Deflate]:
        agreed, made = super().process_request_params(params, accepted_extensions)
        return agreed, Deflate(
            made.remote_no_context_takeover,
            made.local_no_context_takeover,
            made.remote_max_window_bits,
            made.local_max_window_bits,
            made.compress_settings,
        )


class Deflate(PerMessageDeflate):
    """The standard's compression; its compressor is there only while messages follow each other closely."""

    encoder: zlib._Compress | None  # type: ignore[assignment]  # It is always there in the base class.

    def __init__(self, remote_no_context_takeover: bool, local_no_context_takeover: bool, *args: Any) -> None:
        super().__init__(remote_no_context_takeover, True, *args)  # Makes no compressor.
        self.local_no_context_takeover = local_no_context_takeover
        self.encoder = None
        self._was_used = False

    def encode(self, frame: Frame) -> Frame:
        """Compress an outgoing frame."""
        self._was_used = True
        if self.encoder is None and not self.local_no_context_takeover:
            self.encoder = zlib.compressobj(wbits=-self.local_max_window_bits, **self.compress_settings)
            self._look_later()
        return super().encode(frame)

    def _look_later(self) -> None:
        self._was_used = False
        asyncio.get_running_loop().call_later(UNUSED_SECONDS, self._look)

    def _look(self) -> None:
        if self._was_used:
            self._look_later()
        else:
            self.encoder = None
