"""Reads one file that somebody attached, in a process of its own: parsers of images and PDFs are what attackers aim at.

    child.py KIND MEMORY_BYTES MOST_PIXELS LONGEST_EDGE MOST_CHARS < file > answer

The answer is a line of JSON about what comes after it: `{"width": ..., "height": ...}` and a JPEG, or `{}` and text; or
`{"refused": ...}` with a reason of `webapp.attachments.reading`. The process has little memory, and its parent ends it
when it takes too long.
"""

from __future__ import annotations

import json
import sys
from io import BytesIO
from typing import Any

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
JPEG_QUALITY = 88
"""Text in a screenshot is still sharp."""


class Refused(Exception):
    """The file is of the right kind, and cannot be used all the same."""


def main() -> None:
    kind, (memory_bytes, most_pixels, longest_edge, most_chars) = sys.argv[1], map(int, sys.argv[2:])
    # A print in some parser must not end up in the answer.
    stdout, sys.stdout = sys.stdout.buffer, sys.stderr
    body = sys.stdin.buffer.read()
    try:
        # What a parser needs is loaded before its memory is bounded, so that the bound is the file's alone.
        read = _image_reader(most_pixels, longest_edge) if kind == "image" else _pdf_reader(most_chars)
        _limit(memory_bytes)
        about, content = read(body)
    except Refused as refusal:
        about, content = {"refused": str(refusal)}, b""
    stdout.write(json.dumps(about).encode() + b"\n" + content)
    stdout.flush()


def _limit(memory_bytes: int) -> None:
    if sys.platform != "linux":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def _image_reader(most_pixels: int, longest_edge: int) -> Any:
    from PIL import Image, ImageOps, UnidentifiedImageError

    Image.MAX_IMAGE_PIXELS = most_pixels
    Image.preinit()
    Image.init()

    def read(body: bytes) -> tuple[dict[str, object], bytes]:
        try:
            with Image.open(BytesIO(body), formats=FORMATS) as opened:
                if opened.width * opened.height > most_pixels:
                    raise Refused("pixels")
                opened.draft("RGB", (longest_edge, longest_edge))
                image = ImageOps.exif_transpose(opened)
                image.thumbnail((longest_edge, longest_edge))
                image = _opaque(image)
        except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
            raise Refused("no image") from error
        made = BytesIO()
        # Nothing of what the file says besides its pixels is passed on: no place, no camera, no comment.
        image.info.clear()
        image.save(made, "JPEG", quality=JPEG_QUALITY)
        return {"width": image.width, "height": image.height}, made.getvalue()

    def _opaque(image: Any) -> Any:
        """Put what is transparent on white paper."""
        if not (image.has_transparency_data or image.mode in {"RGBA", "LA", "PA"}):
            return image.convert("RGB")
        image = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, "white")
        paper.alpha_composite(image)
        return paper.convert("RGB")

    return read


def _pdf_reader(most_chars: int) -> Any:
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    def read(body: bytes) -> tuple[dict[str, object], bytes]:
        try:
            reader = PdfReader(BytesIO(body))
            if reader.is_encrypted and not reader.decrypt(""):
                raise Refused("locked")
            pages, chars = [], 0
            for page in reader.pages:
                text = page.extract_text().strip()
                chars += len(text)
                if chars > most_chars:
                    raise Refused("long")
                pages.append(text)
        except (PyPdfError, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
            raise Refused("no pdf") from error
        whole = "\n\n".join(page for page in pages if page)
        if not whole:
            raise Refused("no text")
        return {}, whole.encode("utf-8", "replace")

    return read


if __name__ == "__main__":
    main()
