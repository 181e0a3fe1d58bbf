"""What becomes of fragments for a page of other people's: tags are changed, and never what somebody wrote."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from webapp.domain import ConversationId, ReaderId
from webapp.embeds import Embed
from webapp.insets import fitted
from webapp.markdown import render
from webapp.pages import Page
from webapp.visits import Visit

OWN = Page.make(
    base="", origin="https://chat.example", secret="s" * 32, reader=ReaderId("a"), conversation_id=ConversationId("c1")
)
VISIT = Visit("x", Embed.model_validate({"name": "support"}), "v", datetime.now(UTC), datetime.now(UTC))
INSET = replace(OWN, is_inset=True, base="https://chat.example/i/x")


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        (
            "<hx-partial id=rill-r2-1>a</hx-partial>",
            '<hx-partial id="rill-r2-1" hx-swap="outerHTML settle:0 transition:false">a</hx-partial>',
        ),
        (
            '<hx-partial id="rill-live" hx-swap="innerMorph">',
            '<hx-partial id="rill-live" hx-swap="innerMorph settle:0 transition:false">',
        ),
        (
            '<hx-partial hx-target="#a b" hx-swap="delete">',
            '<hx-partial hx-target="#a b" hx-swap="delete settle:0 transition:false">',
        ),
        ('<a class="x" href="?raw=2">', '<a target="_blank" class="x" href="https://chat.example/i/x/c/c1?raw=2">'),
        ('<img alt="" src="../image?url=y">', '<img alt="" src="https://chat.example/i/x/image?url=y">'),
        ('<button class="stop" accesskey="x" aria-label="Stop">', '<button class="stop" aria-label="Stop">'),
        ('<a href="#rill-r2n1">', '<a href="#rill-r2n1">'),
        ('<a href="https://example.com/?a=b">', '<a href="https://example.com/?a=b">'),
    ],
)
def test_an_inset_gets_what_its_page_does_not_say(html: str, expected: str) -> None:
    assert fitted(INSET, html) == expected
    assert fitted(INSET, fitted(INSET, html)) == expected
    assert fitted(OWN, html) == html


@pytest.mark.parametrize(
    "text",
    [
        'Write `<a href="?raw=2">`, or <a href="?raw=2">, or <img src="../image">.',
        '```html\n<hx-partial id=rill-live><a href="?x">\n```',
        '[a](https://example.com/x "an href=\\"?raw=2\\" in a title") href="?b',
        '<hx-partial id="rill-live" hx-swap="delete">',
        '<button accesskey="x">, <small class="took">gpt</small>',
    ],
)
def test_what_somebody_wrote_stays_as_it_is(text: str) -> None:
    html = render(text)

    assert fitted(replace(INSET, visit=VISIT), html) == html
