"""The style sheet knows each class of code and formulas, and no other; each colour can be read on its paper."""

from __future__ import annotations

import re
from itertools import product

import pytest

from tests.fakes import ROOT
from webapp.markdown import code, formulas

STYLES = ROOT / "static" / "css"
SHEET = re.sub(r"/\*.*?\*/", "", (STYLES / "55-code.css").read_text(encoding="utf-8"), flags=re.S)
TOKENS = (STYLES / "10-tokens.css").read_text(encoding="utf-8")

_RULE = re.compile(r"([^{};]+)\{([^{}]*)\}")
_CLASS = re.compile(r"\.([a-z][a-z0-9]*)")
_DARK = "@media screen and (prefers-color-scheme: dark) {"
"""Paper is white, whatever the screen was: every sheet must say so, or a print mixes the schemes."""

MIN_CONTRAST = 4.5
"""WCAG 2.2, 1.4.3, level AA, for text that is not large."""

MATH_PAPERS = ("--paper", "--sunken", "--tint")
"""What formulas can stand on: the page, a table's head, a footnote that was just jumped to; and the alerts, tinted."""

ALERTS = ("--note", "--tip", "--important", "--warning", "--problem")


def selectors() -> list[str]:
    return [selector.strip() for head, _ in _RULE.findall(SHEET) for selector in head.split(",")]


def classes_below(parent: str) -> set[str]:
    """The classes that have a rule within an element of a message."""
    return {
        name
        for selector in selectors()
        if selector.startswith(f".message {parent} ")
        for name in _CLASS.findall(selector.removeprefix(".message"))
    }


def declaration(selector: str, name: str) -> str | None:
    """What the last rule with exactly this selector says of a property."""
    found = [
        match[1]
        for head, body in _RULE.findall(SHEET)
        if selector in [one.strip() for one in head.split(",")]
        for match in re.finditer(rf"(?:^|;)\s*{name}:\s*([^;]+)", body)
    ]
    return found[-1].strip() if found else None


def custom_properties(scheme: str) -> dict[str, str]:
    """The colours of a colour scheme, by the names of their custom properties."""
    found: dict[str, str] = {}
    for sheet in (TOKENS, SHEET):
        light, _, rest = sheet.partition(_DARK)
        dark = rest.partition("\n}\n")[0]
        assert dark, "a dark scheme"
        for part in (light, dark) if scheme == "dark" else (light,):
            found |= re.findall(r"(--[a-z-]+): (#[0-9a-f]{6});", part)
    return found


def channels(color: str) -> list[float]:
    return [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]


def luminance(rgb: list[float]) -> float:
    """WCAG 2.2's relative luminance."""
    red, green, blue = (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in rgb)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(color: list[float], paper: list[float]) -> float:
    darker, lighter = sorted((luminance(color), luminance(paper)))
    return (lighter + 0.05) / (darker + 0.05)


def mixed(color: list[float], share: float, paper: list[float]) -> list[float]:
    return [share * one + (1 - share) * other for one, other in zip(color, paper, strict=True)]


def property_name(value: str | None) -> str:
    match = re.fullmatch(r"var\((--[a-z-]+)\)", value or "")
    assert match is not None, f"{value} is one of the named colours"
    return match[1]


def test_contrast_is_computed_as_wcag_does() -> None:
    assert contrast([0, 0, 0], [1, 1, 1]) == pytest.approx(21)
    # https://webaim.org/resources/contrastchecker/ gives 4.54 for #767676, and 4.48 for #777777.
    assert contrast(channels("#767676"), [1, 1, 1]) == pytest.approx(4.54, abs=0.005)
    assert contrast(channels("#777777"), [1, 1, 1]) == pytest.approx(4.48, abs=0.005)


def test_every_class_of_code_has_a_rule() -> None:
    assert classes_below("pre") == {*code.CLASSES}


def test_every_class_of_formulas_has_a_rule() -> None:
    assert classes_below("math") == {*formulas.CLASSES}


def test_no_rule_names_a_class_that_is_not_there() -> None:
    named = {name for selector in selectors() for name in _CLASS.findall(selector)}

    assert named - {*code.CLASSES} - formulas.CLASSES == {"message", "code"}
    assert all(selector.startswith((".message ", ":root", "@")) for selector in selectors())


def test_the_dark_scheme_redefines_every_colour_and_nothing_else() -> None:
    light, _, rest = SHEET.partition(_DARK)
    dark = rest.partition("\n}\n")[0]

    assert re.findall("--[a-z-]+(?=:)", dark) == re.findall("--[a-z-]+(?=:)", light)
    assert set(re.findall("[{;]\\s*([a-z-]+)(?=:)", dark)) <= {*re.findall("--[a-z-]+(?=:)", light)}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", code.CLASSES)
def test_code_can_be_read(name: str, scheme: str) -> None:
    colors = custom_properties(scheme)
    ink = declaration(f".message pre .{name}", "color") or declaration(".message .code", "color")
    paper = declaration(f".message pre .{name}", "background") or declaration(".message .code", "background")

    assert contrast(channels(colors[property_name(ink)]), channels(colors[property_name(paper)])) >= MIN_CONTRAST


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("selector", [".message code", ".message .code", ".message figcaption"])
def test_plain_code_and_its_caption_can_be_read(selector: str, scheme: str) -> None:
    colors = custom_properties(scheme)
    ink = property_name(declaration(selector, "color"))
    paper = property_name(declaration(selector, "background") or declaration(".message .code", "background"))

    assert contrast(channels(colors[ink]), channels(colors[paper])) >= MIN_CONTRAST


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("hue", sorted({*formulas._HUES.values()}))
def test_a_coloured_formula_can_be_read(hue: str, scheme: str) -> None:
    colors = custom_properties(scheme)
    ink = channels(colors[property_name(declaration(f".message math .{hue}", "color"))])
    page = channels(colors["--paper"])
    papers = [channels(colors[name]) for name in MATH_PAPERS]
    papers += [mixed(channels(colors[name]), 0.08, page) for name in ALERTS]

    assert min(contrast(ink, paper) for paper in papers) >= MIN_CONTRAST


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_of_code_differ_from_each_other(scheme: str) -> None:
    colors = {name: color for name, color in custom_properties(scheme).items() if name.startswith("--code-")}
    apart = [max(abs(a - b) for a, b in zip(channels(one), channels(other), strict=True))
             for (first, one), (second, other) in product(colors.items(), repeat=2)
             if first < second and not {first, second} & {"--code-added", "--code-removed"}
             and "tint" not in first + second]  # fmt: skip

    assert min(apart) > 0.1
