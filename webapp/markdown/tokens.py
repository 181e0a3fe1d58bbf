"""Tokens of text that stand for themselves: code, formulas, escapes, entities and addresses.

Each function reads the token at a position of an `Inline`'s buffer. It gives where the token ends; or adds the first
character as text and gives the position after it; or gives WAIT, if that depends on what follows.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from webapp.markdown.bounds import MAX_OPEN_CHARS
from webapp.markdown.characters import ASCII_PUNCTUATION
from webapp.markdown.escape import escape, has_hidden, show_hidden
from webapp.markdown.links import MAX_URL_CHARS, entity

if TYPE_CHECKING:
    from webapp.markdown.inlines import Inline

WAIT: Final = -1
MAX_FORMULA_CHARS = 2_000
MAX_DOLLAR_CHARS = 300
"""A formula in single dollars; a price is often not followed by another dollar, and its paragraph waits so long."""

_BACKTICKS = re.compile("`+")
_ENTITY = re.compile(r"&(?:#[xX][0-9a-fA-F]{1,6}|#[0-9]{1,7}|[A-Za-z][A-Za-z0-9]{1,31});")
_ENTITY_SO_FAR = re.compile(r"&(?:#(?:[xX][0-9a-fA-F]{0,6}|[0-9]{0,7})|[A-Za-z][A-Za-z0-9]{0,31})?\Z")

_MAILBOX_CHARS = r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]"
_AUTOLINK = re.compile(
    r"<(?:([A-Za-z][A-Za-z0-9+.\-]{1,31}:[^\x00-\x20<>]*+)"
    rf"|({_MAILBOX_CHARS}+@[A-Za-z0-9](?:[A-Za-z0-9.-]{{0,252}}[A-Za-z0-9])?))>"
)
_AUTOLINK_SO_FAR = re.compile(
    rf"<(?:[A-Za-z][A-Za-z0-9+.\-]{{0,31}}(?::[^\x00-\x20<>]*+)?|{_MAILBOX_CHARS}{{1,64}}(?:@[A-Za-z0-9.-]{{0,254}})?)?\Z"
)
_ENDS_AUTOLINK = re.compile(r"[\s<>]")

_BARE_END = re.compile(r"[\s<\u3000-\u303f\uff00-\uff0f\uff1a-\uff1f]")
_DOMAIN = re.compile(r"(?:(?:https?|ftp)://)?([A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)")
_LAST_ENTITY = re.compile(r"&[A-Za-z0-9]+;\Z")
_MAILBOX_NAME = re.compile(r"[A-Za-z0-9._+-]+\Z")
_MAILBOX_HOST = re.compile(r"[A-Za-z0-9._-]*")
_MAX_NAME_CHARS = 64
_MAX_HOST_CHARS = 255


def code_span(inline: Inline, at: int) -> int:
    """Read a code span (CommonMark 0.31.2, section 6.1)."""
    buffer = inline.buffer
    end = run_end(inline, at, _BACKTICKS)
    if end < 0:
        return WAIT
    length, last = end - at, end + MAX_OPEN_CHARS
    close = _closing_run(inline, length, end, last) if length < MAX_OPEN_CHARS else -1
    if close >= 0:
        inline.add(_code(buffer[end:close]))
        return close + length
    if length < MAX_OPEN_CHARS and len(buffer) <= last + length and not inline.is_final:
        return inline.wait(_run_watch(length, buffer), last + length - len(buffer))
    inline.add(buffer[at:end])
    return end


def run_end(inline: Inline, at: int, run: re.Pattern[str]) -> int:
    """Give where a run of one character ends, at the latest after MAX_OPEN_CHARS, or WAIT."""
    buffer = inline.buffer
    match = run.match(buffer, at, at + MAX_OPEN_CHARS)
    end = match.end() if match else at
    if end < len(buffer) or inline.is_final or end - at == MAX_OPEN_CHARS:
        return end
    return inline.wait(_unless_only(buffer[at]), at + MAX_OPEN_CHARS - end) if end - at > 8 else WAIT


def _unless_only(character: str) -> Callable[[str], bool]:
    """Wake when a run of one character has ended."""
    return lambda text: text.strip(character) != ""


def _closing_run(inline: Inline, length: int, at: int, last: int) -> int:
    """Find the next run of just so many backticks that starts at `last` or before."""
    buffer = inline.buffer
    for match in _BACKTICKS.finditer(buffer, at, last + length + 1):
        start, end = match.span()
        if start <= last and end - start == length and (end < len(buffer) or inline.is_final):
            return start
    return -1


def _run_watch(length: int, buffer: str) -> Callable[[str], bool]:
    """Watch text as it comes for the end of a run of so many backticks."""
    last = len(buffer) - len(buffer.rstrip("`"))

    def is_complete(text: str) -> bool:
        nonlocal last
        if "`" not in text:
            found = last == length
            last = 0
            return found
        runs = _BACKTICKS.findall(text)
        starts, ends = text[0] == "`", text[-1] == "`"
        if len(runs[0]) == len(text):
            last += len(text)
            return False
        lengths = [len(run) for run in runs]
        if starts:
            lengths[0] += last
        else:
            lengths.insert(0, last)
        last = lengths.pop() if ends else 0
        return length in lengths

    return is_complete


def _code(source: str) -> str:
    text = source.replace("\n", " ")
    if text[:1] == " " == text[-1:] and text.strip(" "):
        text = text[1:-1]
    return f"<code>{show_hidden(escape(text))}</code>"


def dollar(inline: Inline, at: int) -> int:
    """Read a formula in `$` or `$$`. Within single ones, spaces and a digit behind it tell a price from a formula."""
    buffer = inline.buffer
    if not inline.dialect.has_math:
        inline.add("$")
        return at + 1
    after = buffer[at + 1 : at + 2]
    if not after and not inline.is_final:
        return WAIT
    if after == "$":
        return _formula(inline, at, "$$", "$$", MAX_FORMULA_CHARS)
    if not after or after in " \t\n":
        inline.add("$")
        return at + 1
    return _dollar_formula(inline, at)


_NEXT_DOLLAR = re.compile(r"(?:[^$\\\n]|\\[^\n])*+")


def _dollar_formula(inline: Inline, at: int) -> int:
    """The next dollar on the line decides: it closes, or the first one is text."""
    buffer = inline.buffer
    match = _NEXT_DOLLAR.match(buffer, at + 1, at + 2 + MAX_DOLLAR_CHARS)
    end = match.end() if match else at + 1
    closes = buffer[end : end + 1] == "$"
    is_open = end >= len(buffer) or (buffer[end] in "$\\" and end + 1 >= len(buffer))
    if is_open and not inline.is_final and end - at <= MAX_DOLLAR_CHARS:
        inline.at = at
        return inline.wait(_anything if buffer[-1] in "$\\" else _ends_dollar, MAX_DOLLAR_CHARS)
    source = buffer[at + 1 : end]
    if not closes or source[-1:] in " \t" or buffer[end + 1 : end + 2].isdigit() or len(source) > MAX_DOLLAR_CHARS:
        inline.add("$")
        return at + 1
    inline.add(formula_html(inline, source, False))
    return end + 1


def _anything(text: str) -> bool:
    return True


def _ends_dollar(text: str) -> bool:
    return "$" in text or "\n" in text


def _formula(inline: Inline, at: int, opening: str, closing: str, limit: int) -> int:
    """Read a formula whose end is searched for, from where the last search ended."""
    buffer = inline.buffer
    start = at + len(opening)
    searched = max(start, inline.no_close.get(closing, 0) - inline.offset)
    end = _find_unescaped(buffer, closing, searched, start + limit)
    if end < 0:
        known = max(start, min(len(buffer) - len(closing) + 1, start + limit))
        inline.no_close[closing] = max(inline.no_close.get(closing, 0), inline.offset + known)
        if not inline.is_final and len(buffer) - start <= limit + len(closing):
            inline.at = at
            return inline.wait(_search_for(closing[-1]), limit)
    source = buffer[start:end] if end >= 0 else ""
    if not any(character.isalnum() for character in source):
        return _not_a_formula(inline, at, opening)
    inline.add(formula_html(inline, source.strip(), opening != "\\("))
    return end + len(closing)


def _not_a_formula(inline: Inline, at: int, opening: str) -> int:
    inline.add("$$" if opening == "$$" else opening[1:])
    return at + 2


def _find_unescaped(buffer: str, closing: str, at: int, limit: int) -> int:
    while True:
        at = buffer.find(closing, at, limit + len(closing))
        if at < 0 or _backslashes_before(buffer, at) % 2 == 0:
            return at
        at += 1


def _backslashes_before(buffer: str, at: int) -> int:
    start = at
    while start and buffer[start - 1] == "\\":
        start -= 1
    return at - start


def _search_for(character: str) -> Callable[[str], bool]:
    return lambda text: character in text


def formula_html(inline: Inline, source: str, is_display: bool) -> str:
    """Give a formula as the dialect converts it, or its source."""
    convert = inline.dialect.formula if not has_hidden(source) else None
    html = convert(source, is_display) if convert is not None else None
    return html if html is not None else plain_formula(source, is_display)


def plain_formula(source: str, is_display: bool) -> str:
    """Give the source of a formula."""
    kind = "math display" if is_display else "math"
    return f'<code class="{kind}">{show_hidden(escape(source))}</code>'


def backslash(inline: Inline, at: int) -> int:
    """Read an escaped character, a hard break, or a formula in `\\(` or `\\[`."""
    buffer = inline.buffer
    if at + 1 == len(buffer) and not inline.is_final:
        return WAIT
    after = buffer[at + 1 : at + 2]
    if inline.dialect.has_math and (after == "(" or after == "["):
        return _formula(inline, at, "\\" + after, "\\)" if after == "(" else "\\]", MAX_FORMULA_CHARS)
    if after == "\n":
        inline.add("<br>\n")
    elif after and after in ASCII_PUNCTUATION:
        inline.add(escape(after))
    else:
        inline.add("\\")
        return at + 1
    return at + 2


def entity_reference(inline: Inline, at: int) -> int:
    """Read an entity or a number of a character (section 2.5)."""
    buffer = inline.buffer
    match = _ENTITY.match(buffer, at)
    if match is not None:
        inline.add(escape(entity(match[0])))
        return match.end()
    if not inline.is_final and _ENTITY_SO_FAR.match(buffer, at):
        return WAIT
    inline.add("&amp;")
    return at + 1


def autolink(inline: Inline, at: int) -> int:
    """Read an address in angle brackets (section 6.5)."""
    buffer = inline.buffer
    match = _AUTOLINK.match(buffer, at)
    if match is not None and match.end() - at <= MAX_URL_CHARS:
        return _add_autolink(inline, at, match)
    if not inline.is_final and len(buffer) - at <= MAX_URL_CHARS and _AUTOLINK_SO_FAR.match(buffer, at):
        inline.at = at
        return inline.wait(_autolink_watch, MAX_URL_CHARS) if len(buffer) - at > _MAX_NAME_CHARS else WAIT
    inline.add("&lt;")
    return at + 1


def _autolink_watch(text: str) -> bool:
    return _ENDS_AUTOLINK.search(text) is not None


def _add_autolink(inline: Inline, at: int, match: re.Match[str]) -> int:
    url, mailbox_name = match[1], match[2]
    text = url or mailbox_name
    html = inline.dialect.links.autolink(url or f"mailto:{mailbox_name}", text)
    if html is None:
        inline.add("&lt;")
        return at + 1
    _add_anchor(inline, html, text)
    return match.end()


def _add_anchor(inline: Inline, html: str, text: str) -> None:
    inline.anchors.append((inline.base + len(inline.pieces), escape(text), 1))
    inline.add(html)


def bare_link(inline: Inline, at: int) -> int:
    """Read an address that is only written, as GFM's extended autolinks are."""
    buffer = inline.buffer
    if inline.brackets:
        inline.add(buffer[at])
        return at + 1
    found = _BARE_END.search(buffer, at, at + MAX_URL_CHARS + 1)
    if found is None and not inline.is_final and len(buffer) - at <= MAX_URL_CHARS:
        inline.at = at
        return inline.wait(_bare_watch, MAX_URL_CHARS)
    end = found.start() if found else len(buffer)
    url = _without_trail(buffer[at:end]) if end - at <= MAX_URL_CHARS else ""
    html = None
    if url and _has_domain(url):
        html = inline.dialect.links.autolink(f"http://{url}" if buffer[at] == "w" else url, url)
    if html is None:
        word_end = buffer.index(".", at) if buffer[at] == "w" else buffer.index(":", at)
        inline.add_text(buffer[at:word_end])
        return word_end
    _add_anchor(inline, html, url)
    return at + len(url)


def _bare_watch(text: str) -> bool:
    return _BARE_END.search(text) is not None


def _has_domain(url: str) -> bool:
    match = _DOMAIN.match(url)
    if match is None:
        return False
    labels = match[1].split(".")
    needed = 2 if url[0] == "w" else 1
    return len(labels) >= needed and not any("_" in label for label in labels[-2:])


def _without_trail(url: str) -> str:
    """Cut what more likely belongs to the sentence than to the address (GFM 0.29, section 6.9)."""
    surplus = url.count(")") - url.count("(")
    end = len(url)
    while end:
        last = url[end - 1]
        if last == ")" and surplus > 0:
            surplus, end = surplus - 1, end - 1
        elif last == ";" and (match := _LAST_ENTITY.search(url, max(0, end - 40), end)):
            end = match.start()
        elif last in "?!.,:*_~'\"`":
            end -= 1
        else:
            break
    return url[:end]


def mailbox(inline: Inline, at: int) -> int:
    """Read a mailbox around its `@`."""
    buffer, start = inline.buffer, inline.at
    match = _MAILBOX_NAME.search(buffer, max(start, at - _MAX_NAME_CHARS - 1), at)
    host = _MAILBOX_HOST.match(buffer, at + 1, at + 2 + _MAX_HOST_CHARS)
    if match is None or host is None or inline.brackets or at - match.start() > _MAX_NAME_CHARS:
        return _at_sign(inline, at)
    if host.end() == len(buffer) and not inline.is_final and len(host[0]) <= _MAX_HOST_CHARS:
        inline.add_text(buffer[start : match.start()])
        inline.at = match.start()
        return WAIT
    name, place = match[0], host[0].rstrip(".")
    if "." not in place or ".." in place or place[0] == "." or place[-1] in "-_" or len(place) > _MAX_HOST_CHARS:
        return _at_sign(inline, at)
    html = inline.dialect.links.autolink(f"mailto:{name}@{place}", f"{name}@{place}")
    if html is None:
        return _at_sign(inline, at)
    inline.add_text(buffer[start : match.start()])
    _add_anchor(inline, html, f"{name}@{place}")
    return at + 1 + len(place)


def _at_sign(inline: Inline, at: int) -> int:
    inline.add_text(inline.buffer[inline.at : at + 1])
    return at + 1
