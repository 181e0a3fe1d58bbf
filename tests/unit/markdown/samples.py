"""Markdown to try: answers as models write them, the specifications' examples, and generated nonsense."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import strategies as st

ANSWERS = {
    path.stem: path.read_text(encoding="utf-8") for path in sorted((Path(__file__).parent / "answers").glob("*.md"))
}

_SPECIFICATIONS = Path(__file__).parents[2] / "conformance" / "markdown"
EXAMPLES: list[str] = [
    example["markdown"]
    for name in ("commonmark-0.31.2.json", "gfm-0.29.json")
    for example in json.loads((_SPECIFICATIONS / name).read_text(encoding="utf-8"))
]

_PIECES = (
    "word", "a", "b ", "foo bar", "über", "漢字", "שלום", "👩\u200d👩\u200d👧", "\u202e", "\u200b", "\x00", "\t",
    " ", "  ", "    ", "\n", "\n\n", "\r\n", "\r", "*", "**", "***", "_", "__", "~", "~~", "`", "``", "```",
    "~~~", "[", "]", "(", ")", "](", "][", "![", "<", ">", "> ", "- ", "+ ", "* ", "1. ", "2) ", "10. ", "# ",
    "## ", "#", "---", "===", "***\n", "|", "| a | b |\n", "|---|:-:|\n", ":-:", "\\", "&", "&amp;", "&#0;",
    "&#x41;", "$", "$$", "$x$", "\\(", "\\)", "\\[", "\\]", "!", ":", "[a]: /u", "[a]: https://x.org 'T'\n",
    "[a]", "[a][]", "[b][a]", "[^1]", "[^1]: note\n", "[^w]", "[^w]: n\n", "[ ] ", "[x] ", "> [!NOTE]\n",
    "[!TIP]", "https://x.org/a_b", "http://", "www.x.org", "a.b@c.org", "@", "<https://x.org>", "<a@b.org>",
    '(https://x.org "t")', '"', "'", "=", "+", "-", "_a_", "**b**", "`c`", "~~d~~", "[l](https://x.org)",
    "![i](https://x.org/i.png)", "<hx-partial id=x>", "javascript:", "\n    code\n", "\n```py\ncode\n```\n",
    "\n$$\nx\n$$\n", "\n- i\n- j\n", "\n1. i\n\n   j\n", "\n> q\n", "\n| a |\n|---|\n| [a] |\n",
)  # fmt: skip

markdown = st.lists(st.sampled_from(_PIECES), max_size=40).map("".join)
"""Pieces that mean something, in any order."""

sizes = st.lists(st.integers(1, 12), min_size=1, max_size=8)
"""How long chunks are, over and over."""


def chunks(source: str, lengths: list[int]) -> list[str]:
    """Cut a source."""
    found = []
    at = turn = 0
    while at < len(source):
        length = lengths[turn % len(lengths)]
        found.append(source[at : at + length])
        at, turn = at + length, turn + 1
    return found
