"""The style sheet of insets, read as a browser reads it; tests/embed/test_insets.py looks at what it does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import tinycss2

from tests.fakes import ROOT
from webapp.assets import Assets
from webapp.branding import Brand
from webapp.inset_styles import LAYERS, inset_sheet

SHEET = Assets(ROOT / "static", Brand(accent="#b00020")).inset.body.decode()


def rules(found: list[Any], within: str = "") -> Iterator[tuple[str, Any]]:
    """Give all rules, with the conditions that they stand in."""
    for rule in found:
        assert rule.type != "error", rule.message
        if rule.type == "at-rule" and rule.at_keyword in {"layer", "media", "supports"} and rule.content is not None:
            inner = tinycss2.parse_rule_list(rule.content, skip_comments=True, skip_whitespace=True)
            yield from rules(inner, f"{within}@{rule.at_keyword} {tinycss2.serialize(rule.prelude).strip()} ")
        else:
            yield within, rule


ALL = list(rules(tinycss2.parse_stylesheet(SHEET, skip_comments=True, skip_whitespace=True)))
STYLES = [(within, rule) for within, rule in ALL if rule.type == "qualified-rule"]


def declarations(rule: Any) -> list[Any]:
    return list(tinycss2.parse_blocks_contents(rule.content, skip_comments=True, skip_whitespace=True))


def test_every_declaration_is_important() -> None:
    declared = [each for _, rule in STYLES for each in declarations(rule)]

    assert len(declared) > 500
    assert [each.name for each in declared if each.type != "declaration" or not each.important] == []


def test_every_rule_stands_below_the_root_and_in_a_layer_of_ours() -> None:
    for within, rule in STYLES:
        starts = [1, *(at + 1 for at, token in enumerate(rule.prelude, 1) if token == ",")]
        selectors = [tinycss2.serialize(rule.prelude[start - 1 :]).strip() for start in starts]
        assert within.startswith("@layer rill.")
        assert [one for one in selectors if not one.startswith((".rill", ":is(.rill, .rill "))] == []


def test_what_has_a_name_for_the_whole_page_has_ours() -> None:
    named = [rule for _, rule in ALL if rule.type == "at-rule" and rule.at_keyword in {"keyframes", "property"}]
    used = re.findall(r"animation: ([^;}]+?) !important", SHEET)
    names = {part.split()[0] for value in used for part in value.split(", ")} - {"none", "revert"}

    assert [tinycss2.serialize(rule.prelude) for rule in named if "rill-" not in tinycss2.serialize(rule.prelude)] == []
    assert names == {tinycss2.serialize(rule.prelude).strip() for rule in named if rule.at_keyword == "keyframes"}
    assert names >= {"rill-waiting", "rill-lost", "rill-ask"}
    assert set(re.findall(r"(?<![\w-])--(?!rill-)[\w-]+", SHEET)) == set()


def test_no_size_depends_on_that_of_the_page_s_root() -> None:
    sizes = [
        token for _, rule in STYLES for each in declarations(rule) for token in each.value if token.type == "dimension"
    ]

    assert len(sizes) > 200
    assert [token for token in sizes if token.lower_unit == "rem"] == []
    assert "--rill-text: 17px !important" in SHEET


def test_the_layers_stand_in_the_reverse_of_our_own_order() -> None:
    own = (ROOT / "static" / "css" / "00-layers.css").read_text()
    (names,) = re.findall(r"@layer ([^;]+);", own)

    assert SHEET.startswith(f"@layer {', '.join(f'rill.{layer}' for layer in LAYERS)};")
    assert [layer for layer in LAYERS if layer in names.split(", ")] == names.split(", ")[::-1]


def test_colors_follow_the_scheme_of_the_page() -> None:
    assert "--rill-ink: light-dark(#1d2426, #e7eaea) !important" in SHEET
    assert re.search(r"--rill-accent: light-dark\(#[0-9a-f]{6}, #[0-9a-f]{6}\)", SHEET)
    assert "color-scheme: inherit !important" in SHEET
    assert "prefers-color-scheme" not in SHEET


def test_rules_for_our_own_pages_alone_are_left_out() -> None:
    assert not re.search(r"(?<![\w.-])(html|body|main)(?![\w-])", re.sub(r'"[^"]*"', "", SHEET))


@pytest.mark.parametrize("sheet", ["@font-face { src: x }", "a { color }", "a { b: c } }", "a { & b { color: red } }"])
def test_what_is_not_understood_is_not_left_out_silently(sheet: str) -> None:
    with pytest.raises(ValueError, match=r"is no declaration|is not known|line"):
        inset_sheet(sheet)
