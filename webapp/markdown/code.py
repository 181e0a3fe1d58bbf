"""Source code to highlighted HTML, in few and short tags.

The text of the result is the source, character for character: a lexer that loses or adds one is not believed. Some of
Pygments' lexers need quadratic time or worse on hostile input, or raise: nothing here bounds that, so everything but
tests calls this through `workers`, which can be killed. This module imports nothing of this package, because the
worker loads it alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache

from pygments.lexer import Lexer
from pygments.lexers import get_all_lexers, get_lexer_by_name
from pygments.token import Token, _TokenType

MAX_SOURCE_CHARS = 65_536
"""About 2,000 lines; more would be more elements than a phone lays out in a blink."""

MAX_TOKENS = 60_000
"""A lexer may yield empty tokens without end; normal code has one token for two to four characters."""

MAX_GROWTH = 6
"""Normal code grows by 1.5 to 3; at six, the tags would be most of the page."""

SMALL_OUTPUT_CHARS = 512
"""An output of at most this is never refused: a line like `a=1` grows eightfold and does no harm."""

MAX_LABEL_CHARS = 32

CLASSES = {
    "k": "keywords, tags and keys",
    "t": "types and classes",
    "f": "functions, built-in names, attributes",
    "s": "strings",
    "n": "numbers and constants",
    "c": "comments",
    "m": "decorators, directives, prompts",
    "h": "headings",
    "i": "inserted lines",
    "d": "deleted lines and errors",
}
"""Every class that can occur in the HTML, and what it marks; static/css/55-code.css has a colour for each."""

_CLASS_OF: dict[_TokenType, str] = {
    # What is not here is plain, above all names, operators and punctuation: most tokens, and the calmest page.
    Token: "",
    Token.Comment: "c",
    Token.Comment.Preproc: "m",
    Token.Comment.PreprocFile: "s",
    Token.Generic.Deleted: "d",
    Token.Generic.Error: "d",
    Token.Generic.Heading: "h",
    Token.Generic.Inserted: "i",
    Token.Generic.Prompt: "m",
    Token.Generic.Subheading: "h",
    Token.Generic.Traceback: "d",
    Token.Keyword: "k",
    Token.Keyword.Constant: "n",
    Token.Keyword.Type: "t",
    Token.Literal: "n",
    Token.Literal.String: "s",
    Token.Literal.String.Doc: "c",
    Token.Name.Attribute: "f",
    Token.Name.Builtin: "f",
    Token.Name.Builtin.Pseudo: "k",
    Token.Name.Class: "t",
    Token.Name.Constant: "n",
    Token.Name.Decorator: "m",
    Token.Name.Entity: "n",
    Token.Name.Exception: "t",
    Token.Name.Function: "f",
    Token.Name.Tag: "k",
    Token.Operator.Word: "k",
}

_ALSO = {
    # Names that models write and Pygments does not know, or knows for something that models do not mean.
    "assembly": "nasm",
    "astro": "html",
    "cc": "cpp",
    "cjs": "js",
    "cmd": "bat",
    "conf": "ini",
    "cxx": "cpp",
    "dotenv": "ini",
    "ejs": "html+erb",
    "env": "ini",
    "erl": "erlang",
    "fs": "fsharp",
    "gql": "graphql",
    "gradle": "groovy",
    "h": "c",
    "hbs": "html+handlebars",
    "hh": "cpp",
    "hpp": "cpp",
    "htm": "html",
    "ipynb": "json",
    "ipython": "python",
    "jsonc": "json",
    "jsonl": "json",
    "kt": "kotlin",
    "kts": "kotlin",
    "mdx": "markdown",
    "metal": "cpp",
    "mjs": "js",
    "mk": "makefile",
    "ml": "ocaml",
    "ndjson": "json",
    "node": "js",
    "nodejs": "js",
    "patch": "diff",
    "shellsession": "console",
    "sol": "solidity",
    "sqlite": "sql",
    "svg": "xml",
    "terminal": "console",
    "vb": "vbnet",
    "vba": "vbnet",
    "viml": "vim",
    "wasm": "wast",
    "x86asm": "nasm",
    "xhtml": "html",
}

_PLAIN = {"text", "output"}
"""Lexers of Pygments' that mark nothing."""

_LABELS = {
    # By the name in the fence first, by Pygments' own name after that.
    "asm": "Assembly",
    "assembly": "Assembly",
    "csv": "CSV",
    "env": ".env",
    "dotenv": ".env",
    "jsonc": "JSON",
    "jsonl": "JSON Lines",
    "log": "Log",
    "mermaid": "Mermaid",
    "output": "Output",
    "plaintext": "Text",
    "sh": "Shell",
    "shell": "Shell",
    "sqlite": "SQLite",
    "svg": "SVG",
    "terminal": "Terminal",
    "text": "Text",
    "tsv": "TSV",
    "txt": "Text",
    "vba": "VBA",
    "zsh": "Zsh",
    "ApacheConf": "Apache",
    "Bash Session": "Console",
    "Batchfile": "Batch",
    "Docker": "Dockerfile",
    "LessCss": "Less",
    "Nginx configuration file": "Nginx",
    "Nimrod": "Nim",
    "PostgreSQL SQL dialect": "PostgreSQL",
    "PostgreSQL console (psql)": "psql",
    "S": "R",
    "VB.net": "VB.NET",
    "VimL": "Vim script",
    "systemverilog": "SystemVerilog",
    "verilog": "Verilog",
    "vhdl": "VHDL",
}

_NAME = re.compile(r"[\s{.]*(?:language-|lang-)?([^\s,:;{}=]*)")
_NEEDS_ESCAPE = re.compile('[&<>"]')


def highlight(source: str, language: str) -> str | None:
    """Give the HTML inside `<code>`, or None if the source should be shown plain.

    `language` is the first word of a fence's info string, or the whole of it. None means: an unknown language, no
    source, a limit of this module exceeded, or a lexer that did not give back what it got. A lexer's own exceptions
    pass through.
    """
    name = _resolved(language)
    if name is None or not is_highlightable(source, language):
        return None
    tokens = _tokens(source, name)
    if tokens is None:
        return None
    html = "".join(_pieces(tokens))
    return html if len(html) <= max(MAX_GROWTH * len(source), SMALL_OUTPUT_CHARS) else None


def is_highlightable(source: str, language: str) -> bool:
    """Tell, without any work, whether `highlight` would try."""
    return len(source) <= MAX_SOURCE_CHARS and not source.isspace() and source != "" and _resolved(language) is not None


def language_label(language: str) -> str:
    """Name a language for a reader, as in "C++" for `cpp`; an unknown one by its own name, cleaned; not escaped."""
    word = _word(language)
    name = word.lower()
    known = _known().get(name)
    if name in _LABELS or known is not None:
        return _LABELS.get(name) or _label(known or "")
    return "".join(sign for sign in word if sign.isprintable())[:MAX_LABEL_CHARS]


def _label(known: str) -> str:
    pygments_name = _names()[known]
    return _LABELS.get(pygments_name, pygments_name)


def _word(language: str) -> str:
    """Take the name out of `python`, `language-python`, `{.python}` and `python:main.py`."""
    match = _NAME.match(language[:200])
    return match[1] if match else ""


def _resolved(language: str) -> str | None:
    name = _known().get(_word(language).lower())
    return None if name in _PLAIN else name


@cache
def _known() -> dict[str, str]:
    """Map every name of every language to the name that loads its lexer."""
    known = {alias.lower(): aliases[0] for _, aliases, _, _ in get_all_lexers(plugins=False) for alias in aliases}
    return known | {name: known[other] for name, other in _ALSO.items()}


@cache
def _names() -> dict[str, str]:
    """Map the name that loads a lexer to the one that Pygments shows for it."""
    return {aliases[0]: name for name, aliases, _, _ in get_all_lexers(plugins=False) if aliases}


@cache
def _lexer(name: str, is_bare_php: bool) -> Lexer:
    return get_lexer_by_name(name, startinline=is_bare_php)


def _tokens(source: str, name: str) -> list[tuple[_TokenType, str]] | None:
    """Lex without the clean-up that Pygments does first: it would strip, expand and change line ends."""
    # Models write PHP without its opening tag as often as with it.
    lexer = _lexer(name, name == "php" and "<?" not in source)
    # Many lexers look for the end of a line by its line feed.
    padded = source if source.endswith("\n") else source + "\n"
    tokens = []
    at = 0
    for count, (_, kind, text) in enumerate(lexer.get_tokens_unprocessed(padded)):
        if count >= MAX_TOKENS or not padded.startswith(text, at):
            return None
        # The added line feed is the last character, and so the only one that is cut off here.
        tokens.append((kind, text[: len(source) - at]))
        at += len(text)
    return tokens if at == len(padded) else None


def _pieces(tokens: Iterable[tuple[_TokenType, str]]) -> Iterator[str]:
    """Write the HTML: neighbours of one class share a tag, also across white space, which never needs one itself."""
    open_class = ""
    space = ""
    for kind, text in tokens:
        if text == "" or text.isspace():
            space += text
            continue
        wanted = _class_of(kind)
        if wanted == open_class:
            yield space
        else:
            yield f"</span>{space}" if open_class else space
            yield f"<span class={wanted}>" if wanted else ""
            open_class = wanted
        space = ""
        yield _escape(text)
    yield f"</span>{space}" if open_class else space


@cache
def _class_of(kind: _TokenType) -> str:
    """Find the class of a kind of token, or of the nearest kind above it; `Token` is above all."""
    return next(_CLASS_OF[parent] for parent in reversed(kind.split()) if parent in _CLASS_OF)


def _escape(text: str) -> str:
    if not _NEEDS_ESCAPE.search(text):
        return text
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
