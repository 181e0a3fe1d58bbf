"""Templates: each says what it needs and needs no more; none lets text become markup or script."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import turbohtml
from jinja2 import UndefinedError
from markupsafe import Markup

from tests.fakes import ROOT
from webapp.assets import Assets
from webapp.branding import Brand
from webapp.domain import (
    Assistant,
    AssistantId,
    Attachment,
    AttachmentId,
    AttachmentKind,
    BegunTurn,
    Conversation,
    ConversationId,
    Hit,
    ListChange,
    ListedConversation,
    Listing,
    Message,
    Model,
    ModelKind,
    ModelOption,
    ModelState,
    ReaderId,
    Rendering,
    RequestId,
    Role,
    Setup,
    Share,
    ShareToken,
    TurnState,
    Visitor,
    WaitChunk,
)
from webapp.embeds import Embed
from webapp.ids import content, place_after
from webapp.markdown import MarkdownStream, Op, render
from webapp.pages import Page
from webapp.rendering import SPLIT, Parts, Renderer
from webapp.snippets import snippets
from webapp.transports.view import SETUP_FIELDS, Welcome
from webapp.visits import Visit

FOLDER = ROOT / "templates"
TEMPLATES = sorted(str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.html"))
FRAGMENTS = [name for name in TEMPLATES if name.startswith("fragments/")]
HOSTILE = "<script>x</script><hx-partial id=rill-live>\"' onload=x &lt; <!--reply--> {{ 7 * 7 }} <img src=x onerror=y>"
NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    brand = Brand(HOSTILE, HOSTILE, FOLDER / "logo.svg")
    return Renderer(FOLDER, lambda: [ModelOption(HOSTILE, HOSTILE), ModelOption("m", "M")], brand=brand)


def message(number: int, role: Role, state: TurnState | None = None, cause: str | None = None) -> Message:
    rendering = Rendering(render(HOSTILE, prefix=content(number)), "1") if role is Role.ASSISTANT else None
    return Message(number, number - 1 or None, role, HOSTILE, NOW, state, cause, rendering)


PROMPT = message(1, Role.USER)
ENDS = [
    message(2, Role.ASSISTANT, TurnState.FINISHED),
    message(2, Role.ASSISTANT, TurnState.FINISHED, "length"),
    message(2, Role.ASSISTANT, TurnState.STOPPED),
    message(2, Role.ASSISTANT, TurnState.FAILED, "key_rejected"),
    message(2, Role.ASSISTANT, TurnState.FAILED, HOSTILE),
    message(2, Role.ASSISTANT, TurnState.INTERRUPTED, "interrupted"),
    message(2, Role.ASSISTANT, TurnState.RUNNING),
]
RUNNING = ENDS[-1]


def page(conversation_id: str | None) -> Page:
    return Page.make(
        base="",
        origin="http://localhost:8000",
        secret="s" * 32,
        reader=ReaderId("a" * 32),
        conversation_id=ConversationId(conversation_id) if conversation_id else None,
        name=HOSTILE,
    )


def conversation(*messages: Message) -> Conversation:
    return Conversation(ConversationId("c" * 22), ReaderId("a" * 32), HOSTILE, NOW, messages)


def begun(replaced: Message | None = None) -> BegunTurn:
    return BegunTurn(conversation(PROMPT, RUNNING), PROMPT, RUNNING, is_repeat=False, replaced=replaced)


def models() -> list[Model]:
    return [Model(kind, HOSTILE, HOSTILE, state, HOSTILE) for kind in ModelKind for state in ModelState]


IMAGE = Attachment(AttachmentId(HOSTILE), HOSTILE, AttachmentKind.IMAGE, "image/jpeg", 1_200_000, 40, 30)
TEXT = Attachment(AttachmentId(HOSTILE), HOSTILE, AttachmentKind.TEXT, "text/plain", 10)


def parts() -> list[Parts]:
    return [
        Parts((replace(PROMPT, attachments=(IMAGE, TEXT)), ENDS[0]), ()),
        Parts((PROMPT, ENDS[0]), (message(3, Role.USER),), earlier=7),
        Parts((), ()),
        *(Parts((), (PROMPT, end)) for end in ENDS),
        Parts((PROMPT, ENDS[0]), (message(3, Role.USER),)),
    ]


ASSISTANT = Assistant(AssistantId(HOSTILE), HOSTILE, HOSTILE, HOSTILE, starters=(HOSTILE,))
LISTED = ListedConversation(ConversationId("c" * 22), ReaderId("a" * 32), HOSTILE, NOW)
EMBED = Embed.model_validate({"name": "support", "origins": ["https://host.example"], "title": HOSTILE[:60]})
VISIT = Visit("x", EMBED, "v", NOW, NOW)
INSET: dict[str, Any] = {
    "is_inset": True,
    "base": "https://chat.example/i/x",
    "framed_base": "https://chat.example/e/x",
}
SAMPLES: dict[str, list[Any]] = {
    "page": [
        *(page("c" * 22), page(None), replace(page("c" * 22), visit=VISIT), replace(page(None), visit=VISIT)),
        *(replace(page(place), visit=VISIT, **INSET) for place in ("c" * 22, None)),
    ],
    "model": models(),
    "notice": [HOSTILE, ""],
    "request_id": [RequestId("request")],
    "draft": [HOSTILE, ""],
    "edits": [3, None],
    "chosen": [HOSTILE, "m"],
    "written": [dict.fromkeys(SETUP_FIELDS, HOSTILE), dict.fromkeys(SETUP_FIELDS, "")],
    "form": [None, "composer"],
    "waiting": [(IMAGE, TEXT), ()],
    "welcome": [
        Welcome((ASSISTANT,) * 7, None, (HOSTILE,), dict.fromkeys(SETUP_FIELDS, HOSTILE)),
        Welcome((), ASSISTANT, (HOSTILE,)),
        Welcome(),
    ],
    "setup": [Setup(HOSTILE, assistant=HOSTILE), Setup()],
    "assistants": [(ASSISTANT, replace(ASSISTANT, is_own=True)), ()],
    "assistant_id": [None, AssistantId(HOSTILE)],
    "are_own_allowed": [True, False],
    "skip": [HOSTILE],
    "is_other": [True, False],
    "wait": [WaitChunk("too_many_requests", 3.0), WaitChunk("endpoint_failed", 0.4), None],
    "parts": parts(),
    "running": [RUNNING, None],
    "partials": [Markup("<hx-partial id=rill-r2-1>x</hx-partial>"), Markup("")],
    "streamed": [None, 2],
    "message": [
        PROMPT,
        *ENDS,
        replace(PROMPT, attachments=(IMAGE, TEXT)),
        replace(PROMPT, siblings=(1, 3, 5)),
        replace(ENDS[0], siblings=(2, 4), is_saved=False),
    ],
    "prompt": [PROMPT],
    "reply": ENDS,
    "replaced": [None, ENDS[3]],
    "listed": [LISTED, replace(LISTED, is_running=True, is_pinned=True), replace(LISTED, is_archived=True)],
    "listing": [Listing((LISTED,), (LISTED,) * 2, goes_on=True, version=1), Listing()],
    "older": [[LISTED, replace(LISTED, updated_at=NOW - timedelta(days=9))]],
    "after": [None, LISTED.place],
    "goes_on": [True, False],
    "now": [NOW],
    "query": [HOSTILE, ""],
    "is_open": [True, False],
    "deleted": ["", "c" * 22],
    "gone": ["", "c" * 22],
    "change": list(ListChange),
    "hit": [Hit(LISTED, 3, HOSTILE), Hit(replace(LISTED, is_archived=True), 0, "")],
    "hits": [[Hit(LISTED, 3, HOSTILE)], []],
    "following": [LISTED.place, None],
    "empty": [HOSTILE],
    "path": ["/archive"],
    "title": [HOSTILE, ""],
    "heading": [HOSTILE, ""],
    "assets": [Assets(ROOT / "static")],
    "status": [404],
    "explanation": [HOSTILE],
    "style": [Markup("<!-- a style sheet -->")],
    "embed": [EMBED],
    "can_begin": [True, False],
    "carried": [{}, {each.id: f"data:,{HOSTILE}" for each in (IMAGE, TEXT)}],
    "snippets": [snippets("http://localhost:8000/embed/x", HOSTILE, "#000000", "#ffffff")],
    "origins": [("https://host.example",), ()],
    "conversations": [
        [(Visitor("7", HOSTILE, HOSTILE), conversation(PROMPT, ENDS[0])), (None, conversation(PROMPT))],
        [],
    ],
    "share": [Share(ShareToken("s" * 22), LISTED.id, HOSTILE, NOW), None],
    "url": ["http://localhost:8000/s/x", None],
    "base": ["", "/below"],
    "theme": ["", "dark"],
    "description": [HOSTILE],
    "shared_at": [NOW],
    "transport": ["http", "websocket"],
    "delay": [" delay:2s", ""],
}
"""For each name in a contract, the values that a template has to bear."""


def source(name: str) -> str:
    return (FOLDER / name).read_text()


def contract(name: str) -> list[str]:
    """The names that a template says it needs."""
    opening = re.match(r"\{# Context: (.*?)[.:].*?#\}", re.sub(r"\([^)]*\)", "", source(name)), re.S)
    assert opening is not None, f"{name} does not open with its context"
    names = [found.strip() for found in opening[1].split(",")]
    return [] if names == ["none"] else names


def renderings(renderer: Renderer, name: str) -> list[str]:
    """Render a template with every value of every name in its contract, one varied at a time."""
    names = contract(name)
    usual = {found: SAMPLES[found][0] for found in names}
    contexts = [usual, *({**usual, found: value} for found in names for value in SAMPLES[found][1:])]
    return [renderer.render(name, **context) for context in contexts]


def elements(html: str) -> list[Any]:
    return list(turbohtml.parse(html).find_all())


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_opens_with_a_context_that_is_enough(renderer: Renderer, name: str) -> None:
    assert any(renderings(renderer, name))


@pytest.mark.parametrize("name", [name for name in TEMPLATES if contract(name)])
def test_a_template_needs_every_name_in_its_context(renderer: Renderer, name: str) -> None:
    chance, names = random.Random(8), contract(name)
    for left_out in names:
        kept = [found for found in names if found != left_out]
        samples = [{found: chance.choice(SAMPLES[found]) for found in kept} for _ in range(300)]

        assert any(is_missing(renderer, name, context) for context in samples), left_out


def is_missing(renderer: Renderer, name: str, context: dict[str, Any]) -> bool:
    try:
        renderer.render(name, **context)
    except UndefinedError:
        return True
    return False


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_has_no_way_around_the_policy_or_the_escaping(name: str) -> None:
    text = source(name)

    assert not re.search(r"\|\s*safe|autoescape|Markup\(", text)
    assert not re.search(r"<style|\sstyle=|javascript:|\shx-on|\son\w+=|hx-vals=.js:", text, re.I)
    assert not re.search(r"<script(?![^>]*\ssrc=)", text)


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_element_with_an_htmx_attribute_carries_the_nonce(renderer: Renderer, name: str) -> None:
    nonces = {sample.nonce for sample in SAMPLES["page"]}
    for html in renderings(renderer, name):
        for element in elements(html):
            htmx = {found for found in element.attrs if found.startswith("hx-")} - {"hx-ignore"}
            # A page of the app around this one has nonces of its own, or none.
            if element.tag != "hx-partial" and htmx and name != "host/chat.html":
                assert element.attrs.get("hx-nonce") in nonces


FRAMED = {"pages/frame.html", "pages/embed_preview.html", "pages/inset.html", "host/chat.html"}


@pytest.mark.parametrize("name", TEMPLATES)
def test_hostile_text_stays_text(renderer: Renderer, name: str) -> None:
    for html in renderings(renderer, name):
        assert "<script>x" not in html
        assert "<hx-partial id=rill-live>" not in html
        for element in elements(html):
            assert element.tag != "style"
            assert element.tag != "iframe" or name in FRAMED
            assert element.tag != "img" or str(element.attrs["src"]).startswith(("?attachment=", "/static/", "data:"))
            assert not [found for found in element.attrs if found.startswith("on")]
            assert element.tag != "script" or element.attrs.get("nonce") or name == "host/head.html"
        # An attribute value may hold no raw `<` either: htmx rewrites `<hx-` wherever it stands (FAULTS, hole b).
        assert not re.search(r'="[^"]*<', html)


@pytest.mark.parametrize("name", FRAGMENTS)
def test_a_fragment_is_partials_and_nothing_else(renderer: Renderer, name: str) -> None:
    for html in renderings(renderer, name):
        assert html.lstrip().startswith("<hx-partial ")
        is_only_partials(html)


def is_only_partials(html: str) -> None:
    for child in turbohtml.parse_fragment(html, "body").children:
        if isinstance(child, turbohtml.Element):
            assert child.tag == "hx-partial"
            assert child.attrs.get("id") or child.attrs["hx-target"].startswith("#")
        else:
            assert isinstance(child, turbohtml.Text)
            assert not child.text.strip()


def test_a_fragment_of_progress_is_a_partial_for_each_operation(renderer: Renderer) -> None:
    stream = MarkdownStream(content(2))
    stream.feed(f"{HOSTILE} and\n\n- more ")
    ops = stream.flush()

    fragment = renderer.reply_progress(2, 5, ops, HOSTILE)

    is_only_partials(fragment.html)
    partials = turbohtml.parse_fragment(fragment.html, "body").find_all("hx-partial")
    assert [(partial.attrs["id"], partial.inner_html) for partial in partials] == [
        (op.target_id, turbohtml.parse_fragment(op.html, "div").inner_html) for op in ops
    ]
    assert HOSTILE.replace("&lt;", "<") in partials[0].text


def test_no_fragment_of_a_feed_carries_a_nonce_or_acts_by_itself(renderer: Renderer) -> None:
    """A feed's fragments are made once for all pages, so nothing of one page's may be in them."""
    fragments = [renderer.turn_began(begun(), RUNNING), renderer.turn_began(begun(ENDS[3]), RUNNING)]
    fragments += [renderer.turn_ended(end, [Op("r2-1", "x")]) for end in ENDS]
    for fragment in fragments:
        assert "nonce" not in fragment.html
        for element in elements(fragment.html):
            htmx = {found for found in element.attrs if found.startswith("hx-")}
            assert htmx <= ({"hx-swap", "hx-target"} if element.tag == "hx-partial" else {"hx-ignore"})


@pytest.mark.parametrize("end", ENDS, ids=lambda end: f"{end.state}-{end.cause}"[:30])
def test_the_place_where_a_streamed_page_goes_on_is_in_no_other_page(renderer: Renderer, end: Message) -> None:
    def rendered(streamed: int | None) -> str:
        shown = Parts((), (PROMPT, end))
        return renderer.render("partials/live.html", parts=shown, streamed=streamed)

    assert SPLIT not in rendered(None)
    assert rendered(2).count(SPLIT) == 1


def test_a_turns_fragments_fit_into_the_page_and_into_each_other(renderer: Renderer) -> None:
    """Each fragment's target is in what came before it, so none is dropped (FAULTS, W10)."""
    shown = renderer.render("partials/live.html", parts=Parts((), ()), streamed=None)
    stream = MarkdownStream(content(2))
    began = renderer.turn_began(begun(), replace(RUNNING, rendering=Rendering(stream.html(), "1")))
    grown = []
    for index in (1, 2):
        stream.feed("word ")
        grown.append(renderer.reply_progress(2, index, stream.flush(), "word "))
    later = replace(begun(), prompt=message(3, Role.USER), reply=message(4, Role.ASSISTANT, TurnState.RUNNING))
    following = renderer.turn_began(later, later.reply)

    assert f'<i id="{place_after(0)}"></i>' in shown
    assert f'<hx-partial id="{place_after(0)}">' in began.html
    assert "<i id=rill-r2-1></i>" in began.html
    block = "<p id=rill-r2b1>word<i id=rill-r2-2></i></p>"
    assert grown[0].html.startswith(f"<hx-partial id=rill-r2-1>{block}<i id=rill-r2-3></i>")
    assert grown[1].html.startswith("<hx-partial id=rill-r2-2> word<i id=rill-r2-4></i>")
    assert f'<i id="{place_after(2)}"></i>' in began.html
    assert f'<hx-partial id="{place_after(2)}">' in following.html


def test_a_turns_end_leaves_no_marker_and_says_how_it_ended(renderer: Renderer) -> None:
    ended = renderer.turn_ended(ENDS[3], [])

    assert '<hx-partial hx-target="#rill-r2 :is(i[id], template)" hx-swap="delete"></hx-partial>' in ended.html
    assert '<hx-partial id="rill-e2"><footer id="rill-e2" class="end" data-state="failed">' in ended.html


def test_a_reply_without_a_rendering_is_not_shown_as_something_else(renderer: Renderer) -> None:
    with pytest.raises(ValueError, match="not rendered"):
        renderer.render("partials/message.html", message=replace(ENDS[0], rendering=None), streamed=None)


def test_apps_beside_each_other_have_their_own_templates(tmp_path: Path) -> None:
    own = tmp_path / "partials" / "keys.html"
    own.parent.mkdir()
    shown = []
    for text in ("One", "Two"):
        own.write_text("{# Context: none. #}\n" + text)
        shown.append(Renderer(FOLDER, overrides=tmp_path).render("partials/keys.html").strip())
    shown.append(Renderer(FOLDER).render("partials/keys.html"))

    assert shown[:2] == ["One", "Two"]
    assert "<kbd>" in shown[2]
