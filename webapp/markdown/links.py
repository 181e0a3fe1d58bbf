"""Links and images: their syntax, where they may go, and their HTML.

Only absolute `http`, `https` and `mailto` addresses become links. A model knows nothing of the paths of this site, so
a relative address, like every other, is shown as text behind its words.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from html.entities import html5
from typing import Final, NamedTuple, Protocol
from urllib.parse import quote, urlsplit

from webapp.markdown.escape import escape, has_hidden, show_hidden, without_tags

MAX_URL_CHARS = 2_048
MAX_TAIL_CHARS = 4_096
"""From the parenthesis after a link's text to its end; more is text."""

MAX_LABEL_CHARS = 999
"""CommonMark 0.31.2, section 4.7."""

MAX_PARENTHESES = 8
"""Within each other, in an address; CommonMark 0.31.2 asks for three. Each `](` may have to look at so many."""

MAX_SHOWN_CHARS = 200
"""Of an address that is shown as text."""

REL: Final = "noopener noreferrer nofollow ugc"

LABEL = re.compile(r"\[((?:[^\[\]\\]|\\[\s\S]?)*+)\]")
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])|(&(?:#[xX][0-9a-fA-F]{1,6}|#[0-9]{1,7}|[A-Za-z][A-Za-z0-9]{1,31});)")
_SPACE = re.compile(r"[ \t]*+(?:\n[ \t]*+)?+")
_ANGLE = re.compile(r"<((?:[^<>\n\\]|\\[^\n])*+)>")
_ANGLE_SO_FAR = re.compile(r"<(?:[^<>\n\\]|\\[^\n])*+\\?\Z")
_BARE = re.compile(r"(?:[^()\\\x00-\x20\x7f]|\\[^\x00-\x20\x7f]?)++")
_TITLES = {
    '"': re.compile(r'"((?:[^"\\]|\\[\s\S])*+)"'),
    "'": re.compile(r"'((?:[^'\\]|\\[\s\S])*+)'"),
    "(": re.compile(r"\(((?:[^()\\]|\\[\s\S])*+)\)"),
}
_TITLES_SO_FAR = {
    '"': re.compile(r'"(?:[^"\\]|\\[\s\S])*+\\?\Z'),
    "'": re.compile(r"'(?:[^'\\]|\\[\s\S])*+\\?\Z"),
    "(": re.compile(r"\((?:[^()\\]|\\[\s\S])*+\\?\Z"),
}

_SCHEME = re.compile("(https?://|mailto:)", re.I)
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\x9f\\<>\"`{}|^\u2028\u2029]")
_URL_SAFE = ";/?:@&=+$,-_.!~*'()#%[]"
_MAILBOX = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+(?:\?.*)?")
_HOST = re.compile(r"[A-Za-z0-9.\-\[\]:]+")


class Target(NamedTuple):
    """Where a link goes, as written, without escapes and entities."""

    url: str
    title: str = ""


class Links(Protocol):
    """What links and images become. All of `inner` and what is returned is HTML."""

    def link(self, target: Target, inner: str) -> str:
        """Give a link whose words are `inner`."""

    def image(self, target: Target, inner: str) -> str:
        """Give an image, or what stands for it; `inner` describes it, and may have tags."""

    def image_in_link(self, target: Target, inner: str) -> str:
        """Give what stands for an image in a link, which cannot have another one in it."""

    def autolink(self, url: str, text: str) -> str | None:
        """Give a link for an address that was written as such, or nothing if it must stay text."""


@dataclass(frozen=True, slots=True)
class SafeLinks:
    """Links that say where they go, and no images but those that `image_source` allows.

    `image_source` is given the address of an image and gives that of a copy on this site, or nothing; that is how an
    operator lets images from some hosts in.
    """

    image_source: Callable[[str], str | None] | None = None

    def link(self, target: Target, inner: str) -> str:
        """Give a link with its host behind its words, unless they name it."""
        url = safe_url(target.url)
        if url is None:
            return f'<span class="unlinked">{inner}{_aside(target.url)}</span>'
        place = _place(url)
        aside = "" if place in without_tags(inner) else _aside(place)
        return f'<a href="{escape(url)}" rel="{REL}">{inner}{aside}</a>'

    def image(self, target: Target, inner: str) -> str:
        """Give a link that says it is an image, or the image if its host is allowed."""
        url = safe_url(target.url)
        words = without_tags(inner)
        if url is None:
            return f'<span class="image">{words}{_aside(target.url)}</span>'
        if image := self._allowed_image(url, words):
            return image
        return f'<a class="image" href="{escape(url)}" rel="{REL}">{words}{_aside(_place(url))}</a>'

    def image_in_link(self, target: Target, inner: str) -> str:
        """Give the image if its host is allowed, or its description."""
        url = safe_url(target.url)
        words = without_tags(inner)
        image = self._allowed_image(url, words) if url is not None else None
        return image or f'<span class="image">{words}</span>'

    def _allowed_image(self, url: str, words: str) -> str | None:
        source = self.image_source(url) if self.image_source is not None else None
        return f'<img src="{escape(source)}" alt="{words}" loading="lazy">' if source is not None else None

    def autolink(self, url: str, text: str) -> str | None:
        """Give a link whose words are its address."""
        url_or_none = safe_url(url)
        if url_or_none is None:
            return None
        return f'<a href="{escape(url_or_none)}" rel="{REL}">{show_hidden(escape(text))}</a>'


def safe_url(url: str) -> str | None:
    """Give the address in the form a browser would send it, or nothing if it may not be a link.

    What is checked is what is returned: the scheme stands at the very start, nothing is left for a browser to strip or
    to decode, a name of a host is in its ASCII form, and there is no user name that looks like one.
    """
    scheme = _SCHEME.match(url)
    if scheme is None or len(url) > MAX_URL_CHARS or has_hidden(url):
        return None
    url = _FORBIDDEN.sub(lambda match: quote(match[0]), url)
    try:
        return _mail(url) if scheme[1].lower() == "mailto:" else _web(url)
    except ValueError:
        return None


def _mail(url: str) -> str | None:
    address = url[len("mailto:") :]
    return f"mailto:{quote(address, safe=_URL_SAFE)}" if _MAILBOX.fullmatch(address) else None


def _web(url: str) -> str | None:
    parts = urlsplit(url)
    host = parts.netloc
    if not host or "@" in host or "%" in host:
        return None
    if not host.isascii():
        host = host.encode("idna").decode()
    if not _HOST.fullmatch(host):
        return None
    rest = url[url.index("//") + 2 + len(parts.netloc) :]
    return f"{parts.scheme}://{host}{quote(rest, safe=_URL_SAFE)}"


def _place(url: str) -> str:
    """Say in short where an address leads."""
    if url.startswith("mailto:"):
        return escape(url[len("mailto:") :].partition("?")[0])
    return escape(urlsplit(url).netloc.removeprefix("www."))


def _aside(text: str) -> str:
    if not text:
        return ""
    short = text if len(text) <= MAX_SHOWN_CHARS else f"{text[:MAX_SHOWN_CHARS]}…"
    return f"<small> {show_hidden(escape(short))}</small>"


def unescaped(text: str) -> str:
    """Undo backslash escapes and entities."""
    if "\\" not in text and "&" not in text:
        return text
    return _ESCAPED.sub(lambda match: match[1] or entity(match[2]), text)


def entity(text: str) -> str:
    """Give the characters of `&...;`, or the text itself if it is none; U+0000 is U+FFFD (section 6.2)."""
    if text[1] != "#":
        return html5.get(text[1:], text)
    number = int(text[3:-1], 16) if text[2] in "xX" else int(text[2:-1])
    return chr(number) if 0 < number < 0x110000 and not 0xD800 <= number < 0xE000 else "\ufffd"


def normal_label(label: str) -> str:
    """Give the form in which labels are compared (section 6.3)."""
    return " ".join(label.split()).casefold().upper()


MORE: Final = -1
NO: Final = -2
"""Instead of the position where something ends: it may with more text, or it does not."""


def link_tail(source: str, at: int, is_final: bool) -> tuple[int, Target | None]:
    """Parse `destination "title")` from behind the `(`; give where it ends, or MORE or NO."""
    end, target = _link_tail(source, at)
    if end == MORE and (is_final or len(source) - at > MAX_TAIL_CHARS):
        return NO, None
    return (NO, None) if end - at > MAX_TAIL_CHARS else (end, target)


def _link_tail(source: str, at: int) -> tuple[int, Target | None]:
    at = skip_space(source, at)
    if source[at : at + 1] == ")":
        return at + 1, Target("")
    at, url = destination(source, at)
    if at < 0:
        return at, None
    after = skip_space(source, at)
    raw_title = ""
    if after > at and source[after : after + 1] in _TITLES:
        after, raw_title = title(source, after)
        if after < 0:
            return after, None
        after = skip_space(source, after)
    if after >= len(source):
        return MORE, None
    return (after + 1, Target(unescaped(url), unescaped(raw_title))) if source[after] == ")" else (NO, None)


def skip_space(source: str, at: int) -> int:
    """Skip spaces with at most one line end."""
    match = _SPACE.match(source, at)
    return match.end() if match else at


def destination(source: str, at: int) -> tuple[int, str]:
    """Parse a link destination; give its end and text, or MORE or NO."""
    if at >= len(source):
        return MORE, ""
    if source[at] == "<":
        if match := _ANGLE.match(source, at):
            return match.end(), match[1]
        return (MORE if _ANGLE_SO_FAR.match(source, at) else NO), ""
    start, depth = at, 0
    while at < len(source):
        if match := _BARE.match(source, at):
            at = match.end()
        elif source[at] == "(" and depth < MAX_PARENTHESES:
            depth, at = depth + 1, at + 1
        elif source[at] == ")" and depth:
            depth, at = depth - 1, at + 1
        else:
            return (at, source[start:at]) if at > start and not depth and source[at] != "(" else (NO, "")
    return MORE, source[start:at] if not depth else ""


def title(source: str, at: int) -> tuple[int, str]:
    """Parse a link title; give its end and text, or MORE or NO."""
    quote_mark = source[at]
    if match := _TITLES[quote_mark].match(source, at):
        return match.end(), match[1]
    return (MORE if _TITLES_SO_FAR[quote_mark].match(source, at) else NO), ""
