"""Families of sources that cost other parsers more than linear time or output; each grows with a number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

_REPEATED: Final = (
    *"[]()*_~`|>-$\\<&#+=:!@.hw\t\n\x00\r",
    *("*a ", "a* "),
    *("_a_b", "*a_b ", "**a*b", "~a~~b ", "*a*", "***a***", "*[", "[*a](b)*", "*a [b*c] ", "_ _ ", "* * "),
    *("[a](", "[a](b ", "[a](<b", '[a](b "', "[a](b '", "![", "[![a]", "[a][", "[a]", "[a][b]", "[a](https://b.c)"),
    *("`a``", "`a ", "$a ", "$a$ ", "\\(a ", "\\[a ", "$$a ", "\\`", "<a:b", "<a@", "<!--", "&a", "&#1;"),
    *("https://a.b/", "www.", "www.a.b(", "a@b.", "a@b", "漢字", "\u202e", "`\u202e`", "a  \n", "a\\\n"),
    *("> ", "- ", "1. ", ">\n", "- a\n", "- a\n\n", "* a\n+ b\n", "# a\n", "- \n", "  - a\n", "> [!NOTE]\n"),
    "- [ ] a\n",
    *("|a\n", "|a|\n|-|\n", "```\n", "~~~", "    a\n", "a\n", "a\n===\n", "a\n---\n", "$$\n", "\\[\n"),
    *("[a]: b\n", "[a]: b 'x\n", "[^1]: a\n", "[^a] "),
)  # fmt: skip


def _repeat(piece: str) -> Callable[[int], str]:
    return lambda size: piece * (size // len(piece))


def _backticks(size: int) -> str:
    return "".join("`" * length + " " for length in range(int((2 * size) ** 0.5)))


FAMILIES: Final[dict[str, Callable[[int], str]]] = {
    **{repr(piece): _repeat(piece) for piece in _REPEATED},
    "nested stars": lambda size: "*a " * (size // 6) + " a*" * (size // 6),
    "nested images": lambda size: "![" * (size // 6) + "](a)" * (size // 6),
    "nested links": lambda size: "[" * (size // 5) + "](a)" * (size // 5),
    "nested brackets": lambda size: "[" * (size // 2) + "]" * (size // 2),
    "runs of backticks": _backticks,
    "a long address by a short label": lambda size: f"[a]: https://{'x' * 2_000}\n\n" + "[a] " * (size // 4),
    "many definitions": lambda size: "".join(f"[a{n}]: b\n" for n in range(size // 20)) + "\n[a1]" * (size // 20),
    "references before the definition": lambda size: "[a] " * (size // 4) + "\n\n[a]: https://b.c",
    "paragraphs before the definition": lambda size: "[a]\n\n" * (size // 5) + "[a]: https://b.c",
    "rows shorter than the table": lambda size: f"|{'a|' * 127}\n|{'-|' * 127}\n" + "|a\n" * (size // 3),
    "more columns than a table has": lambda size: f"|{'a|' * (size // 4)}\n|{'-|' * (size // 4)}\n",
    "lines in deep quotes": lambda size: ("> " * 60 + "a\n") * (size // 122),
    "lines in deep lists": lambda size: ""
    + "".join("  " * n + "- a\n" for n in range(30)) + (" " * 60 + "b\n") * (size // 62),
    "blank lines in code": lambda size: "    a\n" + "\n" * size,
    "emphasis in an open bracket": lambda size: "[" + "*a*" * (size // 3),
    "emphasis in a link": lambda size: "[" + "*a*" * (size // 3) + "](b)",
    "text after an open star": lambda size: "*" + "word " * (size // 5),
    "text after an open backtick": lambda size: "`" + "word " * (size // 5),
    "a title without an end": lambda size: '[a](b "' + ")" * size,
    "a row without an end": lambda size: "|a|b|\n|-|-|\n|" + "a\\|" * (size // 3),
    "one line of words": lambda size: "word " * (size // 5),
    "one long word": lambda size: "w" * size,
    "a formula without an end": lambda size: "$$\n" + "x + y\n" * (size // 6),
}  # fmt: skip
