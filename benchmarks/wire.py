"""The reader's side of a WebSocket, cheap enough to read thousands of frames a second beside the model.

Follows RFC 6455 and RFC 7692 as far as servers of text need it: whole messages, compressed or not, and pings.
"""

from __future__ import annotations

import os
import zlib
from base64 import b64encode
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

TEXT, CLOSE, PING = 1, 8, 9
_FINAL, _COMPRESSED, _MASKED = 0x80, 0x40, 0x80
_TAIL = b"\x00\x00\xff\xff"


def handshake(url: str, headers: Mapping[str, str]) -> bytes:
    """Ask for a socket, with compression as browsers do."""
    address = urlsplit(url)
    lines = [
        f"GET {address.path}{'?' * bool(address.query)}{address.query} HTTP/1.1",
        f"Host: {address.netloc}",
        *("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"),
        f"Sec-WebSocket-Key: {b64encode(os.urandom(16)).decode()}",
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def frame(opcode: int, payload: bytes) -> bytes:
    """Make a frame as a client sends it. The mask is zero, which changes nothing and is allowed."""
    size = len(payload)
    if size < 126:
        head = bytes([_FINAL | opcode, _MASKED | size])
    else:
        head = bytes([_FINAL | opcode, _MASKED | 126]) + size.to_bytes(2, "big")
    return head + bytes(4) + payload


class FrameReader:
    """Feed it what comes after the handshake; it gives the messages. `extensions` is the server's answer to ours."""

    def __init__(self, extensions: str) -> None:
        self._forgets = "server_no_context_takeover" in extensions
        self._inflate = zlib.decompressobj(wbits=-15)
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Give each whole message with its opcode. Raises `RuntimeError` for what none of these servers sends."""
        buffer = self._rest + data if self._rest else data
        at, end = 0, len(buffer)
        while end - at >= 2:
            start, size = at + 2, buffer[at + 1]
            if size == 126:
                start, size = at + 4, int.from_bytes(buffer[at + 2 : at + 4], "big")
            elif size == 127:
                start, size = at + 10, int.from_bytes(buffer[at + 2 : at + 10], "big")
            if start + size > end:
                break
            first = buffer[at]
            if not first & _FINAL:
                raise RuntimeError("a message in several frames")
            payload = buffer[start : start + size]
            yield first & 15, self._inflated(payload) if first & _COMPRESSED else payload
            at = start + size
        self._rest = buffer[at:]

    def _inflated(self, payload: bytes) -> bytes:
        if self._forgets:
            self._inflate = zlib.decompressobj(wbits=-15)
        return self._inflate.decompress(payload + _TAIL)
