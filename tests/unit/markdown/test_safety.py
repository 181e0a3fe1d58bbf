"""Nothing that a model writes becomes markup, an address that acts, or a name that this page or htmx knows."""

from __future__ import annotations

import json
import random
from itertools import product

import nh3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from turbohtml import parse_fragment

from tests.fakes import ROOT
from tests.unit.markdown.judge import TAGS, faults
from tests.unit.markdown.samples import markdown
from webapp.markdown import AppendStream, Dialect, MarkdownStream, SafeLinks, render
from webapp.markdown.links import REL

CARRIERS = (
    "{}",
    "[text]({})",
    "[text](<{}>)",
    "[{}](https://example.com)",
    '[text](https://example.com "{}")',
    "![{}](https://example.com/{})",
    "`{}`",
    "```{}\n{}\n```",
    "<{}>",
    "| {} |\n|---|\n| {} |",
    "[{}]: {}\n\n[{}]",
    "# {}",
    "> [!{}]\n> {}",
    "[^{}]\n\n[^{}]: {}",
    "${}$ and \\({}\\)",
    "https://example.com/{}",
    "- [ ] {}\n\n      {}",
)

_ATTRIBUTES = (
    "hx-get=/x hx-trigger=load", "data-hx-get=/x", "hx-ws:connect=/ws", "ws-connect=/ws", "hx-sse:connect=/s",
    "sse-connect=/s", "hx-on:load=alert(1)", "hx-on::load=alert(1)", "onerror=alert(1)", "hx-swap-oob=true",
    'hx-swap-oob="style:#m"', "hx-preserve", "hx-ignore", "hx-morph-skip", "id=m", "id=mb1", "name=token",
    "form=composer", "style=position:fixed", "hx-vals=js:{a:alert(1)}", "hx-trigger=load[alert(1)]",
    "hx-get=js:alert(1)", "autofocus", "formaction=/x",
)  # fmt: skip
_ELEMENTS = (
    "div",
    "img src=x",
    "hx-partial",
    "HX-PARTIAL",
    "hx-oob",
    "template hx type=partial",
    "/hx-partial",
    "svg",
    "math",
    "input",
    "form",
    "button",
)
_TRICKS = (
    "<base href=//evil>", "<meta http-equiv=refresh content=0;url=//evil>", "<style>*{display:none}</style>",
    "<plaintext>", "<iframe srcdoc='<script>alert(1)</script>'>", "<textarea>", "<!--", "<![CDATA[",
    "<title>x</title>", "<head>", "<body hx-get=/x>", '"><hx-partial id=m>', "'><hx-partial id=m>",
    "<hx-partial onmouseover=X x", "a<hx-x ", "```<hx-partial x", "</code></pre><hx-x>", "javascript:alert(1)",
    "JaVaScRiPt:alert(1)", "java\tscript:alert(1)", "&#106;avascript:alert(1)", "&#x6A;avascript&colon;alert(1)",
    "\x01javascript:alert(1)", "data:text/html,<script>alert(1)</script>", "vbscript:x", "//evil.example",
    "/\\evil.example", "\\\\evil", "https://good.example@evil.example", "https:evil.example", "http:///evil",
    "https://evil.example\\@good.example", "https://a%2eb", "https://exa\u202emple.com",
    "https://ex\u200bample.com", "https://еxample.com", "mailto:a@b.c?body=<script>", 'mailto:x"onx=y@b.c',
    "blob:https://x", "file:///etc/passwd", "about:blank", "hx-get:x", "https://x\x00y", "https://[::1]/",
    "https://x y",
)  # fmt: skip
PAYLOADS: list[str] = json.loads((ROOT / "tests" / "payloads" / "xss.json").read_text(encoding="utf-8"))
HTMX_DIALECT = [*(f"<{element} {attribute}>" for element, attribute in product(_ELEMENTS, _ATTRIBUTES)), *_TRICKS]


def _renderings(source: str) -> list[str]:
    """Give every HTML that leaves the package for a source."""
    found = [render(source)]
    appended, stream = AppendStream(), MarkdownStream("m")
    lengths = random.Random(source)
    at = 0
    while at < len(source):
        piece = source[at : at + lengths.randint(1, 30)]
        at += len(piece)
        appended.feed(piece)
        stream.feed(piece)
        appended.take()
        found += [op.html for op in stream.flush()]
    return [*found, *(op.html for op in stream.close()), stream.html()]


def _assert_safe(source: str) -> None:
    for html in _renderings(source):
        assert not faults(html), source


def test_the_judge_finds_what_is_not_ours() -> None:
    raw = [
        *_TRICKS[:8],
        '<a href="javascript:alert(1)">x</a>',
        '<p id="composer">x</p>',
        '<p class="modal">x</p>',
        '<a title="<hx-x ">x</a>',
    ]

    assert all(faults(html) for html in raw)


@pytest.mark.parametrize("carrier", CARRIERS)
def test_the_dialect_of_htmx_stays_text(carrier: str) -> None:
    assert len(HTMX_DIALECT) >= 300
    for payload in HTMX_DIALECT:
        _assert_safe(carrier.replace("{}", payload))


@pytest.mark.parametrize("payload", _TRICKS)
def test_every_beginning_of_an_attack_is_safe(payload: str) -> None:
    for carrier in CARRIERS:
        source = carrier.replace("{}", payload)
        for end in range(len(source)):
            assert not faults(render(source[:end])), source[:end]


@settings(max_examples=400, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(HTMX_DIALECT) | markdown, max_size=4), st.sampled_from(CARRIERS))
def test_attacks_mixed_with_markdown_are_safe(payloads: list[str], carrier: str) -> None:
    _assert_safe(carrier.replace("{}", "".join(payloads)))


@pytest.mark.parametrize("carrier", CARRIERS)
def test_public_payloads_stay_text(carrier: str) -> None:
    for payload in PAYLOADS:
        _assert_safe(carrier.replace("{}", payload))


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_sanitizer_finds_nothing_to_take_away(carrier: str) -> None:
    for payload in [*PAYLOADS, *HTMX_DIALECT]:
        html = render(carrier.replace("{}", payload))

        assert in_one_form(sanitized(html)) == in_one_form(html), payload


def sanitized(html: str) -> str:
    """Give what the sanitizer lets pass that others rely on, set to the elements that we mean to write."""
    return nh3.clean(
        html,
        tags=set(TAGS.split()) - {"template"},
        attributes={
            "*": {"class", "id", "tabindex", "dir"},
            "a": {"href"},
            "input": {"type", "disabled", "checked"},
            "li": {"value"},
            "ol": {"start"},
        },
        url_schemes={"http", "https", "mailto"},
        link_rel=None,
        generic_attribute_prefixes={"aria-"},
    )


def in_one_form(html: str) -> str:
    return parse_fragment(html.replace(f' rel="{REL}"', ""), "template").inner_html


@pytest.mark.parametrize(
    ("source", "html"),
    [
        ("[a](/settings)", '<p><span class="unlinked">a<small> /settings</small></span></p>'),
        ("[a](javascript:x)", '<p><span class="unlinked">a<small> javascript:x</small></span></p>'),
        ("`a\u202eb`", "<p><code>a⟨U+202E⟩b</code></p>"),
        ("a\x00b", "<p>a\ufffdb</p>"),
        ("<b>", "<p>&lt;b&gt;</p>"),
        ("![a](https://x.org/i.png)", None),
    ],
)
def test_what_is_not_safe_is_shown(source: str, html: str | None) -> None:
    if html is not None:
        assert render(source) == html
    assert "<img" not in render(source)


def test_a_link_says_where_it_goes() -> None:
    html = render("[bank](https://evil.example/bank) and [evil.example](https://evil.example/)")

    assert "bank<small> evil.example</small></a>" in html
    assert ">evil.example</a>" in html


def test_an_operator_may_let_images_in() -> None:
    dialect = Dialect(
        links=SafeLinks(lambda url: f"/image?u={len(url)}" if url.startswith("https://ok.example/") else None)
    )

    html = render("![a *b*](https://ok.example/i.png) ![c](https://no.example/i.png)", dialect=dialect)

    assert '<img src="/image?u=24" alt="a b" loading="lazy">' in html
    assert 'class="image" href="https://no.example/i.png"' in html
