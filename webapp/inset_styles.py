"""Our style sheet for chats in pages of other people's: their styles do not come in, and ours do not go out.

A shadow root would do that, but htmx neither connects nor swaps what is in one. So each rule stands below the root of
the chat, `.rill`, and each declaration is important, in layers of our own: those win over all that is important outside
of layers, and the earliest wins over the others. The last of them takes back whatever else the page says. Source:
CSS Cascading and Inheritance Level 5, section 6.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import tinycss2

KNOWS_SCHEMES = "@supports (color: light-dark(#000, #fff))"
DARK = "(prefers-color-scheme: dark)"
FIRST, TOKENS, WALL = "first", "tokens", "wall"
LAYERS = (FIRST, TOKENS, "components", "layout", "base", "reset", WALL)
"""In the reverse of the order in which our own pages have them: of what is important, the earliest layer wins."""
_SHAPED = "svg *, mspace, mpadded"
"""What has its shape or size by attributes, which are styles of the lowest kind: `all: revert` takes them back, too."""
_ALL = ":is(.rill, .rill *)"
_PARTS = ("::before", "::after", "::placeholder", "::marker", "::file-selector-button")
"""Not others: in Chromium 156 a closed `::details-content` shows when it is reverted, a `::-webkit-scrollbar` does not
any more, and `::selection` inherits the page's own. `::first-letter` would be a box in each paragraph."""
_REVERTED = (
    "animation background border box-shadow color cursor display fill filter float font letter-spacing margin "
    "max-height max-width min-height min-width opacity outline padding position rotate scale stroke stroke-linecap "
    "stroke-linejoin stroke-width text-shadow text-transform transform transition translate visibility word-spacing "
    "zoom"
)
_SPOKEN = "@supports selector(:dir(ltr))"
_WALL = {
    # In rules of their own: a browser that does not know a part drops the whole rule.
    f":is(.rill, .rill :not({_SHAPED}))": "all: revert",
    **{_ALL + part: "all: revert" for part in _PARTS},
    f".rill :is({_SHAPED})": _REVERTED.replace(" ", ": revert; ") + ": revert",
    # What inherits begins anew here, but for the scheme: in a dark page the chat is dark.
    ".rill.rill": "all: initial; color-scheme: inherit",
    # Formulas have styles by attributes, too.
    ".rill [mathvariant]": "text-transform: none",
    '.rill [displaystyle="true"]': "math-style: normal",
    '.rill [displaystyle="false"]': "math-style: compact",
    **{f'.rill [scriptlevel="{depth}"]': f"font-size: math; math-depth: {depth}" for depth in range(3)},
}
_DIRECTIONS = {
    # `all` leaves these two alone.
    **{_ALL + part: "direction: revert; unicode-bidi: revert" for part in ("", *_PARTS)},
    **{f".rill:dir({way}), .rill :is([dir], bdi):dir({way})": f"direction: {way}" for way in ("ltr", "rtl")},
    ".rill, .rill :is([dir], bdi)": "unicode-bidi: isolate",
    ".rill textarea[dir]": "unicode-bidi: plaintext",
}
_ROOT = re.compile(r"(?::root|html|body|\.rill|\.embedded)(?![\w-])")
_MAIN = re.compile(r"(?<![\w.#-])main(?![\w-])")
_OWN = re.compile(r"(?<![\w-])--(?!rill-)(?=\w)")
_REM = re.compile(r"(?<![\w.])(\d*\.?\d+)rem\b")


def inset_sheet(sheet: str) -> str:
    """Make the sheet of insets from that of our own pages. Raises `ValueError` for what is not understood in it."""
    made = _Sheet()
    made.take(_rules(tinycss2.parse_stylesheet(sheet, skip_comments=True, skip_whitespace=True)), TOKENS)
    return made.text()


@dataclass(slots=True)
class _Sheet:
    """What was made so far: rules by layer, keyframes, and the properties that differ in the dark."""

    layers: dict[str, list[str]] = field(default_factory=lambda: {layer: [] for layer in LAYERS})
    keyframes: list[str] = field(default_factory=list)
    light: dict[str, str] = field(default_factory=dict)
    dark: dict[str, str] = field(default_factory=dict)

    def take(self, rules: Iterable[Any], layer: str, within: tuple[str, ...] = ()) -> None:
        """Take rules of a layer, in the conditions that they stand in."""
        for rule in rules:
            if rule.type == "qualified-rule":
                self._take_rule(rule, layer, within)
                continue
            prelude = tinycss2.serialize(rule.prelude).strip()
            match rule.at_keyword, rule.content:
                case "layer", None:
                    continue  # It names the order of our own pages.
                case "layer", content:
                    self.take(_rules(content), prelude, within)
                case "media" | "supports", content:
                    self.take(_rules(content), layer, (*within, f"@{rule.at_keyword} {prelude}"))
                case "keyframes", content:
                    self.keyframes.append(f"@keyframes rill-{prelude} {{{tinycss2.serialize(content)}}}")
                case "property", content:
                    self.keyframes.append(f"@property {prelude} {{{tinycss2.serialize(content)}}}")
                case name, _:
                    raise ValueError(f"@{name} is not known here")

    def _take_rule(self, rule: Any, layer: str, within: tuple[str, ...]) -> None:
        selectors = ", ".join(_selectors(rule.prelude))
        declared = list(_declarations(rule.content))
        if selectors == ".rill" and layer == TOKENS:
            declared = list(self._without_colors(declared, is_dark=any(DARK in condition for condition in within)))
        for place, wanted in ((layer, False), (FIRST, True)):
            found = [f"{name}: {value} !important" for name, value, is_important in declared if is_important is wanted]
            if found and selectors:
                self.layers[place].append(_wrapped(f"{selectors} {{ {'; '.join(found)} }}", within))

    def _without_colors(
        self, declared: Sequence[tuple[str, str, bool]], *, is_dark: bool
    ) -> Iterator[tuple[str, str, bool]]:
        """Put the properties of our own aside, which have one value in the light and may have another in the dark."""
        for name, value, is_important in declared:
            if name.startswith("--"):
                (self.dark if is_dark else self.light)[name] = value
            elif (name, value) != ("color-scheme", "light dark"):
                yield name, value, is_important

    def text(self) -> str:
        order = ", ".join(f"rill.{layer}" for layer in LAYERS)
        schemes = {name: f"light-dark({self.light[name]}, {dark})" for name, dark in self.dark.items()}
        tokens = [_properties(self.light), f"{KNOWS_SCHEMES} {{ {_properties(schemes)} }}", *self.layers[TOKENS]]
        wall = [*_important(_WALL), f"{_SPOKEN} {{\n{chr(10).join(_important(_DIRECTIONS))}\n}}"]
        layers = {**self.layers, TOKENS: tokens, WALL: wall}
        blocks = [f"@layer rill.{layer} {{\n{chr(10).join(rules)}\n}}" for layer, rules in layers.items()]
        return "\n".join([f"@layer {order};", *blocks, *self.keyframes])


def _important(rules: Mapping[str, str]) -> Iterator[str]:
    for selector, declared in rules.items():
        yield f"{selector} {{ {declared.replace(';', ' !important;')} !important }}"


def _properties(values: Mapping[str, str]) -> str:
    return f".rill {{ {'; '.join(f'{name}: {value} !important' for name, value in values.items())} }}"


def _rules(found: Any) -> list[Any]:
    """Give rules, parsed or to be parsed. Raises `ValueError` for what is none."""
    rules = found if found and hasattr(found[0], "prelude") else tinycss2.parse_rule_list(found, True, True)
    for rule in rules:
        if rule.type == "error":
            raise ValueError(f"{rule.message} in line {rule.source_line}")
    return list(rules)


def _selectors(prelude: Sequence[Any]) -> Iterator[str]:
    """Give the selectors of a rule, each below the root of an inset."""
    one: list[Any] = []
    for part in [*prelude, None]:
        if part is not None and part != ",":
            one.append(part)
            continue
        selector = _MAIN.sub(".main", tinycss2.serialize(one).strip())
        found = _ROOT.match(selector)
        # What is only for our own pages has no place here.
        if ":not(.embedded" not in selector and ":not(.alone" not in selector:
            own = ".rill.embedded" if found and found[0] == ".embedded" else ".rill"
            yield own + selector[found.end() :] if found else f".rill {selector}"
        one = []


def _declarations(content: Sequence[Any]) -> Iterator[tuple[str, str, bool]]:
    """Give names, values and whether they are important already."""
    for each in tinycss2.parse_blocks_contents(content, skip_comments=True, skip_whitespace=True):
        if each.type != "declaration":
            raise ValueError(f"{each.type} in line {each.source_line} is no declaration")
        value = _OWN.sub("--rill-", _REM.sub(_in_pixels, tinycss2.serialize(each.value).strip()))
        if each.lower_name in {"animation", "animation-name"} and value != "none":
            value = ", ".join(f"rill-{part.strip()}" for part in value.split(","))
        yield _OWN.sub("--rill-", each.name), value, each.important


def _in_pixels(found: re.Match[str]) -> str:
    # The size that the page's root has is none of ours.
    return f"{float(found[1]) * 16:g}px"


def _wrapped(rule: str, conditions: Sequence[str]) -> str:
    for condition in reversed(conditions):
        rule = f"{condition} {{ {rule} }}"
    return rule
