"""Request bodies, read only as far as they may reach."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import parse_qsl

from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.types import Message

from webapp import errors
from webapp.services import services

MAX_FORM_FIELDS = 16
BYTES_PER_CHAR = 12
"""A character of four bytes takes twelve in a form, each byte as `%XX`."""
OTHER_FIELDS_BYTES = 8_192


async def read_fields(request: Request) -> Mapping[str, object]:
    """Read a form or a JSON object, whichever it is. Raises `BadRequest` and `BodyTooLarge`."""
    bounded = _bounded(request, services(request).settings.rill_max_prompt_chars * BYTES_PER_CHAR + OTHER_FIELDS_BYTES)
    media_type, options = parse_options_header(request.headers.get("content-type"))
    if media_type == b"application/json":
        return await _json_object(bounded)
    if media_type == b"application/x-www-form-urlencoded":
        return await _form(bounded)
    # Some of Python's decoders fail in ways of their own, and "punycode" takes ten seconds for a form.
    if options.get(b"charset", b"utf-8").lower() not in {b"utf-8", b"utf8"}:
        raise errors.BadRequest("This form is not in UTF-8.")
    async with bounded.form(max_files=0, max_fields=MAX_FORM_FIELDS) as form:
        return {name: value for name, value in form.items() if not isinstance(value, UploadFile)}


def _bounded(request: Request, limit_bytes: int) -> Request:
    """Give the request with a body that raises `BodyTooLarge` as soon as it is known to be."""
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > limit_bytes:
        raise errors.BodyTooLarge
    received = 0

    async def receive() -> Message:
        nonlocal received
        message = await request.receive()
        received += len(message.get("body", b""))
        if received > limit_bytes:
            raise errors.BodyTooLarge
        return message

    return Request(request.scope, receive)


async def _form(request: Request) -> dict[str, object]:
    """Read a form as a browser or a program sends it; programs leave characters as they are (`curl -d prompt=é`)."""
    body = (await request.body()).decode("utf-8", "replace")
    try:
        return dict(parse_qsl(body, keep_blank_values=True, max_num_fields=MAX_FORM_FIELDS))
    except ValueError:
        raise errors.BadRequest from None


async def _json_object(request: Request) -> dict[str, object]:
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError):
        raise errors.BadRequest("This request is not valid JSON.") from None
    if not isinstance(body, dict):
        raise errors.BadRequest("This request is no JSON object.")
    return body
