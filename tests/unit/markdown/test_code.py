"""Highlighted code is the source itself, in a few constant tags."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pygments.lexer import Lexer
from pygments.lexers import get_all_lexers
from pygments.token import Token

from webapp.markdown import code
from webapp.markdown.code import (
    CLASSES,
    MAX_GROWTH,
    MAX_LABEL_CHARS,
    MAX_SOURCE_CHARS,
    MAX_TOKENS,
    SMALL_OUTPUT_CHARS,
    highlight,
    is_highlightable,
    language_label,
)

SNIPPETS = {
    "python": 'from x import y\n\n\n@cache\ndef f(n: int = 1_000) -> str:\n'
    '    """Doc."""\n    return f"{n!r:>8}"  # <b>\n',
    "javascript": "const f = async ({a, ...b}) => `x ${await g(a)} </script>`; // no\nexport default f;\n",
    "typescript": "type A<T extends string> = {[K in T]?: number};\nconst a: A<'b'> = {b: 0x1F};\n",
    "tsx": "export const A = ({b}: P) => <div className=\"c\" onClick={() => d(b)}>e &amp; {b}</div>;\n",
    "html": "<!doctype html>\n<p class=\"a\" onclick='b()'>c &lt; d<!-- e --><script>let f = 1 < 2;</script>\n",
    "css": "@media (width > 40rem) {\n  .a > .b::before { content: \"\\201C\"; color: #fff; }\n}\n",
    "json": '{"a": [1, -2.5e3, true, null], "b": {"c": "\\u00e9 <d>"}}\n',
    "yaml": "a: &b\n  - c: 'd'  # e\n  - |\n    f\n    g\nh: *b\n",
    "toml": '[a.b]\nc = "d"\ne = [1, 2.5, true]\nf = 1979-05-27T07:32:00Z\n',
    "bash": "#!/bin/sh\nfor f in *.txt; do\n  [ -f \"$f\" ] && echo \"${f%.txt}\" >> out 2>&1\ndone <<EOF\nx\nEOF\n",
    "console": "$ ls -la\ntotal 0\n$ echo \"a\" > b\n",
    "sql": "SELECT a.b, COUNT(*) AS n FROM a JOIN c ON a.id = c.a_id WHERE a.d < 'e''f' GROUP BY 1; -- g\n",
    "java": "@Override\npublic <T> List<T> f(final int n) throws E {\n\treturn a.<T>b(n >> 2, 'c', \"d\\n\");\n}\n",
    "kotlin": "data class A(val b: String?)\nfun A.c() = b?.let { \"$it ${it.length}\" } ?: \"d\"\n",
    "c": "#include <stdio.h>\n#define A(x) ((x) < 0 ? -(x) : (x))\n"
    "int main(void) { return printf(\"%d\\n\", A(-1)); }\n",
    "cpp": "template <typename T>\nauto f(T&& a) -> decltype(auto) { return std::forward<T>(a) << 2; } // b\n",
    "csharp": "public record A(string B) { public async Task<int> C() => await D($\"{B}\") ?? 0; }\n",
    "go": "func f(ch <-chan int) (n int, err error) {\n"
    "\tdefer func() { n++ }()\n\tfor v := range ch { n += v }\n\treturn\n}\n",
    "rust": "fn f<'a, T: Into<&'a str>>(x: T) -> Option<u8> {\n"
    "    match x.into() { \"a\" => Some(b'a'), _ => None? }\n}\n",
    "ruby": "class A < B\n  def c(d:, **e) = \"#{d} #{@f}\" if e[:g] =~ /h+/i\nend\n",
    "php": "<?php\nfunction f(?int $a = null): string { return \"a {$a} <b>\"; } ?>\n<p><?= f(1) ?></p>\n",
    "swift": "struct A: View {\n  @State var b = \"c\"\n"
    "  var body: some View { Text(\"\\(b)\").onTapGesture { b += \"d\" } }\n}\n",
    "r": "f <- function(x, ...) {\n  x |> subset(a < 3 & b == \"c\") # d\n}\n",
    "haskell": "f :: (Ord a) => [a] -> Maybe a\nf xs | null xs = Nothing\n     | otherwise = Just $ maximum xs -- g\n",
    "lua": "local function f(a, ...)\n  return #a .. [[b]] -- c\nend\n",
    "perl": "my %h = (a => 1); while (<STDIN>) { s/(\\w+)/<$1>/g; print if $h{$_} }\n",
    "powershell": "Get-ChildItem -Path $a | Where-Object { $_.Length -gt 1KB } | ForEach-Object { \"$($_.Name)\" }\n",
    "dockerfile": "FROM python:3.12-slim AS a\nRUN pip install \\\n    b==1.0 && rm -rf /c\nCMD [\"d\"]\n",
    "makefile": "A := $(shell b)\n%.o: %.c\n\t$(CC) -c $< -o $@ # c\n",
    "diff": "--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n a\n-b <c>\n+d\n",
    "ini": "; a\n[b]\nc = d %(e)s\n",
    "markdown": "# A\n\n- *b* `c` [d](https://e)\n\n```python\nf = 1\n```\n",
    "latex": "\\begin{align}\n  a &= \\frac{b}{c} % d\n\\end{align}\n",
    "graphql": "query A($b: ID!) { c(id: $b) { ...D @include(if: true) } }\n",
    "nginx": "server {\n  listen 80;\n  location ~ \\.php$ { proxy_pass http://a; }\n}\n",
    "scala": "case class A[B](c: B) { def d: Either[E, B] = if (c == null) Left(e) else Right(c) }\n",
    "elixir": "defmodule A do\n  def b(%{c: d}), do: d |> Enum.map(&(&1 + 1))\nend\n",
    "pycon": ">>> 1 / 0\nTraceback (most recent call last):\n"
    "  File \"<stdin>\", line 1, in <module>\nZeroDivisionError: x\n",
    "http": "GET /a?b=c HTTP/1.1\nHost: d\n\n{\"e\": 1}\n",
    "nasm": "section .text\n_start: mov eax, [ebx+4] ; a\n  int 0x80\n",
}  # fmt: skip

_TAG = re.compile("<[^<>]*>")
_TAGS = {"</span>", *(f"<span class={name}>" for name in CLASSES)}
_PIECES = (
    *"abcXY_019.,:;!?()[]{}<>=+-*/%&|^~@#$\"'`\\ \n\t", "  ", "\n\n", "\r\n", "\x0b", "\x0c", "\x00", "\u2028", "\xa0",
    "é",
    "漢字", "🙂", "\ud800", '"""', "'''", "/*", "*/", "//", "<!--", "-->", "<%", "%>", "<?php", "?>", "{{", "}}", "${",
    "#{", "<<EOF\n", "EOF\n", "if ", "def ", "class ", "function ", "return ", "</script>", "<script>", "&lt;", "0x1f",
    "1e5", "=> ", "->", "::", "\\\n", "$ ", ">>> ", "--- ", "+++ ", "@@ ", "\n+a\n", "\n-b\n", "#include <a>\n",
)  # fmt: skip


def _assert_faithful(source: str, html: str) -> None:
    assert unescape_once(_TAG.sub("", html)) == source
    assert set(_TAG.findall(html)) <= _TAGS
    assert html.count("<span") == html.count("</span>")
    assert not re.search("<span[^>]*><span|</span></span>", html), "spans stand beside each other, not in each other"
    assert not re.search("[<>]", _TAG.sub("", html))
    assert len(html) <= max(MAX_GROWTH * len(source), SMALL_OUTPUT_CHARS)


def unescape_once(text: str) -> str:
    """Undo what `code` escapes, and only that: `html.unescape` would take more for an entity than was escaped."""
    return re.sub("&(?:amp|lt|gt|quot);", lambda match: unescape(match[0]), text)


@pytest.fixture
def lexer(monkeypatch: pytest.MonkeyPatch) -> type[Lexer]:
    """A lexer to fill in, in the place of every other."""

    class Filled(Lexer):
        tokens: Any = ()

        def get_tokens_unprocessed(self, text: str) -> Iterator[tuple[int, Any, str]]:
            yield from ((0, kind, piece) for kind, piece in type(self).tokens)

    monkeypatch.setattr(code, "_lexer", lambda name, is_bare_php: Filled())
    return Filled


@pytest.mark.parametrize("language", SNIPPETS)
def test_the_text_is_the_source(language: str) -> None:
    for source in (SNIPPETS[language], SNIPPETS[language].rstrip("\n"), "\n" + SNIPPETS[language] + "\n\n  "):
        html = highlight(source, language)

        assert html is not None
        _assert_faithful(source, html)
        assert "<span" in html
    assert highlight(SNIPPETS[language], language) == highlight(SNIPPETS[language], language)


# Pygments 2.21 never comes back from some beginnings of `pycon`: what test_workers.py proves harmless.
@pytest.mark.parametrize("language", sorted(SNIPPETS.keys() - {"pycon"}))
def test_every_beginning_of_a_source_is_highlighted(language: str) -> None:
    for end in range(1, len(SNIPPETS[language]), 5):
        source = SNIPPETS[language][:end]
        if is_highlightable(source, language):
            _assert_faithful(source, highlight(source, language) or "")


@settings(max_examples=700, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(sorted(SNIPPETS.keys() - {"pycon"})),
    st.lists(st.sampled_from(_PIECES) | st.sampled_from(sorted(SNIPPETS.values())), max_size=30).map("".join),
)
def test_whatever_a_lexer_gets_the_text_is_the_source(language: str, source: str) -> None:
    html = highlight(source, language)

    if html is not None:
        _assert_faithful(source, html)


def test_no_lexer_loses_or_adds_text_of_every_language() -> None:
    refused = [language for language, source in SNIPPETS.items() if highlight("\r\n \f\t" + source, language) is None]

    assert refused == []


def test_tags_are_few() -> None:
    assert highlight("def f(a, b): # c\n    return 'd' 'e'\n", "python") == (
        "<span class=k>def</span> <span class=f>f</span>(a, b): <span class=c># c</span>\n"
        "    <span class=k>return</span> <span class=s>&#x27;d&#x27; &#x27;e&#x27;</span>\n"
    ).replace("&#x27;", "'")


def test_normal_code_grows_little() -> None:
    html = sum(len(highlight(source, name) or "") for name, source in SNIPPETS.items())

    assert html < 4 * sum(map(len, SNIPPETS.values()))


@pytest.mark.parametrize(
    "language", ["", "nosuchlanguage", "text", "txt", "plaintext", "output", "mermaid", "\x00", "ü", "{}"]
)
def test_a_language_without_a_lexer_stays_plain(language: str) -> None:
    assert highlight("import x\n", language) is None
    assert not is_highlightable("import x\n", language)


@pytest.mark.parametrize("source", ["", " ", "\n\n", "\t \r\n"])
def test_nothing_stays_plain(source: str) -> None:
    assert highlight(source, "python") is None
    assert not is_highlightable(source, "python")


def test_a_source_is_bounded_in_its_length() -> None:
    assert highlight("a" * MAX_SOURCE_CHARS, "python") is not None
    assert highlight("a" * (MAX_SOURCE_CHARS + 1), "python") is None
    assert not is_highlightable("a" * (MAX_SOURCE_CHARS + 1), "python")


def test_a_source_that_would_grow_too_much_stays_plain() -> None:
    assert highlight("1+" * 20, "python") is not None
    assert highlight("1+" * 1_000, "python") is None


def test_a_small_source_may_grow_more() -> None:
    html = highlight("1+1", "python")

    assert html == "<span class=n>1</span>+<span class=n>1</span>"
    assert len(html) > MAX_GROWTH * len("1+1")


@pytest.mark.parametrize(
    "tokens",
    [
        [(Token, "ab")],
        [(Token, "abc\n"), (Token, "d")],
        [(Token, "abC\n")],
        [(Token, "a"), (Token, "c\n")],
        [],
    ],
)
def test_a_lexer_that_does_not_give_its_source_back_is_not_believed(lexer: Any, tokens: list[tuple[Any, str]]) -> None:
    lexer.tokens = tokens

    assert highlight("abc", "python") is None


def test_a_lexer_that_never_ends_is_not_waited_for(lexer: Any) -> None:
    lexer.tokens = iter(lambda: (Token, ""), None)

    assert highlight("abc", "python") is None


def test_tokens_are_bounded(lexer: Any) -> None:
    lexer.tokens = [(Token, "")] * (MAX_TOKENS - 1) + [(Token, "abc\n")]
    assert highlight("abc", "python") == "abc"

    lexer.tokens = [(Token, ""), *lexer.tokens]
    assert highlight("abc", "python") is None


def test_an_error_of_a_lexer_passes_through(lexer: Any) -> None:
    lexer.tokens = iter([(Token, "a"), (Token, None)])

    with pytest.raises(TypeError):
        highlight("abc", "python")


def test_kinds_of_tokens_that_nobody_knows_take_the_class_of_the_kind_above(lexer: Any) -> None:
    lexer.tokens = [(Token.Comment.Strange.New, "a"), (Token.Strange, "b"), (Token.Literal.Date, "c"), (Token, "\n")]

    assert highlight("abc", "python") == "<span class=c>a</span>b<span class=n>c</span>"


def test_no_lexer_is_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    guessed: list[str] = []
    for name in ("guess_lexer", "guess_lexer_for_filename"):
        monkeypatch.setattr(f"pygments.lexers.{name}", lambda *_, **__: guessed.append("a lexer"))

    assert highlight("#!/usr/bin/python\nimport x\n", "") is None
    assert highlight("#!/usr/bin/python\nimport x\n", "unknown") is None
    for language, source in SNIPPETS.items():
        highlight(source, language)
    assert guessed == []


@pytest.mark.parametrize(
    ("written", "language"),
    [
        ("Python", "python"),
        ("PY", "python"),
        ("python title=x.py", "python"),
        ("python:main.py", "python"),
        ("python,ignore", "python"),
        ("language-python", "python"),
        ("{.python .numberLines}", "python"),
        ("{python}", "python"),
        ("c++", "cpp"),
        ("h", "c"),
        ("C#", "csharp"),
        ("mjs", "javascript"),
        ("jsonc", "json"),
        ("sh", "bash"),
        ("kt", "kotlin"),
        ("patch", "diff"),
        ("tex", "latex"),
    ],
)
def test_a_language_goes_by_many_names(written: str, language: str) -> None:
    assert highlight(SNIPPETS[language], written) == highlight(SNIPPETS[language], language)


def test_php_needs_no_opening_tag() -> None:
    assert "<span class=k>function</span>" in (highlight("function f() { return 1; }", "php") or "")
    assert "<span class=k>&lt;p&gt;" not in (highlight("function f() { return '<p>'; }", "php") or "")
    assert "<span class=k>" in (highlight("<p><?php echo 1 ?></p>", "php") or "")


@pytest.mark.parametrize(
    ("language", "label"),
    [
        ("cpp", "C++"),
        ("c++", "C++"),
        ("c", "C"),
        ("cs", "C#"),
        ("C#", "C#"),
        ("py", "Python"),
        ("python title=x", "Python"),
        ("js", "JavaScript"),
        ("ts", "TypeScript"),
        ("tsx", "TSX"),
        ("sh", "Shell"),
        ("bash", "Bash"),
        ("console", "Console"),
        ("powershell", "PowerShell"),
        ("dockerfile", "Dockerfile"),
        ("html", "HTML"),
        ("svg", "SVG"),
        ("json", "JSON"),
        ("jsonl", "JSON Lines"),
        ("yml", "YAML"),
        ("csv", "CSV"),
        ("mermaid", "Mermaid"),
        ("text", "Text"),
        ("env", ".env"),
        (".env", ".env"),
        ("nim", "Nim"),
        ("r", "R"),
        ("objc", "Objective-C"),
        ("vb", "VB.NET"),
        ("postgresql", "PostgreSQL"),
        ("", ""),
        ("Nosuch", "Nosuch"),
        ("no such", "no"),
        ("a\u202eb\x00c\u200bd\ud800", "abcd"),
        ("<b>", "<b>"),
        ("x" * 300, "x" * MAX_LABEL_CHARS),
        (" " * 300, ""),
    ],
)
def test_a_label_is_what_a_reader_calls_the_language(language: str, label: str) -> None:
    assert language_label(language) == label


def test_every_known_name_has_a_label_and_a_lexer_of_that_label() -> None:
    first: dict[str, str] = {}
    for lexer_name, aliases, _, _ in get_all_lexers(plugins=False):
        for alias in aliases:
            first.setdefault(alias.lower(), lexer_name)

    for alias, name in code._known().items():
        assert 0 < len(language_label(alias)) <= 48, alias
        if alias not in code._ALSO:
            assert first[alias] == code._names()[name], alias
    assert {*code._ALSO.values()} <= {*code._known()}
    assert {*code._CLASS_OF.values()} == {*CLASSES, ""}
