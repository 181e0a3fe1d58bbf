"""The examples of CommonMark 0.31.2 and of GFM 0.29's extensions, at once and as they stream."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests.conformance.markdown.comparison import as_specified, normal
from tests.conformance.markdown.raw_html import RawParser

_HERE = Path(__file__).parent
_COMMONMARK = json.loads((_HERE / "commonmark-0.31.2.json").read_text(encoding="utf-8"))
_GFM = json.loads((_HERE / "gfm-0.29.json").read_text(encoding="utf-8"))
_OFF = "tagfilter"
"""The filter for raw HTML: there is no raw HTML that it could let through."""


def _cut(source: str, cutting: str) -> list[str]:
    if cutting == "whole":
        return [source]
    if cutting == "lines":
        return source.splitlines(keepends=True)
    if cutting == "characters":
        return list(source)
    lengths = random.Random(f"{cutting}{source}")
    found = []
    while source:
        length = lengths.randint(1, 9)
        found.append(source[:length])
        source = source[length:]
    return found


def _html(source: str, cutting: str, *, has_autolinks: bool) -> str:
    parser = RawParser(has_autolinks=has_autolinks)
    for piece in _cut(source, cutting):
        parser.feed(piece)
    parser.finish()
    return as_specified(parser.root)


every_cutting = pytest.mark.parametrize("cutting", ["whole", "lines", "characters", "random 1", "random 2"])


def test_all_examples_are_here() -> None:
    assert len(_COMMONMARK) == 652
    assert len(_GFM) == 24


@every_cutting
@pytest.mark.parametrize("example", _COMMONMARK, ids=lambda example: str(example["example"]))
def test_commonmark(example: dict[str, str], cutting: str) -> None:
    assert _html(example["markdown"], cutting, has_autolinks=False) == normal(example["html"])


@every_cutting
@pytest.mark.parametrize(
    "example",
    [example for example in _GFM if example["extension"] != _OFF],
    ids=lambda example: f"{example['extension']} {example['example']}",
)
def test_gfm_extensions(example: dict[str, str], cutting: str) -> None:
    assert _html(example["markdown"], cutting, has_autolinks=True) == normal(example["html"])
