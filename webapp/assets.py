"""The static files as the browser gets them: few, small, compressed once, and never asked for twice.

The style sheets are joined in the order of their names, htmx and its extensions in the order in which they have to run.
Each name carries a hash of the content, so that a browser may keep it for ever. There is a sheet for each theme: to
choose one needs no script, and no second copy of the colours.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from webapp.branding import LOGO_TYPES, Brand
from webapp.inset_styles import inset_sheet

SCRIPTS = ("htmx.min.js", "hx-csp.min.js", "hx-ws.min.js", "hx-sse.min.js")
"""In one file, because htmx starts by itself once its own script has run, and needs its extensions by then."""
DARK = "@media screen and (prefers-color-scheme: dark)"
"""What the colours of the dark scheme stand in; paper is white, whatever the screen was."""
THEMES = {"": DARK, "light": "@media not all", "dark": "@media screen"}
"""What takes that place in the sheet of each theme; the first is what the reader's system says."""
SCHEME = "color-scheme: light dark;"
SCHEMES = {"": "light dark", "light": "light", "dark": "dark"}


@dataclass(frozen=True, slots=True)
class Asset:
    name: str
    media_type: str
    body: bytes
    gzipped: bytes


class Assets:
    """All static files, read once; found by the name that `url_name` gives."""

    def __init__(self, folder: Path, brand: Brand | None = None) -> None:
        brand = brand or Brand()
        styles = "\n".join(path.read_text("utf-8") for path in sorted((folder / "css").glob("*.css")))
        if brand.accent:
            light, dark = brand.colors(is_dark=False), brand.colors(is_dark=True)
            styles += f"\n:root {{ {light} }}\n{DARK} {{ :root {{ {dark} }} }}"
        scripts = b"\n".join((folder / "vendor" / name).read_bytes() for name in SCRIPTS)
        logo = brand.logo or folder / "icon.svg"
        named = {
            "htmx.js": _asset("htmx", "js", "text/javascript; charset=utf-8", scripts),
            "logo": _asset("logo", logo.suffix[1:].lower(), LOGO_TYPES[logo.suffix.lower()], logo.read_bytes()),
        }
        for theme in THEMES:
            sheet = styles.replace(DARK, THEMES[theme]).replace(SCHEME, f"color-scheme: {SCHEMES[theme]};")
            named[f"style {theme}"] = _asset("rill", "css", "text/css; charset=utf-8", sheet.encode())
        if logo.suffix.lower() == ".png":
            named["icon"] = named["logo"]
        elif brand.logo is None:
            named["icon"] = _asset("icon", "png", LOGO_TYPES[".png"], (folder / "icon.png").read_bytes())
        self._named = named
        self._by_url_name = {asset.name: asset for asset in named.values()}
        self._inset_source = styles + (folder / "inset.css").read_text("utf-8")

    def url_name(self, name: str) -> str:
        """Give the hashed name of `htmx.js`, `logo` or `icon`."""
        return self._named[name].name

    @property
    def inset_style(self) -> str:
        """Give the hashed name of the style sheet of insets."""
        return self.inset.name

    @cached_property
    def inset(self) -> Asset:
        """Made when it is first asked for: it takes a while, and few have insets."""
        return _asset("inset", "css", "text/css; charset=utf-8", inset_sheet(self._inset_source).encode())

    @property
    def has_icon(self) -> bool:
        """Whether there is a PNG to stand on a home screen: of an operator's logo that is an SVG, none can be made."""
        return "icon" in self._named

    def style(self, theme: str) -> str:
        """Give the hashed name of a theme's style sheet."""
        return self._named[f"style {theme}"].name

    def media_type(self, name: str) -> str:
        return self._named[name].media_type

    def get(self, url_name: str) -> Asset | None:
        if url_name.startswith("inset."):
            return self.inset if url_name == self.inset_style else None
        return self._by_url_name.get(url_name)


def _asset(stem: str, suffix: str, media_type: str, body: bytes) -> Asset:
    digest = hashlib.sha256(body).hexdigest()[:12]
    return Asset(f"{stem}.{digest}.{suffix}", media_type, body, gzip.compress(body, 9, mtime=0))
