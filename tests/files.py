"""Files that somebody could attach, right and wrong."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

from PIL import Image
from pypdf import PdfWriter


def image(width: int = 64, height: int = 48, kind: str = "PNG", mode: str = "RGB", color: object = "red") -> bytes:
    made = BytesIO()
    Image.new(mode, (width, height), color).save(made, kind)  # type: ignore[arg-type]  # A color of that mode.
    return made.getvalue()


def picture() -> bytes:
    """Something to look at."""
    made = BytesIO()
    across, down = Image.linear_gradient("L").rotate(90), Image.linear_gradient("L")
    Image.merge("RGB", (across, down, Image.radial_gradient("L"))).resize((300, 200)).save(made, "PNG")
    return made.getvalue()


def photo(note: str) -> bytes:
    """A photo that stands on its side, and says where and by whom it was taken."""
    made, exif = BytesIO(), Image.Exif()
    exif[0x0112], exif[0x010E], exif[0x013B] = 6, note, note
    exif.get_ifd(0x8825)[29] = note
    Image.new("RGB", (40, 20), "blue").save(made, "JPEG", exif=exif, comment=note.encode())
    return made.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG that says it is that large, in a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    )


def pdf(*pages: str, password: str = "", owner_password: str = "") -> bytes:
    """A PDF with a line of text on each page."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", "", "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids = []
    for text in pages:
        stream = f"BT /F1 12 Tf 50 700 Td ({text}) Tj ET" if text else ""
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
        resources = "<< /Font << /F1 3 0 R >> >>"
        contents = f"{len(objects)} 0 R"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Resources {resources} /Contents {contents} >>"
        )
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    body, places = b"%PDF-1.4\n", []
    for number, each in enumerate(objects, 1):
        places.append(len(body))
        body += f"{number} 0 obj\n{each}\nendobj\n".encode()
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    trailer = f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(body)}\n%%EOF\n"
    whole = body + f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}{trailer}".encode()
    if not (password or owner_password):
        return whole
    writer, made = PdfWriter(clone_from=BytesIO(whole)), BytesIO()
    writer.encrypt(password, owner_password or None, algorithm="AES-256")
    writer.write(made)
    return made.getvalue()
