"""Request bodies, read only as far as they may reach."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.types import Message

from webapp import errors
from webapp.domain import MOST_ATTACHMENTS, ConversationId
from webapp.languages import gettext as _
from webapp.services import services

MAX_FORM_FIELDS = 32
BYTES_PER_CHAR = 12
"""A character of four bytes takes twelve in a form, each byte as `%XX`."""
OTHER_FIELDS_BYTES = 8_192
LISTS = {"attachments"}


@dataclass(frozen=True, slots=True)
class SentFile:
    """A file as it came in a form; its name is whatever somebody called it."""

    name: str
    body: bytes


async def read_fields(request: Request) -> Mapping[str, object]:
    """Read a form or a JSON object, whichever it is. Raises `BadRequest` and `BodyTooLarge`."""
    return (await _read(request, 0))[0]


def shown_conversation(fields: Mapping[str, object]) -> ConversationId | None:
    """The conversation that the asking page shows, which its forms say as `from`."""
    shown = str(fields.get("from", ""))[:64]
    return ConversationId(shown) if shown else None


async def read_fields_and_files(request: Request) -> tuple[Mapping[str, object], list[SentFile]]:
    """Read the same, and the files that came in a form's field `file`. Raises `AttachmentRefused`, too."""
    return await _read(request, MOST_ATTACHMENTS if services(request).settings.rill_attachments else 0)


async def read_files(request: Request) -> list[SentFile]:
    """Read the file that came in a form's field `file`, or none. Raises as the above."""
    return (await _read(request, 1))[1]


async def _read(request: Request, max_files: int) -> tuple[Mapping[str, object], list[SentFile]]:
    settings = services(request).settings
    limit_bytes = settings.rill_max_prompt_chars * BYTES_PER_CHAR + OTHER_FIELDS_BYTES
    media_type, options = parse_options_header(request.headers.get("content-type"))
    too_large: errors.RillError = errors.BodyTooLarge()
    if media_type == b"multipart/form-data" and max_files:
        limit_bytes += settings.rill_max_upload_mb * 1_000_000
        too_large = errors.AttachmentRefused(
            _("At most %(limit)s MB can be attached at once.", limit=settings.rill_max_upload_mb)
        )
    bounded = _bounded(request, limit_bytes, too_large)
    if media_type == b"application/json":
        return await _json_object(bounded), []
    if media_type == b"application/x-www-form-urlencoded":
        return await _form(bounded), []
    # Some of Python's decoders fail in ways of their own, and "punycode" takes ten seconds for a form.
    if options.get(b"charset", b"utf-8").lower() not in {b"utf-8", b"utf8"}:
        raise errors.BadRequest(_("This form is not in UTF-8."))
    # A browser sends a field for files that nobody chose, too: without a name.
    async with bounded.form(max_files=max_files or 1, max_fields=MAX_FORM_FIELDS, max_part_size=limit_bytes) as form:
        fields = _fields((name, value) for name, value in form.multi_items() if isinstance(value, str))
        files = [file for file in form.getlist("file") if isinstance(file, UploadFile) and file.filename]
        if len(files) > max_files:
            raise errors.BadRequest(_("Files cannot be sent here."))
        return fields, [SentFile(file.filename or "", await file.read()) for file in files]


def _bounded(request: Request, limit_bytes: int, too_large: errors.RillError) -> Request:
    """Give the request with a body that raises the error as soon as it is known to be too large."""
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > limit_bytes:
        raise too_large
    received = 0

    async def receive() -> Message:
        nonlocal received
        message = await request.receive()
        received += len(message.get("body", b""))
        if received > limit_bytes:
            raise too_large
        return message

    return Request(request.scope, receive)


async def _form(request: Request) -> dict[str, object]:
    """Read a form as a browser or a program sends it; programs leave characters as they are (`curl -d prompt=é`)."""
    body = (await request.body()).decode("utf-8", "replace")
    try:
        return _fields(parse_qsl(body, keep_blank_values=True, max_num_fields=MAX_FORM_FIELDS))
    except ValueError:
        raise errors.BadRequest from None


def _fields(sent: Iterable[tuple[str, str]]) -> dict[str, object]:
    """Give the fields of a form: the last of each name, but all of those that JSON has a list of."""
    pairs = list(sent)
    lists = {each: [value for name, value in pairs if name == each] for each in LISTS}
    return {**dict(pairs), **{name: values for name, values in lists.items() if values}}


async def _json_object(request: Request) -> dict[str, object]:
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError):
        raise errors.BadRequest(_("This request is not valid JSON.")) from None
    if not isinstance(body, dict):
        raise errors.BadRequest(_("This request is no JSON object."))
    return body
