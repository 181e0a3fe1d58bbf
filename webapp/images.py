"""Images in replies, fetched for the readers from hosts that the operator lists: no reader's browser goes there.

What is passed on is an image by its first bytes, of a bounded size, from a public address of a listed host, and no
redirect. An address that the operator lists itself, such as `127.0.0.1`, may be a private one.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import quote, urlsplit

import httpx2

from webapp import errors

MAX_IMAGE_BYTES = 5_242_880
MAX_URL_CHARS = 2_048
FETCH_SECONDS = 10.0
MAX_CONNECTIONS = 16

_FIRST_BYTES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}


@dataclass(frozen=True, slots=True)
class Image:
    media_type: str
    body: bytes


class Images:
    """Gives the address of a copy of an image, and the copy."""

    def __init__(self, hosts: tuple[str, ...]) -> None:
        self._hosts = frozenset(host.lower() for host in hosts)
        self._client = httpx2.AsyncClient(
            timeout=FETCH_SECONDS, limits=httpx2.Limits(max_connections=MAX_CONNECTIONS), trust_env=False
        )

    @property
    def rule(self) -> str:
        """What decides about images, in short: nothing when all are links."""
        return ",".join(sorted(self._hosts))

    async def close(self) -> None:
        await self._client.aclose()

    def source(self, url: str) -> str | None:
        """Give the address of the copy, as a conversation's page writes it, if the image's host is listed."""
        return f"../image?url={quote(url, safe='')}" if self._host(url) is not None else None

    async def fetch(self, url: str) -> Image:
        """Fetch an image. Raises `NotFound` unless its host is listed, and `ImageUnavailable`."""
        host = self._host(url)
        if host is None:
            raise errors.NotFound
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                return await self._fetch(url, host)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, TimeoutError) as error:
            raise errors.ImageUnavailable(detail=f"{type(error).__name__} from {host}") from None

    def _host(self, url: str) -> str | None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            return None
        named = f"{host}:{port}" if port else host
        if parts.scheme not in {"http", "https"} or parts.username is not None or len(url) > MAX_URL_CHARS:
            return None
        return host if {host, named} & self._hosts else None

    async def _fetch(self, url: str, host: str) -> Image:
        # The address that was looked at is the one that is connected to: a name can mean another one a moment later.
        address = await _address(host)
        parsed = httpx2.URL(url)
        request = self._client.build_request(
            "GET",
            parsed.copy_with(host=address),
            headers={"Host": parsed.netloc.decode("ascii"), "Accept": "image/*"},
            extensions={"sni_hostname": host},
        )
        response = await self._client.send(request, stream=True)
        try:
            if response.status_code != 200:
                raise errors.ImageUnavailable(detail=f"status {response.status_code} from {host}")
            body = bytearray()
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > MAX_IMAGE_BYTES:
                    raise errors.ImageUnavailable(detail=f"more than {MAX_IMAGE_BYTES} bytes from {host}")
        finally:
            await response.aclose()
        return Image(_media_type(bytes(body[:16]), host), bytes(body))


async def _address(host: str) -> str:
    """Find a public address of a host; one that is written as an address was listed as such."""
    try:
        return str(ip_address(host))
    except ValueError:
        pass
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses or not all(ip_address(address).is_global for address in addresses):
        raise errors.ImageUnavailable(detail=f"{host} is no public host")
    return addresses[0]


def _media_type(first: bytes, host: str) -> str:
    if first[:4] == b"RIFF" and first[8:12] == b"WEBP":
        return "image/webp"
    if first[4:12] in {b"ftypavif", b"ftypavis"}:
        return "image/avif"
    for beginning, media_type in _FIRST_BYTES.items():
        if first.startswith(beginning):
            return media_type
    raise errors.ImageUnavailable(detail=f"no image from {host}")
