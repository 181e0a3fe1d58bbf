"""A reply as HTML while it grows: what a reader has at any moment takes what comes next."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.dom import Dom
from webapp.markdown import VERSION
from webapp.rendering import partials
from webapp.replies import STEP_CHARS, GrowingReply, ReplyRenderer, steps

CODE = "Look:\n\n```python\nx = 1\n```"
HIGHLIGHTED = "x = <span class=n>1</span>"


@pytest.fixture
async def renderer() -> AsyncIterator[ReplyRenderer]:
    made = ReplyRenderer()
    yield made
    await made.close()


def growing(renderer: ReplyRenderer, text: str) -> GrowingReply:
    reply = renderer.begin(2, lambda: None)
    reply.feed(text)
    return reply


async def test_code_is_highlighted_when_the_reply_ends(renderer: ReplyRenderer) -> None:
    reply = growing(renderer, CODE)
    reply.flush()
    reply.close()
    await reply.highlighted()

    (op,) = reply.flush()

    assert HIGHLIGHTED in op.html
    assert HIGHLIGHTED in reply.rendering().html


async def test_whoever_joins_while_the_last_code_is_highlighted_sees_it_highlighted(renderer: ReplyRenderer) -> None:
    reply = growing(renderer, CODE)
    reply.flush()
    reply.close()
    page = Dom(f'<article class="reply"><div class="text">{reply.rendering().html}</div></article>')
    assert "<span" not in page.content()

    await reply.highlighted()
    page.receive(partials(reply.flush()))

    assert '<span class="n">1</span>' in page.content()


async def test_code_that_was_highlighted_asks_for_a_flush(renderer: ReplyRenderer) -> None:
    asked: list[None] = []
    reply = renderer.begin(2, lambda: asked.append(None))
    reply.feed(f"{CODE}\n\nMore ")
    reply.flush()

    await reply.highlighted()

    assert asked == [None]
    assert HIGHLIGHTED in "".join(op.html for op in reply.flush())


async def test_a_renderer_that_has_closed_leaves_code_plain() -> None:
    renderer = ReplyRenderer()
    await renderer.close()

    rendering = await renderer.render(2, CODE)

    assert '<code class="language-python">x = 1\n</code>' in rendering.html


async def test_the_whole_at_once_is_what_grew(renderer: ReplyRenderer) -> None:
    text = f"{CODE}\n\n[a]\n\n- *b*\n\n[a]: https://x.org\n" * 50
    reply = renderer.begin(2, lambda: None)
    for piece in steps(text):
        reply.feed(piece)
        reply.flush()
        await reply.keep_pace()
    reply.close()
    await reply.highlighted()
    reply.flush()

    assert await renderer.render(2, text) == reply.rendering()
    assert reply.rendering().html.count(HIGHLIGHTED) == 50


def test_a_version_names_the_rule_about_images() -> None:
    versions = [ReplyRenderer().version, *(ReplyRenderer(image_rule=rule).version for rule in ("a.org", "b.org"))]

    assert versions[0] == str(VERSION)
    assert len(set(versions)) == 3


def test_steps_are_the_text() -> None:
    text = "x" * (2 * STEP_CHARS + 1)

    assert [len(step) for step in steps(text)] == [STEP_CHARS, STEP_CHARS, 1]
    assert list(steps("")) == []
