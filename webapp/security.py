"""Who may ask, from where, and what a page may do: identity, origins, hosts and the headers of every answer."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path

import structlog
from itsdangerous import BadSignature, TimestampSigner
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from webapp import errors
from webapp.domain import KeyScope, ReaderId
from webapp.languages import gettext as _
from webapp.settings import Settings
from webapp.stores import KeyStore

log = structlog.get_logger()

COOKIE = "rill_reader"
COOKIE_SECONDS = 400 * 24 * 3600
"""The longest life that browsers give a cookie; a copy that was kept for longer is worth nothing either."""

MAX_HEADER_BYTES = 16_384
"""More than any browser sends with our one cookie. A server's own limit lets a head pass that comes in one piece."""

DEFAULT_HEADERS = {
    "x-content-type-options": "nosniff",
    # With "no-referrer" the forms of our own pages would come with an Origin of "null".
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
}
"""What every answer carries that does not say otherwise itself."""

_READING = (
    "default-src 'none'; style-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; frame-ancestors"
)
READING_POLICY = f"{_READING} 'none'"
"""For a page that is only read: no script, no form, no frame."""

Identify = Callable[[HTTPConnection], "str | Awaitable[str | None] | None"]
"""Tells who sends a request or opens a socket: something that is the same for the same person, or `None`."""

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?")
_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}


def signing_secret(settings: Settings) -> str:
    """Give the secret that the settings name, or else that of this installation."""
    return settings.rill_secret.get_secret_value() if settings.rill_secret else load_secret(settings.rill_data_dir)


def load_secret(folder: Path) -> str:
    """Read the signing secret of this installation, or make it on the first start; only its owner may read it."""
    path = folder / "secret"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        with _draft(path, secrets.token_hex(32)) as draft, suppress(FileExistsError):
            os.link(draft, path)  # Of several processes at once, the first one's file stays.
    return path.read_text().strip()


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all, in the place of the one that is there."""
    with _draft(path, text) as draft:
        draft.replace(path)


@contextmanager
def _draft(path: Path, text: str) -> Iterator[Path]:
    """Write a private file beside another, for as long as it takes to put it there."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def page_nonce(secret: str, reader: ReaderId, page: str) -> str:
    """Derive a page's CSP nonce from its random name, so that a socket opened by that page can be told it again.

    The name stands in the socket's URL; without the secret, the nonce cannot be told from it.
    """
    digest = hmac.digest(secret.encode(), f"nonce:{reader}:{page}".encode(), hashlib.sha256)
    return urlsafe_b64encode(digest[:18]).decode()


def content_security_policy(nonce: str, connections: Iterable[str], ancestors: Iterable[str] = ("'self'",)) -> str:
    """Give the policy of one page.

    `connections` are the exact URLs that it may fetch from or open sockets to, `ancestors` those who may frame it.
    """
    allowed = " ".join(connections) or "'none'"
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src 'nonce-{nonce}' 'strict-dynamic'",
            "style-src 'self'",
            "img-src 'self'",
            "manifest-src 'self'",
            f"connect-src {allowed}",
            "form-action 'self'",
            "base-uri 'none'",
            f"frame-ancestors {' '.join(ancestors)}",
            "require-trusted-types-for 'script'",
            "trusted-types htmx",
        ]
    )


def framed_policy(ancestors: Iterable[str]) -> str:
    """Give the policy of a page that is only read, in frames of these origins."""
    return " ".join([_READING, "'self'", *ancestors])


def is_host_allowed(host: str, allowed: Iterable[str]) -> bool:
    """Tell whether a `Host` header is one that DNS rebinding cannot forge, or one that the operator listed.

    A page of an attacker's can make its own name point here, but not an address, nor a name without a dot.
    """
    found = _HOST.fullmatch(host)
    if found is None:
        return False
    name = found[1].strip("[]").rstrip(".").lower()
    try:
        ip_address(name)
    except ValueError:
        if not name or ":" in name:
            return False
        return "." not in name or name.endswith(".localhost") or name in {entry.lower() for entry in allowed}
    return True


def is_origin_allowed(headers: Headers, scheme: str, allowed: Iterable[str]) -> bool:
    """Tell whether a browser may have sent this request or handshake on behalf of one of our own pages.

    Fetch metadata is the first witness, the Origin header the second. A request with neither comes from a program:
    browsers send an Origin with every handshake and every unsafe request. Source: OWASP CSRF prevention cheat sheet.
    """
    origin = headers.get("origin")
    if headers.get("sec-fetch-site") in {"same-origin", "none"}:
        return True
    if origin is None:
        return headers.get("sec-fetch-site") is None
    if origin.lower() in allowed:
        return True
    # A proxy may have ended TLS without telling us, so the scheme of the Origin is not compared.
    host = headers.get("host", "").lower()
    return origin.lower() in {f"http://{host}", f"https://{host}"}


class Guard:
    """Refuses foreign hosts and origins, knows the reader, and puts the security headers on every answer.

    Pure ASGI, because it has to see WebSocket handshakes too. The reader's id is in `scope["state"]["reader"]`. A new
    reader, or one whose cookie is past half its life, gets a cookie once somebody has asked who it is
    (`webapp.services.reader`), so not with a static file. A program that shows a key is that key's reader, whatever
    cookie it sends, and gets none. `guests` tells of an address which origins' pages may use it beside our own.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        secret: str,
        allowed_hosts: tuple[str, ...],
        allowed_origins: tuple[str, ...],
        identify: Identify | None = None,
        guests: Callable[[str], tuple[str, ...]] = lambda path: (),
    ) -> None:
        self._app, self._identify, self._guests = app, identify, guests
        self._signer = TimestampSigner(secret, salt="reader", digest_method=hashlib.sha256)
        self._hosts, self._origins = allowed_hosts, allowed_origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        state = scope.setdefault("state", {})
        cookie_for: ReaderId | None = None
        path = scope.get("root_path", "")  # Now: a mount within the app writes its own into the same scope.

        async def send_with_headers(message: Message) -> None:
            if message["type"] in {"http.response.start", "websocket.http.response.start"}:
                # In other sites' pages browsers keep no cookies, and need none (see `webapp.visits`).
                is_cookie_due = state.get("is_reader_known") and not state.get("has_no_cookie")
                cookie = self._cookie(scope, path, cookie_for) if is_cookie_due and cookie_for is not None else None
                self._add_headers(message, scope, cookie)
            await send(message)

        refusal: Response | None = self._refusal(scope, headers)
        if refusal is None and _has_key(headers):
            refusal = await _take_key(scope, headers)
        elif refusal is None and self._identify is not None:
            state["reader"] = await _identified(self._identify, HTTPConnection(scope))
        elif refusal is None:
            state["reader"], needs_cookie = self._reader(HTTPConnection(scope))
            cookie_for = state["reader"] if needs_cookie else None
        if refusal is not None:
            await refusal(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        if _head_bytes(scope) > MAX_HEADER_BYTES:
            return _refused(headers, errors.HeadTooLarge())
        if not is_host_allowed(headers.get("host", ""), self._hosts):
            return _refused(headers, errors.HostNotAllowed())
        if scope["type"] == "http" and scope["method"] in _SAFE_METHODS:
            return None
        if not is_origin_allowed(headers, scope["scheme"], (*self._origins, *self._guests(_path(scope)))):
            return _refused(headers, errors.OriginNotAllowed())
        return None

    def _reader(self, connection: HTTPConnection) -> tuple[ReaderId, bool]:
        """Tell who asks, and whether they need a cookie: their first, or one whose life begins anew."""
        value = connection.cookies.get(self._cookie_name(connection.scope, connection.scope.get("root_path", "")), "")
        try:
            known, signed_at = self._signer.unsign(value, return_timestamp=True)
            reader = ReaderId(known.decode())
        except (BadSignature, UnicodeError):
            return _new_reader(), True
        age_seconds = time.time() - signed_at.timestamp()
        if age_seconds > COOKIE_SECONDS:
            return _new_reader(), True
        # One from the future is ours as well: this machine's clock was wrong, which is no reason to lose a reader.
        return reader, not 0 <= age_seconds <= COOKIE_SECONDS / 2

    def _add_headers(self, message: Message, scope: Scope, cookie: str | None) -> None:
        headers = MutableHeaders(scope=message)
        if scope["state"].get("is_for_all"):
            headers.setdefault("cross-origin-resource-policy", "cross-origin")
        if scope["state"].get("has_no_cookie"):
            # Whoever has its address is let in.
            headers.setdefault("referrer-policy", "no-referrer")
        for name, value in DEFAULT_HEADERS.items():
            headers.setdefault(name, value)
        if cookie is not None:
            headers.append("set-cookie", cookie)

    def _cookie(self, scope: Scope, path: str, reader: ReaderId) -> str:
        value = self._signer.sign(reader).decode()
        secure = "; Secure" if _is_secure(scope) else ""
        name = self._cookie_name(scope, path)
        return f"{name}={value}; Path={path or '/'}; Max-Age={COOKIE_SECONDS}; HttpOnly; SameSite=Lax{secure}"

    def _cookie_name(self, scope: Scope, path: str) -> str:
        if not _is_secure(scope):
            return COOKIE
        # Several of these apps may be mounted side by side; "__Host-" is for those that have the host to themselves.
        return f"__Secure-{COOKIE}" if path else f"__Host-{COOKIE}"


def _refused(headers: Headers, error: errors.RillError) -> Response:
    """Refuse before anything is known of who asks, in the asker's form."""
    is_program = re.search(r"application/(json|x-ndjson)|text/event-stream", headers.get("accept", ""))
    if is_program and headers.get("hx-request") != "true":
        return JSONResponse(error.as_json(), error.status)
    return PlainTextResponse(f"{error.sentence}\n", error.status)


async def _identified(identify: Identify, connection: HTTPConnection) -> ReaderId | None:
    """Ask the app around this one who is there. No cookie and no embed has such a reader."""
    found = identify(connection)
    name = await found if isinstance(found, Awaitable) else found
    return None if name is None else ReaderId(f"user:{name}")


def _path(scope: Scope) -> str:
    """Give the path below the one that the app is mounted at."""
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))


def _has_key(headers: Headers) -> bool:
    """Tell whether somebody shows a key, good or bad. Other schemes are for a proxy that may stand before us."""
    return headers.get("authorization", "").partition(" ")[0].lower() == "bearer"


async def _take_key(scope: Scope, headers: Headers) -> Response | None:
    """Have a key's reader ask, or give the answer that refuses the key.

    The store is open by now, though it was not when the `Guard` was made.
    """
    store: KeyStore = scope["app"].state.services.keys
    try:
        key = await store.find(headers["authorization"].partition(" ")[2].strip())
        if KeyScope.ASK not in key.scopes and not _only_reads(scope):
            raise errors.ProgramKeyReadsOnly
    except errors.StoreUnavailable as error:
        log.warning("key.not_looked_up", cause=error.cause, detail=error.detail)
        sentence = _("This key could not be looked up. Please try again.")
        return JSONResponse(errors.StoreUnavailable(sentence).as_json(), error.status)
    except errors.RillError as error:
        challenge = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
        return JSONResponse(error.as_json(), error.status, headers=challenge)
    scope["state"]["reader"] = key.reader
    return None


def _only_reads(scope: Scope) -> bool:
    """Tell whether a request changes nothing; up a socket, prompts may come."""
    return scope["type"] == "http" and scope["method"] in {"GET", "HEAD"}


def _new_reader() -> ReaderId:
    return ReaderId(secrets.token_hex(16))


def _head_bytes(scope: Scope) -> int:
    fields = sum(len(name) + len(value) for name, value in scope["headers"])
    return fields + len(scope.get("raw_path") or b"") + len(scope["query_string"])


def _is_secure(scope: Scope) -> bool:
    return scope["scheme"] in {"https", "wss"}
