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
    *("[a]: b\n", "[a]: b 'x\n", "[^1]: a\n", "[^a] ", "[^a]\n\n", "[a]\n\n"),
    *("http://_", "www._", "[![a](b) ", "a\r\n", "_a_b*c*", "[a]([b](c) ", "`a``b```c````d"),
)  # fmt: skip


def _repeat(piece: str) -> Callable[[int], str]:
    return lambda size: piece * (size // len(piece))


def _words(size: int) -> str:
    return "word " * (size // 5)


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

LONG: Final[dict[str, Callable[[int], str]]] = {
    "a long code span": lambda size: f"`{_words(size)}` end",
    "a long link text": lambda size: f"[{_words(size)}](https://a.b) end",
    "a long link text with emphasis": lambda size: f"[{'*a* ' * (size // 4)}](https://a.b) end",
    "long bold": lambda size: f"**{_words(size)}** end",
    "long bold with links": lambda size: f"**{'<https://a.b> ' * (size // 14)}** end",
    "emphasis within bold": lambda size: f"**{'*a* _b_ ' * (size // 8)}** end",
    "brackets with stars": lambda size: "[*a " * (size // 4),
    "emphasis before and in brackets": lambda size: ("*" * 50 + "a [" + "*a*b* " * 1_300) * (size // 7_853),
    "links of the longest text": lambda size: f"[{'*a* ' * 1_900}](https://a.b) " * (size // 7_620),
    "a long heading": lambda size: "# " + "word *a* " * (size // 9) + "\n",
    "a long row": lambda size: f"|a|b|\n|-|-|\n|{_words(size)}|\n",
    "a long row of cells": lambda size: f"|a|b|\n|-|-|\n|{'a|' * (size // 2)}\n",
    "a long first row": lambda size: f"|{_words(size)}\nmore\n",
    "a long name of a language": lambda size: f"~~~ {_words(size)}\n",
    "rows of many cells": lambda size: f"|{'a|' * 127}\n|{'-|' * 127}\n" + f"|{'[|' * 127}\n" * (size // 256),
    "a long paragraph becomes a heading": lambda size: "word *a*\n" * (size // 9) + "===\n",
    "a long paragraph becomes a table": lambda size: "word *a*\n" * (size // 9) + "|a|\n|-|\n",
    "headings of the longest paragraph": lambda size: ("*a* `b` [c](d)\n" * 540 + "===\n\n") * (size // 8_105),
    "tables below the longest paragraph": lambda size: ("*a* `b` c\n" * 800 + "|a|\n|-|\n\n") * (size // 8_009),
    "a paragraph of definitions": lambda size: "".join(f"[a{n}]: https://b.c/{n}\n" for n in range(size // 22)),
    "a definition with a long title": lambda size: '[a]: b "' + "word\n" * (size // 5),
    "a title with brackets": lambda size: '[a]: b "' + "[w]: x\n" * (size // 7),
    "a definition of a long address": lambda size: f"[a]: {'b' * size}",
    "no definition": lambda size: "[a]: b c\n" + "*a* `b` \n" * (size // 9),
    "paragraphs with labels": lambda size: "".join(f"[a{n}]\n\n" for n in range(size // 9)),
    "paragraphs with labels defined later": lambda size: ""
    + "".join(f"[a{n}]\n\n" for n in range(size // 30)) + "".join(f"[a{n}]: b\n" for n in range(size // 30)),
    "links in paragraphs read again": lambda size: f"[a]{'<https://a.b>' * 6}\n\n" * (size // 83) + "[a]: https://b.c",
    "notes before the definition": lambda size: "[^a]\n\n" * (size // 6) + "[^a]: x\n",
    "many footnotes": lambda size: "".join(f"[^{n}]: a\n\n" for n in range(size // 11)),
    "many footnotes with references": lambda size: "".join(f"[^n{n}]: a\n\n[^n{n}]\n\n" for n in range(size // 24)),
    "a long footnote": lambda size: "[^1]: a\n\n" + "    a\n\n" * (size // 7),
    "a footnote with a long paragraph": lambda size: "[^1]: a\n" + "a [b](https://c.d)\n" * (size // 19),
    "a footnote of one line": lambda size: "[^1]: " + "word *a* " * (size // 9),
    "code after blank lines": lambda size: "    a\n" + "\n" * size + "    b\n",
    "code after spaces": lambda size: "    a\n" + "       \n" * (size // 8) + "    b\n",
    "text after spaces": lambda size: f"a\n\n{' ' * size}b\nc",
    "tabs in deep lists": lambda size: ""
    + "".join("  " * n + "- a\n" for n in range(19)) + ("\t" * 500 + "b\n") * (size // 502),
    "fences of all lengths": lambda size: "".join(f"{'`' * n}\n{'`' * n}\n" for n in range(3, int(size**0.5))),
    "code in a language": lambda size: "```py\n" + "a = 1\n" * (size // 6) + "```\n",
}  # fmt: skip

ACCUMULATING: Final = {
    **LONG,
    **{name: FAMILIES[name] for name in (
        *("runs of backticks", "references before the definition", "paragraphs before the definition"),
        *("emphasis in an open bracket", "text after an open backtick", "a row without an end"),
        *("a formula without an end", *map(repr, ["[", "*[", "- a\n", "|a\n", "[a]: b\n", "[a]: b 'x\n", "[^1]: a\n"])),
    )},
}  # fmt: skip
"""Families in which something could pile up for one step."""
