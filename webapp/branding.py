"""How an operator has the page look like theirs: a name, a logo, an accent colour that can be read, a line of text.

Whatever colour is given, it is made darker or lighter until text in it, and on it, can be read on the page's paper.
Source: WCAG 2.2, relative luminance and contrast ratio.
"""

from __future__ import annotations

import colorsys
import re
from dataclasses import dataclass
from pathlib import Path

from webapp.errors import SettingsInvalid

MIN_CONTRAST = 4.5
LIGHT_PAPERS = ("#fbfbf9", "#f1f1ed")
"""`--paper` and `--sunken` of static/css/10-tokens.css; a test compares."""
DARK_PAPERS = ("#15191a", "#1d2324")
"""`--paper` and `--raised` of the dark scheme."""
ACCENT = "#0f6e6b"
"""`--accent` of the light scheme."""
TINT = 0.13
LOGO_TYPES = {".svg": "image/svg+xml", ".png": "image/png", ".webp": "image/webp"}
MAX_LOGO_BYTES = 200_000

Rgb = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Brand:
    """`name` stands where "Rill" would, `footer` below the message box; `logo` is a file, `accent` a colour."""

    name: str = "Rill"
    footer: str = ""
    logo: Path | None = None
    accent: str = ""

    def check(self) -> None:
        """Raise `SettingsInvalid` for a colour or a file that cannot be used."""
        if self.accent and re.fullmatch(r"#[0-9a-fA-F]{6}", self.accent) is None:
            raise SettingsInvalid("RILL_ACCENT has to be a colour such as #0f6e6b.")
        if self.logo is None:
            return
        if self.logo.suffix.lower() not in LOGO_TYPES:
            raise SettingsInvalid("RILL_LOGO has to be an SVG, PNG or WebP file.")
        if not self.logo.is_file():
            raise SettingsInvalid(f"RILL_LOGO: there is no file {self.logo}.")
        if self.logo.stat().st_size > MAX_LOGO_BYTES:
            raise SettingsInvalid(
                f"RILL_LOGO: {self.logo} has more than {MAX_LOGO_BYTES // 1000} KB; readers load it first."
            )

    @property
    def button_colors(self) -> tuple[str, str]:
        """Give the colours of a button and of the words on it, on pages of which nothing is known."""
        accent = readable(self.accent or ACCENT, LIGHT_PAPERS, is_lighter=False)
        return accent, _on(accent)

    def colors(self, *, is_dark: bool) -> str:
        """Give the custom properties of a colour scheme that the accent changes, as CSS; there has to be an accent."""
        papers = DARK_PAPERS if is_dark else LIGHT_PAPERS
        accent = readable(self.accent, papers, is_lighter=is_dark)
        paper = _rgb(papers[0])
        tint = tuple(part * TINT + of * (1 - TINT) for part, of in zip(_rgb(accent), paper, strict=True))
        return f"--accent: {accent}; --on-accent: {_on(accent)}; --tint: {_hex((tint[0], tint[1], tint[2]))};"


def _on(color: str) -> str:
    """Give the colour of words on another one."""
    return max(("#ffffff", "#10100f"), key=lambda words: contrast(words, color))


def readable(color: str, papers: tuple[str, ...], *, is_lighter: bool) -> str:
    """Make a colour lighter or darker, in small steps, until it can be read on each paper."""
    hue, lightness, saturation = colorsys.rgb_to_hls(*_rgb(color))
    while min(contrast(color, paper) for paper in papers) < MIN_CONTRAST:
        lightness = lightness + 0.01 if is_lighter else lightness - 0.01
        color = _hex(colorsys.hls_to_rgb(hue, min(max(lightness, 0.0), 1.0), saturation))
    return color


def contrast(one: str, other: str) -> float:
    """Give the contrast ratio of two colours, from 1 to 21."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: str) -> float:
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in _rgb(color))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _rgb(color: str) -> Rgb:
    red, green, blue = (int(color[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue


def _hex(color: Rgb) -> str:
    return "#" + "".join(f"{round(part * 255):02x}" for part in color)
