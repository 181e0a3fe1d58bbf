"""Files read in a process of their own, which is ended when it takes too long or too much (see `child`)."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

import structlog

from webapp.errors import AttachmentRefused, AttachmentsBusy
from webapp.languages import N_, number
from webapp.languages import gettext as _

log = structlog.get_logger()

MOST_TEXT_CHARS = 200_000
"""Some fifty thousand tokens: more than most models take, and a book of a hundred pages."""
MOST_PIXELS = 60_000_000
"""What the best of telephones make."""
LONGEST_EDGE = 1568
"""Vision models see no more: they make larger images smaller themselves."""
MEMORY_BYTES = 1_000_000_000
SECONDS = 30.0
AT_ONCE = 2
"""How many are read at once; the others wait."""
MOST_WAITING = 8
"""How many wait, each with its whole file in memory; those beyond them are told to come again."""

_SCRIPT = Path(__file__).with_name("child.py")
_slots = asyncio.Semaphore(AT_ONCE)
_waiting = 0


_UNREADABLE = N_("“%(name)s” cannot be read.")
_REFUSALS = {
    "pixels": N_("“%(name)s” has too many pixels."),
    "no image": N_("“%(name)s” is damaged, or no image of a kind that is known here."),
    "locked": N_("“%(name)s” is locked with a password."),
    "long": N_("“%(name)s” has more than %(limit)s characters of text."),
    "no pdf": N_("“%(name)s” is damaged, or no PDF."),
    "no text": N_("“%(name)s” has no text in it; it may be a scan."),
}
"""What the reader is told for each reason that `child` gives."""


def refusal(reason: str, name: str) -> str:
    """Say why a file cannot be attached; whoever has taken the child over can give any reason."""
    return _(_REFUSALS.get(reason, _UNREADABLE), name=name, limit=number(MOST_TEXT_CHARS))


async def read_image(name: str, body: bytes) -> tuple[bytes, int, int]:
    """Make a JPEG of an image; give it with its width and height in pixels. Raises `AttachmentRefused`."""
    about, made = await _read("image", name, body)
    return made, int(about["width"]), int(about["height"])


async def read_pdf(name: str, body: bytes) -> str:
    """Give the text of a PDF as it is in it, pages apart by an empty line. Raises `AttachmentRefused`."""
    return (await _read("pdf", name, body))[1].decode()


async def _read(kind: str, name: str, body: bytes) -> tuple[dict[str, str], bytes]:
    global _waiting
    if _waiting >= MOST_WAITING:
        raise AttachmentsBusy(
            _("Too many files are being read just now. Attach “%(name)s” again in a moment.", name=name)
        )
    _waiting += 1
    try:
        await _slots.acquire()
    finally:
        _waiting -= 1
    try:
        answer = await _ask_child(kind, name, body)
    finally:
        _slots.release()
    head, _newline, content = answer.partition(b"\n")
    try:
        about = json.loads(head)
    except ValueError:
        # Out of memory, or a fault of a parser's: the file is to blame, whatever it was.
        log.warning("attachment.unreadable", kind=kind, bytes=len(body))
        raise AttachmentRefused(refusal("unreadable", name)) from None
    if "refused" in about:
        raise AttachmentRefused(refusal(str(about["refused"]), name))
    return about, content


async def _ask_child(kind: str, name: str, body: bytes) -> bytes:
    limits = (MEMORY_BYTES, MOST_PIXELS, LONGEST_EDGE, MOST_TEXT_CHARS)
    command = (sys.executable, "-P", str(_SCRIPT), kind, *map(str, limits))
    # Nothing of this server's environment: whatever a file does to its parser, there is no key to be found.
    environment = {each: os.environ[each] for each in ("SYSTEMROOT",) if each in os.environ}
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=environment)
    try:
        async with asyncio.timeout(SECONDS):
            answer, _errors = await process.communicate(body)
    except TimeoutError:
        log.warning("attachment.too_slow", kind=kind, bytes=len(body))
        raise AttachmentRefused(_("“%(name)s” takes too long to be read.", name=name)) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return answer
