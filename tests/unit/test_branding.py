"""An operator's colours can be read, whatever they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import ROOT
from webapp.assets import DARK, SCHEME, THEMES, Assets
from webapp.branding import DARK_PAPERS, LIGHT_PAPERS, MAX_LOGO_BYTES, Brand, contrast
from webapp.errors import SettingsInvalid

STATIC = ROOT / "static"
COLORS = st.integers(0, 0xFFFFFF).map(lambda number: f"#{number:06x}")


def declared(css: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", css))


@given(COLORS)
def test_any_accent_becomes_one_that_can_be_read_and_written_on(color: str) -> None:
    for is_dark, papers in ((False, LIGHT_PAPERS), (True, DARK_PAPERS)):
        found = declared(Brand(accent=color).colors(is_dark=is_dark))

        assert min(contrast(found["accent"], paper) for paper in papers) >= 4.5
        assert contrast(found["on-accent"], found["accent"]) >= 4.5
        ink = "#e7eaea" if is_dark else "#1d2426"
        assert contrast(ink, found["tint"]) >= 7


def test_a_colour_that_can_be_read_stays_as_it_is() -> None:
    assert declared(Brand(accent="#7b3a9a").colors(is_dark=False))["accent"] == "#7b3a9a"


def test_the_papers_are_those_of_the_style_sheet() -> None:
    light, _, dark = (STATIC / "css/10-tokens.css").read_text("utf-8").partition(DARK)

    assert (declared(light)["paper"], declared(light)["sunken"]) == LIGHT_PAPERS
    assert (declared(dark)["paper"], declared(dark)["raised"]) == DARK_PAPERS


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == 21
    assert round(contrast("#777777", "#ffffff"), 2) == 4.48


@pytest.mark.parametrize(
    ("brand", "sentence"),
    [
        (Brand(accent="red"), "RILL_ACCENT has to be a colour"),
        (Brand(accent="#12345"), "RILL_ACCENT has to be a colour"),
        (Brand(accent="#123456;}"), "RILL_ACCENT has to be a colour"),
        (Brand(logo=Path("logo.exe")), "has to be an SVG, PNG or WebP"),
        (Brand(logo=Path("nothing.svg")), "there is no file"),
    ],
)
def test_what_cannot_be_used_is_named(brand: Brand, sentence: str) -> None:
    with pytest.raises(SettingsInvalid, match=sentence):
        brand.check()


def test_a_logo_that_readers_would_wait_for_is_refused(tmp_path: Path) -> None:
    (tmp_path / "logo.png").write_bytes(b"x" * (MAX_LOGO_BYTES + 1))

    with pytest.raises(SettingsInvalid, match="200 KB"):
        Brand(logo=tmp_path / "logo.png").check()


def sheet(assets: Assets, theme: str) -> str:
    asset = assets.get(assets.style(theme))
    assert asset is not None
    return asset.body.decode()


def test_each_theme_has_a_sheet_of_its_own() -> None:
    assets = Assets(STATIC, Brand(accent="#7b3a9a"))
    sheets = {theme: sheet(assets, theme) for theme in THEMES}

    assert len(set(sheets.values())) == 3
    assert sheets[""].count(DARK) == 3
    assert SCHEME in sheets[""]
    for theme in ("light", "dark"):
        assert DARK not in sheets[theme]
        assert f"color-scheme: {theme};" in sheets[theme]
        assert "color-scheme: light dark" not in sheets[theme]
