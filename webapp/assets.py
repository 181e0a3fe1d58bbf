"""The static files as the browser gets them: few, small, compressed once, and never asked for twice.

The style sheets are joined in the order of their names, htmx and its extensions in the order in which they have to run.
Each name carries a hash of the content, so that a browser may keep it for ever.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

SCRIPTS = ("htmx.min.js", "hx-csp.min.js", "hx-ws.min.js", "hx-sse.min.js")
"""In one file, because htmx starts by itself once its own script has run, and needs its extensions by then."""


@dataclass(frozen=True, slots=True)
class Asset:
    name: str
    media_type: str
    body: bytes
    gzipped: bytes


class Assets:
    """All static files, read once; found by the name that `url_name` gives."""

    def __init__(self, folder: Path) -> None:
        styles = b"\n".join(path.read_bytes() for path in sorted((folder / "css").glob("*.css")))
        scripts = b"\n".join((folder / "vendor" / name).read_bytes() for name in SCRIPTS)
        named = {
            "rill.css": _asset("rill", "css", "text/css; charset=utf-8", styles),
            "htmx.js": _asset("htmx", "js", "text/javascript; charset=utf-8", scripts),
            "icon.svg": _asset("icon", "svg", "image/svg+xml", (folder / "icon.svg").read_bytes()),
        }
        self._url_names = {name: asset.name for name, asset in named.items()}
        self._by_url_name = {asset.name: asset for asset in named.values()}

    def url_name(self, name: str) -> str:
        """Give the hashed name of `rill.css`, `htmx.js` or `icon.svg`."""
        return self._url_names[name]

    def get(self, url_name: str) -> Asset | None:
        return self._by_url_name.get(url_name)


def _asset(stem: str, suffix: str, media_type: str, body: bytes) -> Asset:
    digest = hashlib.sha256(body).hexdigest()[:12]
    return Asset(f"{stem}.{digest}.{suffix}", media_type, body, gzip.compress(body, 9, mtime=0))
