"""Says of HTML whether it is all our own: constant tags, attributes and values, whatever the Markdown was."""

from __future__ import annotations

import re

from turbohtml import parse_fragment

TAGS = (
    "a blockquote br code del div em figcaption figure h1 h2 h3 h4 h5 h6 hr i img input li ol p pre section small span "
    "strong sup table tbody td template th thead tr ul"
)
_FOREIGN_TAG = re.compile(rf"<(?!/?(?:{'|'.join(TAGS.split())})[ >])")
_CLASSES = (
    "alert note tip important warning caution title loose code table formula footnotes math display image "
    "unlinked left center right"
)
_CLASS = re.compile(rf"(?:{'|'.join(_CLASSES.split())}|language-[A-Za-z0-9_+#.\-]{{1,32}})")
_VALUES = {
    "class": re.compile(rf"{_CLASS.pattern}(?: {_CLASS.pattern})*"),
    "href": re.compile(r"(?:https?://[A-Za-z0-9.\-\[\]:]+(?:[/?#][!#-;=?-~]*)?|mailto:[!#-;=?-~]+|#m(?:2)?n[0-9]+)"),
    "rel": re.compile("noopener noreferrer nofollow ugc"),
    "id": re.compile(r"m(?:[btn]|-)[0-9]+"),
    "value": re.compile("[0-9]+"),
    "start": re.compile("[0-9]{1,9}"),
    "type": re.compile("checkbox"),
    "aria-label": re.compile("Task"),
    "dir": re.compile("auto"),
    "tabindex": re.compile("0"),
    "disabled": re.compile(""),
    "checked": re.compile(""),
}


def faults(html: str) -> list[str]:
    """Give what is wrong with HTML; nothing, if it is safe by construction."""
    found = [f"tag {html[match.start() : match.start() + 20]!r}" for match in _FOREIGN_TAG.finditer(html)]
    for element in parse_fragment(html, "template").iter_elements():
        for name, value in element.attrs.items():
            text = " ".join(value) if isinstance(value, list) else value or ""
            pattern = _VALUES.get(name)
            if pattern is None or not pattern.fullmatch(text):
                found.append(f"{element.tag} {name}={text!r}")
    return found
