"""A page as htmx keeps it up to date, without a browser: messages of partials in, the text that a reader sees out.

All targets of a message are looked up before any of it is applied; what aims at nothing is dropped (htmx 4.0.1).
"""

from __future__ import annotations

import re

try:
    import turbohtml
except ImportError as error:
    raise ImportError("webapp.testing reads pages with turbohtml: pip install 'rill[testing]'") from error

_PARTIAL = re.compile(r"<hx-partial((?: [a-z-]+=(?:\"[^\"]*\"|[^ >]*))*)>(.*?)</hx-partial>", re.DOTALL)
_ATTRIBUTE = re.compile(r" ([a-z-]+)=(?:\"([^\"]*)\"|([^ >]*))")


class Dom:
    """A page that was loaded, and what its feed makes of it."""

    def __init__(self, html: str) -> None:
        self.document = turbohtml.parse(html)

    def receive(self, message: str) -> None:
        """Apply a message of a socket or an event stream."""
        if _PARTIAL.sub("", message).strip():
            raise AssertionError(f"something stands between the partials of {message!r}")
        tasks = []
        for raw, content in _PARTIAL.findall(message):
            attributes = {name: quoted or bare for name, quoted, bare in _ATTRIBUTE.findall(raw)}
            selector = attributes.get("hx-target") or f'[id="{attributes["id"]}"]'
            swap = attributes.get("hx-swap", "outerHTML")
            tasks += [(target, swap, content) for target in self.document.select(selector)]
        for target, swap, content in tasks:
            _swap(target, swap, list(turbohtml.parse_fragment(content, "template").children))

    @property
    def replies(self) -> list[turbohtml.Element]:
        return self.document.select("article.reply")

    def content(self) -> str:
        """The HTML of the latest reply, without ids and markers; none before there is one."""
        if not self.replies:
            return ""
        return _settled(self.replies[-1].select(".text")[0].inner_html)

    def transcript(self) -> list[str]:
        """Every message as a reader has it, and what may be done now: in one form whichever way it came to the page."""
        messages = [_settled(article.html) for article in self.document.select("article.message")]
        places = [str(place.attrs["id"]) for place in self.document.select('#rill-live > i[id^="rill-after-"]')]
        return [*messages, *places, _settled(self.document.select("#rill-controls")[0].html)]

    def has_places_to_go_on(self) -> bool:
        """Whether a reply has markers left in whose place something may come."""
        return any(re.search(r" id=\"rill-r\d+-\d+\"", reply.html) for reply in self.replies)

    def status(self) -> str:
        """What the page says of the latest reply, in a word or two."""
        return self.document.select("#rill-status")[0].text.strip()

    def has(self, selector: str) -> bool:
        return bool(self.document.select(selector))

    def attribute(self, selector: str, name: str) -> str:
        """The value of an attribute of the one element that a selector names."""
        (element,) = self.document.select(selector)
        return str(element.attrs[name])

    def text(self) -> str:
        """The text of the latest reply."""
        return self.replies[-1].select(".text")[0].text if self.replies else ""

    def state(self) -> str:
        """The state of the latest reply's turn."""
        return str(self.replies[-1].select(".end")[0].attrs["data-state"]) if self.replies else "running"


def _settled(html: str) -> str:
    """Give HTML without the ids and markers for what may still come, and without what each page has of its own."""
    html = re.sub(r"<(i|template) id=\"rill-[rt]\d+-\d+\"></\1>", "", html)
    html = re.sub(r" (id=\"rill-r\d+[bt]\d+\"|hx-nonce=\"[^\"]*\")", "", html)
    return str(turbohtml.parse_fragment(html, "template").inner_html)


def _swap(target: turbohtml.Element, swap: str, content: list[turbohtml.Node]) -> None:
    if target.parent is None:
        return
    match swap:
        case "outerHTML":
            target.replace_with(*content)
        case "innerMorph" | "innerHTML":
            target.clear()
            target.extend(content)
        case "textContent":
            target.clear()
            target.extend([node for node in content if isinstance(node, turbohtml.Text)])
        case "afterbegin":
            for node in reversed(content):
                target.insert(0, node)
        case "delete":
            target.decompose()
        case _:
            raise AssertionError(f"no swap is called {swap}")
