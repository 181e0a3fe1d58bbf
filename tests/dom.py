"""A page as htmx keeps it up to date, without a browser: messages of partials in, the text that a reader sees out.

All targets of a message are looked up before any of it is applied; what aims at nothing is dropped (htmx 4.0.1).
"""

from __future__ import annotations

import re

import turbohtml

_PARTIAL = re.compile(r"<hx-partial((?: [a-z-]+=(?:\"[^\"]*\"|[^ >]*))*)>(.*?)</hx-partial>", re.DOTALL)
_ATTRIBUTE = re.compile(r" ([a-z-]+)=(?:\"([^\"]*)\"|([^ >]*))")


class Dom:
    """A page that was loaded, and what its feed makes of it."""

    def __init__(self, html: str) -> None:
        self.document = turbohtml.parse(html)

    def receive(self, message: str) -> None:
        """Apply a message of a socket or an event stream."""
        assert not _PARTIAL.sub("", message).strip(), f"something stands between the partials of {message!r}"
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
        html = self.replies[-1].select(".text")[0].inner_html
        html = re.sub(r"<(i|template) id=\"r\d+-\d+\"></\1>", "", html)
        return str(turbohtml.parse_fragment(re.sub(r" id=\"r\d+[bt]\d+\"", "", html), "template").inner_html)

    def text(self) -> str:
        """The text of the latest reply."""
        return self.replies[-1].select(".text")[0].text if self.replies else ""

    def state(self) -> str:
        """The state of the latest reply's turn."""
        return str(self.replies[-1].select(".end")[0].attrs["data-state"]) if self.replies else "running"


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
        case "delete":
            target.decompose()
        case _:
            raise AssertionError(f"no swap is called {swap}")
