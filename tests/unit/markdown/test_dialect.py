"""What Markdown means here, beyond CommonMark."""

from __future__ import annotations

import pytest

from webapp.markdown import AppendStream, Dialect, MarkdownStream, render

LINK = 'rel="noopener noreferrer nofollow ugc"'


@pytest.mark.parametrize(
    ("source", "html"),
    [
        ("$x^2$", '<p><code class="math">x^2</code></p>'),
        ("a \\(x_1\\) b", '<p>a <code class="math">x_1</code> b</p>'),
        ("$$x$$", '<p><code class="math display">x</code></p>'),
        ("\\[ x \\]", '<p><code class="math display">x</code></p>'),
        ("$$\nx\n\ny\n$$", '<div class="formula"><code class="math display">x\n\ny</code></div>'),
        ("text\n\\[\n- x\n\\]\nmore",
         '<p>text</p><div class="formula"><code class="math display">- x</code></div><p>more</p>'),
        ("$5 and $10", "<p>$5 and $10</p>"),
        ("from $5 to $ x or 6 $", "<p>from $5 to $ x or 6 $</p>"),
        ("a $x\ny$ b", "<p>a $x\ny$ b</p>"),
        ("\\$x\\$", "<p>$x$</p>"),
        ("`$x$`", "<p><code>$x$</code></p>"),
        ("$x", "<p>$x</p>"),
    ],
)  # fmt: skip
def test_formulas(source: str, html: str) -> None:
    assert render(source) == html


def test_formulas_and_code_are_converted_by_the_dialect() -> None:
    dialect = Dialect(
        formula=lambda source, is_display: f"<math>{source}{is_display}</math>" if source != "bad" else None,
        highlight=lambda source, language: f"<b>{source}</b>" if language == "py" else None,
        language_label=str.upper,
    )

    html = render("$x$ $bad$ $$y$$\n\n```py\nz\n```\n\n```c\nz\n```", dialect=dialect)

    assert "<math>xFalse</math>" in html
    assert "<math>yTrue</math>" in html
    assert '<code class="math">bad</code>' in html
    assert '<figcaption>PY</figcaption><pre tabindex="0"><code class="language-py"><b>z\n</b></code></pre>' in html
    assert '<pre tabindex="0"><code class="language-c">z\n</code></pre>' in html


def test_code_that_will_be_highlighted_is_appended_when_it_is_complete() -> None:
    stream = AppendStream(dialect=Dialect(highlight=lambda source, language: f"<b>{source}</b>"))
    stream.feed("```py\nx\n")
    held = stream.take()
    stream.feed("```\n")

    assert held == ""
    assert "<b>x\n</b>" in stream.take()


def test_alerts() -> None:
    assert render("> [!TIP]\n> Do *this*.") == (
        '<blockquote class="alert tip" dir="auto"><p class="title">Tip</p><p>Do <em>this</em>.</p></blockquote>'
    )
    assert "alert" not in render("> [!TIP] on the same line")
    assert "alert" not in render("> [!ELSE]\n> text")


def test_tasks() -> None:
    checkbox = '<input type="checkbox" aria-label="Task" disabled'
    assert render("- [x] *a*\n- [ ]\n- [y] b") == (
        f'<ul><li dir="auto"><p>{checkbox} checked> <em>a</em></p></li><li dir="auto"><p>[ ]</p></li>'
        '<li dir="auto"><p>[y] b</p></li></ul>'
    )


def test_footnotes_are_numbered_by_first_use_and_shown_at_the_end() -> None:
    html = render("a[^2] b[^1] c[^2] d[^word]\n\n[^1]: One\n[^2]: Two\n\n    more\n[^word]: Three\n\nEnd", prefix="p")

    assert html.startswith(
        '<p>a<sup><a class="note" href="#pn1">1</a></sup> b<sup><a class="note" href="#pn2">2</a></sup> c'
    )
    assert html.endswith(
        '<p>End</p><section class="footnotes"><ol><li id="pn1" value="1"><p>Two</p><p>more</p></li>'
        '<li id="pn2" value="2"><p>One</p></li><li id="pn3" value="3"><p>Three</p></li></ol></section>'
    )


def test_a_set_of_characters_is_no_footnote() -> None:
    assert render("use [^abc] here") == "<p>use [^abc] here</p>"


def test_what_shows_a_list_to_be_loose_is_marked() -> None:
    assert render("- a\n- b\n\n- c") == (
        '<ul><li dir="auto"><p>a</p></li><li dir="auto"><p>b</p></li><li dir="auto" class="loose"><p>c</p></li></ul>'
    )
    assert render("- a\n\n  b") == '<ul><li dir="auto"><p>a</p><p class="loose">b</p></li></ul>'
    assert "loose" not in render("- a\n  - b\n\n    c\n- d".replace("\n\n    c", ""))


def test_an_alert_and_code_in_a_loose_list_are_marked_without_a_second_class() -> None:
    html = render("- a\n\n  > [!TIP]\n  > b\n\n  ```\n  c\n  ```")

    assert '<blockquote class="loose alert tip" dir="auto">' in html
    assert '<figure class="code loose">' in html


@pytest.mark.parametrize(
    ("source", "html"),
    [
        ("see https://x.org/a_b*c*, ok",
         f'<p>see <a href="https://x.org/a_b*c" {LINK}>https://x.org/a_b*c</a>*, ok</p>'),
        ("见https://x.org/文。好", f'<p>见<a href="https://x.org/%E6%96%87" {LINK}>https://x.org/文</a>。好</p>'),
        ("**https://x.org**", f'<p><strong><a href="https://x.org" {LINK}>https://x.org</a></strong></p>'),
        ("[https://x.org](https://x.org)", f'<p><a href="https://x.org" {LINK}>https://x.org</a></p>'),
        ("ftp://x.org/", "<p>ftp://x.org/</p>"),
        ("[![a](https://x.org/i)](https://y.org)",
         f'<p><a href="https://y.org" {LINK}><span class="image">a</span><small> y.org</small></a></p>'),
        ("![a](https://x.org/i)", f'<p><a class="image" href="https://x.org/i" {LINK}>a<small> x.org</small></a></p>'),
        ("[a](https://bücher.example/)",
         f'<p><a href="https://xn--bcher-kva.example/" {LINK}>a<small> xn--bcher-kva.example</small></a></p>'),
    ],
)  # fmt: skip
def test_links(source: str, html: str) -> None:
    assert render(source) == html


def test_a_paragraph_that_becomes_a_table_keeps_the_lines_before_it() -> None:
    assert render("one\ntwo\n| a |\n|---|\n| b |").startswith("<p>one\ntwo</p><div")


def test_a_reference_before_its_definition_is_a_link_in_the_end() -> None:
    stream = MarkdownStream("m")
    stream.feed("See [this] and more.\n\nElse.\n\n[this]: https://x.org\n\n")
    stream.flush()
    late = stream.close()

    assert [op.target_id for op in late] == ["mb1"]
    assert stream.html().startswith('<p>See <a href="https://x.org"')
    assert render("[this]\n\n[this]: https://x.org", late_references=False) == "<p>[this]</p>"


@pytest.mark.parametrize(
    "text", ["- item", "1. item", "> quote", "plain", "**bold", "`code` x", "[link", "5 apples", "## head"]
)
def test_a_line_is_read_before_it_ends_only_if_its_kind_is_certain(text: str) -> None:
    stream = MarkdownStream("m")
    stream.feed(f"{text} and ")
    is_shown = bool(stream.flush())

    assert is_shown is not text.startswith(("#", "[", "**"))
