"""TeX formulas to MathML, by a converter whose every tag is checked and written anew.

Nothing of the converter's output is passed on: tags, attributes and values are looked up, text is escaped again, and
anything unexpected refuses the whole formula. So a fault in the converter can show a formula badly, and no more. This
is needed: math-core 0.8.2 gives `\\operatorname{<img/src=x>}` back as a live tag. Its 0.9.0 does not, but needs time
that doubles with every unclosed bracket, which nothing here could bound.
"""

from __future__ import annotations

import re
from colorsys import rgb_to_hls
from functools import lru_cache
from html import unescape

from math_core import LatexError, LatexToMathML

from webapp.markdown.escape import escape

MAX_SOURCE_CHARS = 2_000
MAX_DEPTH = 100
"""The converter recurses, and takes the whole process with it at a few thousand levels."""

MAX_GROWTH = 40
"""Output characters for one of source: `(` alone needs 27; a row of an empty table more."""

SMALL_OUTPUT_CHARS = 1_000

_MAX_ELEMENT_DEPTH = 200
"""Chromium flattens a document at a depth of 512, and the rest of the page needs some of that."""

_MAX_LENGTH_EM = 10
"""The longest space, and the thickest line, that a formula may ask for."""

_MAX_SHIFT_EM = 2
"""How far text may be moved up or down, out of its line."""

_MAX_BACKSPACES = 12
"""How often a formula may step back, by 0.17 em; with more, it could cover what stands before it."""

_TOKENS = frozenset({"mi", "mn", "mo", "mtext"})
_INLINE = frozenset({"b", "code", "em", "i", "s", "span", "u"})
"""HTML, for styles within `\\text`; only inside of `mtext`, where HTML's parser stays within the formula."""

_LAYOUT = frozenset(
    {
        "menclose",
        "mfrac",
        "mmultiscripts",
        "mover",
        "mpadded",
        "mphantom",
        "mroot",
        "mrow",
        "msqrt",
        "msub",
        "msubsup",
        "msup",
        "mtable",
        "mtd",
        "mtr",
        "munder",
        "munderover",
    }
)
_EMPTY_ELEMENTS = frozenset({"mprescripts", "mspace"})

_WITH_TEXT = _TOKENS | _INLINE
_CHILDREN: dict[str, frozenset[str]] = {
    "": frozenset({"math"}),
    **dict.fromkeys(_TOKENS, frozenset()),
    **dict.fromkeys(_INLINE | {"mtext"}, _INLINE),
    **dict.fromkeys(_LAYOUT | {"math"}, _TOKENS | _LAYOUT | _EMPTY_ELEMENTS),
}
"""Which elements may stand in which; nothing stands around `math`."""

_VALUES = {
    "accent": {"true", "false"},
    "accentunder": {"true", "false"},
    "display": {"block"},
    "displaystyle": {"true", "false"},
    "form": {"prefix", "infix", "postfix"},
    "mathvariant": {"normal"},
    "movablelimits": {"true", "false"},
    "notation": {
        "actuarial",
        "box",
        "downdiagonalstrike",
        "phasorangle",
        "updiagonalstrike",
        "updiagonalstrike downdiagonalstrike",
    },
    "scriptlevel": {"0", "1", "2"},
    "stretchy": {"true", "false"},
    "symmetric": {"true", "false"},
}
_LIMITS_EM = {
    "height": _MAX_LENGTH_EM,
    "linethickness": _MAX_LENGTH_EM,
    "lspace": _MAX_LENGTH_EM,
    "maxsize": _MAX_LENGTH_EM,
    "minsize": _MAX_LENGTH_EM,
    "rspace": _MAX_LENGTH_EM,
    "voffset": _MAX_SHIFT_EM,
    "width": _MAX_LENGTH_EM,
}
_DROPPED = frozenset({"id"})
"""A label's; it could be the same as one of the page's own."""

_CLASS_OF_CLASS = {
    "math-core-sans-serif-font": "sf",
    "math-core-serif-font": "rm",
    "menclose-downdiagonalstrike": "dn",
    "menclose-phasorangle": "ph",
    "menclose-updiagonalstrike": "up",
}
_CLASS_OF_STYLE = {
    # The content security policy allows no style attributes; what is not here is dropped.
    "border-bottom:0.05em dashed currentcolor": "bd",
    "border-bottom:0.05em solid currentcolor": "bs",
    "border-left:0.05em dashed currentcolor": "ld",
    "border-left:0.05em solid currentcolor": "ls",
    "border-right:0.05em dashed currentcolor": "rd",
    "border-right:0.05em solid currentcolor": "rs",
    "border-top:0.05em dashed currentcolor": "td",
    "border-top:0.05em solid currentcolor": "ts",
    "font-variant-caps:small-caps": "sc",
    "margin-left:-0.16666667em": "b3",
    "margin-left:-0.22222222em": "b3",
    "margin-left:-0.2777778em": "b3",
    "math-shift:compact": "cr",
    "padding-left:0": "l0",
    "padding-left:0.1667em": "l2",
    "padding-left:0.2222em": "l3",
    "padding-left:0.2778em": "l4",
    "padding-left:1em": "l1",
    "padding-right:0": "r0",
    "padding-right:0.1667em": "r2",
    "padding-right:0.2222em": "r3",
    "padding-right:0.2778em": "r4",
    "padding-top:0": "t0",
    "padding-top:0.1667em": "cf",
    "text-align:left": "al",
    "text-align:right": "ar",
    "width:100%": "w1",
    "width:50%": "w2",
    "width:7.5%": "w3",
}
_BACKSPACE = '<mspace class="b3"'

_HUES = {20: "red", 75: "gold", 165: "green", 255: "blue", 345: "violet", 360: "red"}
"""Colours of our own that can be read on both backgrounds, by the hue in degrees up to which each is taken.

TeX's `orange` has 30, and its `purple` 340.
"""

_COLOR = re.compile("#[0-9A-Fa-f]{6}")
_MIN_SATURATION = 0.15

CLASSES = frozenset({*_CLASS_OF_CLASS.values(), *_CLASS_OF_STYLE.values(), *_HUES.values()})
"""Every class that can occur in the MathML; static/css/55-code.css gives each its meaning."""

_TAG = re.compile("(<[^<>]*>)")
_OPENING_TAG = re.compile(r"<([a-z]+)((?: [a-z]+=\"[^\"]*\")*)(/?)>")
_ATTRIBUTE = re.compile(r" ([a-z]+)=\"([^\"]*)\"")
_VISIBLE = re.compile(">[^<]")
_ENTITY = re.compile("&(?:amp|lt|gt|quot);")
_LENGTH = re.compile(r"(-?\d{1,6}(?:\.\d{1,9})?)(em|ex|rem|pt|px|mm|cm|in|)")
_EM_OF_UNIT = {"em": 1.0, "ex": 0.5, "rem": 1.0, "pt": 0.09, "px": 0.07, "mm": 0.24, "cm": 2.4, "in": 6.1, "": 1.0}

# Control characters, lone surrogates, and what changes the order of text or cannot be seen: the last two would be
# hidden in a formula, while the source, which is shown instead, is shown with them made visible.
_REFUSED = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff"
    "\ufdd0-\ufdef\ufeff\ufff0-\uffff\U000e0000-\U000e0fff]"
)

_NESTING = re.compile(
    r"(?P<opens>\\(?:left|begin)(?![A-Za-z])|\{)"
    r"|(?P<closes>\\(?:right|end)(?![A-Za-z])|\})"
    r"|(?P<ends>\\\\|[^\W_]|[-+=<>,;/*&])"
    r"|(?P<nests>(?:\\(?:[A-Za-z]+|.)|[_^])\s*(?:(?P<bracket>\[)|[^\W_]|[-+=<>,;/*])?)"
    r"|(?P<comment>%)"
)
_NUMBERED = re.compile(r"\\(begin|end)\{(equation|align|gather|multline|split)\}")
_UNNUMBERED = {"split": "aligned"}
_HAS_ENVIRONMENT_FOR_TAG = re.compile(r"\\begin\{(?:equation|align|gather|multline)\*\}")

_MAX_EXPANSIONS = 200
"""How often a formula may use commands that the converter defines by others, such as `\\implies`."""

# With commands of its own, a short formula could nest without bound. Not every name that ends so defines: `\bullet`.
_DEFINITION = re.compile(r"\\(?:[egx]?def|(?:future|g)?let|[a-z]*command)(?![A-Za-z])")

_CONVERTER = LatexToMathML(fancy_error=False, max_expansions=_MAX_EXPANSIONS)


class _Refused(Exception):
    """The converter's output holds something that is not expected in it."""


def to_mathml(source: str, *, display: bool) -> str | None:
    """Give the `<math>` element for a formula without its delimiters, or None if its source should be shown.

    None means: an error in the formula, a command that the converter does not know, a formula that shows nothing, such
    as a comment, or a limit of this module.
    """
    if len(source) > MAX_SOURCE_CHARS or _REFUSED.search(source) or _DEFINITION.search(source):
        return None
    if not _is_shallow(source):
        return None
    try:
        converted = _CONVERTER.convert_with_local_state(_without_numbers(source), displaystyle=display)
        mathml = _rewritten(converted)
    except (LatexError, _Refused):
        return None
    if not _VISIBLE.search(mathml) or len(mathml) > max(MAX_GROWTH * len(source), SMALL_OUTPUT_CHARS):
        return None
    # A formula in lines of its own scrolls in itself, by keys too.
    return mathml.replace(' display="block">', ' display="block" tabindex="0">', 1) if display else mathml


def _is_shallow(source: str) -> bool:
    """Tell whether the formula nests no deeper than the limit.

    Commands that follow each other count as nested, as in `\\sqrt\\sqrt x` or `\\frac1\\frac1`, until a sign that is no
    command's first argument; so does what follows an optional argument's bracket. What this misses are commands with
    three arguments: 170 levels at the most. A comment can hold the closing half of what stands outside of it, so no
    long formula with one is trusted.
    """
    if sum(map(source.count, "\\{_^")) <= MAX_DEPTH:
        return True
    depth, run = 0, 0
    outer: list[tuple[int, int]] = []
    for match in _NESTING.finditer(source):
        if match["comment"]:
            return False
        if match["opens"]:
            outer.append((depth, run))
            depth, run = depth + run + 1, 0
        elif match["closes"]:
            depth, run = outer.pop() if outer else (0, 0)
        elif match["bracket"]:
            depth, run = depth + run + 1, 0
        else:
            run = run + 1 if match["nests"] else 0
        if depth + run > MAX_DEPTH:
            return False
    return True


def _without_numbers(source: str) -> str:
    """Take away the numbers that each formula would begin at (1), but keep those that `\\tag` gives."""
    source = _NUMBERED.sub(lambda match: f"\\{match[1]}{{{_UNNUMBERED.get(match[2], match[2] + '*')}}}", source)
    if "\\tag" in source and not _HAS_ENVIRONMENT_FOR_TAG.search(source):
        return f"\\begin{{equation*}}{source}\\end{{equation*}}"
    return source


def _rewritten(converted: str) -> str:
    """Write the converter's output anew from what is known in it, or raise `_Refused`."""
    pieces: list[str] = []
    inside = [""]
    texts_and_tags = _TAG.split(converted)
    for text, tag in zip(texts_and_tags[::2], texts_and_tags[1::2], strict=False):
        if text:
            pieces.append(_text(text, inside[-1]))
        pieces.append(_closed(tag, inside) if tag.startswith("</") else _opened(tag, inside))
    if inside != [""] or texts_and_tags[-1] or converted.count("<math") != 1:
        raise _Refused
    return _with_few_backspaces("".join(pieces))


def _text(text: str, parent: str) -> str:
    if parent not in _WITH_TEXT or "<" in text or ">" in text:
        raise _Refused
    # The converter escapes most text, and by these names only; an `&` that begins none of them is text itself. To take
    # `\operatorname{\&\#x202e;}` for more would give what `_REFUSED` keeps out.
    return escape(_ENTITY.sub(lambda match: unescape(match[0]), text))


def _closed(tag: str, inside: list[str]) -> str:
    if tag != f"</{inside.pop()}>":
        raise _Refused
    return tag


def _opened(tag: str, inside: list[str]) -> str:
    name, is_empty, html = _opening(tag)
    if name not in _CHILDREN[inside[-1]] or len(inside) > _MAX_ELEMENT_DEPTH:
        raise _Refused
    if not is_empty:
        inside.append(name)
    return html


@lru_cache(1024)
def _opening(tag: str) -> tuple[str, bool, str]:
    """Take a tag apart; give its element, whether that has no end tag, and the tag as it should be."""
    match = _OPENING_TAG.fullmatch(tag)
    if match is None:
        raise _Refused
    name, attributes, slash = match.groups()
    if bool(slash) != (name in _EMPTY_ELEMENTS):
        raise _Refused
    return name, bool(slash), f"<{name}{_attributes(attributes)}{slash}>"


def _attributes(raw: str) -> str:
    """Keep the attributes whose names and values are known, with one class for each known declaration of a style."""
    kept: list[str] = []
    classes: list[str] = []
    for name, value in _ATTRIBUTE.findall(raw):
        if name == "style":
            classes += filter(None, map(_class_of_declaration, value.split(";")))
        elif name == "class" and value in _CLASS_OF_CLASS:
            classes.append(_CLASS_OF_CLASS[value])
        elif name in _LIMITS_EM:
            kept += _length(name, value)
        elif name in _VALUES and value in _VALUES[name]:
            kept.append(f' {name}="{value}"')
        elif name not in _DROPPED:
            raise _Refused
    return "".join(kept) + (f' class="{" ".join(classes)}"' if classes else "")


def _class_of_declaration(declaration: str) -> str:
    name, _, value = declaration.partition(":")
    value = value.strip()
    if name == "color":
        return _hue(value)
    return _CLASS_OF_STYLE.get(f"{name.strip()}:{value}", "")


def _hue(color: str) -> str:
    """Give the class for a colour such as `#FF8000`, none for a grey."""
    if not _COLOR.fullmatch(color):
        return ""
    red, green, blue = (int(color[at : at + 2], 16) / 255 for at in (1, 3, 5))
    hue, _, saturation = rgb_to_hls(red, green, blue)
    if saturation < _MIN_SATURATION:
        return ""
    return next(name for limit, name in _HUES.items() if hue * 360 <= limit)


def _length(name: str, value: str) -> list[str]:
    """Keep a length within its limit, and no other; only a shift may be negative, for that is down."""
    match = _LENGTH.fullmatch(value)
    if match is None:
        return []
    limit = _LIMITS_EM[name]
    if not (-limit if name == "voffset" else 0) <= float(match[1]) * _EM_OF_UNIT[match[2]] <= limit:
        return []
    # Firefox does not take `rem` here.
    unit = "em" if match[2] == "rem" else match[2]
    return [f' {name}="{match[1]}{unit}"']


def _with_few_backspaces(mathml: str) -> str:
    """Drop every step back after the first few. Text cannot look like one, because its quotes are escaped."""
    if mathml.count(_BACKSPACE) <= _MAX_BACKSPACES:
        return mathml
    *kept, rest = mathml.split(_BACKSPACE, _MAX_BACKSPACES)
    return _BACKSPACE.join([*kept, rest.replace(_BACKSPACE, "<mspace")])
