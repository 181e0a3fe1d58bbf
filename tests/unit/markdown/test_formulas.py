"""Formulas become MathML that is all our own, or stay source; nothing that a model writes ends the process."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from turbohtml import parse_fragment

from tests.fakes import ROOT
from webapp.markdown.escape import has_hidden
from webapp.markdown.formulas import CLASSES, MAX_GROWTH, MAX_SOURCE_CHARS, SMALL_OUTPUT_CHARS, to_mathml

REAL = [
    (r"\frac{a}{b} + \tfrac12 - \dfrac{1}{2}", "<mfrac><mi>a</mi><mi>b</mi></mfrac>"),
    (r"\cfrac{1}{1 + \cfrac{1}{x}}", 'class="cf"'),
    (r"a^2 + b^2 = c^2", "<msup><mi>a</mi><mn>2</mn></msup>"),
    (r"x_{i+1}^{(t)}", "<msubsup><mi>x</mi><mrow><mi>i</mi>"),
    (r"x = \frac{-b \pm \sqrt{b^2 - 4ac}}{2a}", "<msqrt>"),
    (r"\sqrt[3]{27} = 3", "<mroot><mn>27</mn><mn>3</mn></mroot>"),
    (r"\sum_{i=1}^{n} i = \frac{n(n+1)}{2}", "<munderover><mo lspace=\"0\">∑</mo>"),
    (r"\prod_{k=1}^{n} k = n!", ">∏</mo>"),
    (r"\int_0^\infty e^{-x^2}\,dx = \frac{\sqrt{\pi}}{2}", "∫"),
    (r"\iint_D f(x,y)\,dx\,dy + \oint_C \mathbf{F} \cdot d\mathbf{r}", "∬"),
    (r"\int\limits_{a}^{b} f", "<munderover>"),
    (r"\lim_{x \to 0} \frac{\sin x}{x} = 1", ">lim</mo>"),
    (r"f'(x) = \lim_{h \to 0} \frac{f(x+h) - f(x)}{h}", "<msup><mi>f</mi>"),
    (r"\max_{x \in X} f(x) \quad \min_y g(y)", "max"),
    (r"\begin{pmatrix} a & b \\ c & d \end{pmatrix}", "<mtr><mtd><mi>a</mi></mtd><mtd><mi>b</mi></mtd></mtr>"),
    (r"\begin{bmatrix} 1 & 0 \\ 0 & 1 \end{bmatrix}", "<mtable"),
    (r"\det A = \begin{vmatrix} a & b \\ c & d \end{vmatrix}", "<mtable"),
    (r"\left[\begin{array}{cc|c} 1 & 2 & 3 \\ \hline 4 & 5 & 6 \end{array}\right]", "ts"),
    (r"f(x) = \begin{cases} x^2 & \text{if } x \ge 0 \\ -x & \text{otherwise} \end{cases}", "<mtext>otherwise</mtext>"),
    (r"\begin{align} a &= b + c \\ &= d \end{align}", 'class="ar r0"'),
    (r"\begin{align*} a &= b \\ c &= d \end{align*}", 'class="w2"'),
    (r"\begin{aligned} a &= b \\ c &= d \end{aligned}", 'class="ar r0"'),
    (r"\begin{gather} a = b \\ c = d \end{gather}", "<mtable"),
    (r"\begin{equation} E = mc^2 \label{eq:energy} \end{equation}", "<msup><mi>c</mi><mn>2</mn></msup>"),
    (r"\begin{split} a &= b \\ &= c \end{split}", "<mtable"),
    (r"\begin{multline} a + b \\ + c \end{multline}", 'class="w3"'),
    (r"E = mc^2 \tag{1}", "<mtext>(1)</mtext>"),
    (r"E = mc^2 \tag{2} \label{composer}", '<mtd class="w2 ar"><mtext>(2)</mtext></mtd>'),
    (r"\text{speed} = \frac{\text{distance}}{\text{time}}", "<mtext>speed</mtext>"),
    (r"\text{größer als 50\% \& 漢字}", "größer\xa0als\xa050%&amp;漢字"),
    (r"\text{a \textbf{b} \emph{c} \texttt{d}}", "<b>b</b>"),
    (r"\mathbb{R}^n \to \mathbb{C}", "<mi>ℝ</mi>"),
    (r"\mathcal{L}(\theta) + \mathfrak{g} + \mathscr{F}", "<mi>θ</mi>"),
    (r"\mathbf{x}^\top \mathbf{A} \mathbf{x}", "<mi>𝐱</mi>"),
    (r"\boldsymbol{\alpha} + \bm{\beta}", "<mi>𝜶</mi>"),
    (r"\mathrm{d}x", '<mi mathvariant="normal">d</mi>'),
    (r"\operatorname{softmax}(z)_i", ">softmax</mo>"),
    (r"\operatorname*{arg\,max}_{\theta} \log p(x \mid \theta)", "<munder>"),
    (r"\log_2 n + \ln x + \exp(y) + \sin^2\theta", ">log</mo>"),
    (r"\hat{y} + \bar{x} + \dot{x} + \ddot{x} + \tilde{a}", '<mover accent="true"><mi>y</mi>'),
    (r"\vec{v} + \overrightarrow{AB} + \widehat{abc}", "<mover"),
    (r"\overline{AB} + \underline{x}", "<munder"),
    (r"\underbrace{a + b}_{n} + \overbrace{c + d}^{m}", "⏟"),
    (r"\overset{?}{=} + \underset{x}{y} + \stackrel{\text{def}}{=}", "<mtext>def</mtext>"),
    (r"A \xrightarrow[\Delta]{\text{heat}} B", "<munderover>"),
    (r"\left( \frac{a}{b} \middle| c \right)", "<mfrac>"),
    (r"\left. \frac{df}{dx} \right|_{x=0}", "<mfrac>"),
    (r"\bigl( \Bigl[ x \Bigr] \bigr)", 'minsize="1.2em"'),
    (r"\langle \psi | \phi \rangle + \bra{a} + \ket{b}", "⟨"),
    (r"\lfloor x \rfloor + \lceil y \rceil + \|z\|_2 + \lvert w \rvert", "⌊"),
    (r"\binom{n}{k} = \frac{n!}{k!(n-k)!}", 'linethickness="0"'),
    (r"\nabla \times \mathbf{E} = -\frac{\partial \mathbf{B}}{\partial t}", "<mi>∂</mi>"),
    (r"a \equiv b \pmod{n} \quad a \bmod b", "≡"),
    (r"\forall x \in A,\ \exists y \notin B", "∀"),
    (r"p \land \neg q \implies r \iff s", "⟹"),
    (r"A \cup B \cap C \subseteq D \setminus \emptyset", "⊆"),
    (r"a \leq b \geq c \neq d \approx e \propto g", "≤"),
    (r"1, 2, \ldots, n \quad a + \cdots + z \quad \vdots \quad \ddots", "⋯"),
    (r"\color{red}{x} + \textcolor{blue}{y}", 'class="blue"'),
    (r"\boxed{E = mc^2}", 'notation="box"'),
    (r"\cancel{x} + \bcancel{y}", 'class="up"'),
    (r"\xcancel{z}", '<mrow class="up"></mrow><mrow class="dn"></mrow>'),
    (r"\phantom{x} + y", "<mphantom>"),
    (r"a \bullet b \star c", "∙"),
    (r"a \mathrel{R} b \mathbin{S} c", 'class="l4 r4"'),
    (r"x \, y \: z \; w \! v \qquad u", '<mspace class="b3"/>'),
    (r"2\,\mathrm{H_2} + \mathrm{O_2} \rightarrow 2\,\mathrm{H_2O}", "<mn>2</mn>"),
    (r"{}^{14}_{6}\mathrm{C} + 25\,^{\circ}\mathrm{C}", "<mn>14</mn>"),
    (r"H(X) = -\sum_x p(x) \log p(x) % entropy", ">log</mo>"),
    (r"O(n \log n) + \mathcal O(1)", "<mi>O</mi>"),
    (r"\Pr(A \mid B) = \frac{\Pr(B \mid A)\Pr(A)}{\Pr(B)}", ">Pr</mo>"),
]  # fmt: skip

_TAGS = (
    "math menclose mfrac mi mmultiscripts mn mo mover mpadded mphantom mprescripts mroot mrow mspace msqrt msub "
    "msubsup msup mtable mtd mtext mtr munder munderover b code em i s span u"
)
_LENGTH = r"(?:10|\d)(?:\.\d+)?(?:em|ex|pt|px|mm|cm|in)?|\d\d(?:\.\d+)?(?:pt|px|mm)"
_VALUES = {
    **dict.fromkeys(
        ("accent", "accentunder", "displaystyle", "movablelimits", "stretchy", "symmetric"), re.compile("true|false")
    ),
    **dict.fromkeys(
        ("height", "linethickness", "lspace", "maxsize", "minsize", "rspace", "width"), re.compile(_LENGTH)
    ),
    "display": re.compile("block"),
    "tabindex": re.compile("0"),
    "form": re.compile("prefix|infix|postfix"),
    "mathvariant": re.compile("normal"),
    "notation": re.compile("actuarial|box|phasorangle|(?:updiagonalstrike|downdiagonalstrike| )+"),
    "scriptlevel": re.compile("[012]"),
    "voffset": re.compile(r"-?[012](?:\.\d+)?(?:em)|-?\d\d?(?:\.\d+)?(?:ex|pt|px|mm)"),
}
_INVISIBLE_OPERATORS = str.maketrans("", "", "\u2061\u2062\u2063\u2064")
_MAX_BACKSPACES = 12


def _words(value: object) -> list[str]:
    return value if isinstance(value, list) else str(value).split()


def _faults(mathml: str) -> list[str]:
    """Give what is wrong with MathML; nothing, if it is safe by construction."""
    elements = list(parse_fragment(mathml, "template").iter_elements())
    found = []
    if not mathml.startswith("<math") or not mathml.endswith("</math>") or len(elements) != len(
        re.findall(r"<[a-z]+(?: [a-z]+=\"[^\"<>]*\")*/?>", mathml)
    ) or mathml.count("<") != mathml.count(">"):  # fmt: skip
        found.append("it reads otherwise than it is written")
    if has_hidden(mathml.translate(_INVISIBLE_OPERATORS)):
        found.append("a character that hides or turns text")
    if mathml.count("b3") - mathml.count(">b3<") > _MAX_BACKSPACES:
        found.append("too many steps back")
    for number, element in enumerate(elements):
        if (element.tag == "math") != (number == 0) or element.tag not in _TAGS.split():
            found.append(f"tag {element.tag}")
        for name, value in element.attrs.items():
            text = " ".join(_words(value))
            good = (
                set(_words(value)) <= CLASSES if name == "class" else name in _VALUES and _VALUES[name].fullmatch(text)
            )
            if not good:
                found.append(f"{element.tag} {name}={text!r}")
    return found


class Converter:
    """Another process that converts, in a thread with the half megabyte of stack that threads have on macOS."""

    _SCRIPT = """
import json, sys, threading, time
from webapp.markdown.formulas import to_mathml

def serve():
    for line in sys.stdin:
        source, display = json.loads(line)
        began = time.process_time()
        answer = to_mathml(source, display=display)
        print(json.dumps([answer, time.process_time() - began]), flush=True)

threading.stack_size(512 * 1024)
thread = threading.Thread(target=serve)
thread.start()
thread.join()
"""

    def __init__(self) -> None:
        command = (sys.executable, "-c", self._SCRIPT)
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def convert(self, source: str, display: bool = True) -> str | None:
        """Convert, and check what must hold for every source."""
        pipe_in, pipe_out = self._process.stdin, self._process.stdout
        assert pipe_in is not None
        assert pipe_out is not None
        pipe_in.write(json.dumps([source, display]) + "\n")
        pipe_in.flush()
        line = pipe_out.readline()
        assert line, f"the process ended with {self._process.wait()} at {source!r}"
        answer: Any
        answer, cpu_seconds = json.loads(line)
        assert cpu_seconds < 0.5, f"{cpu_seconds} s for {source!r}"
        assert answer is None or isinstance(answer, str)
        if answer is not None:
            assert not _faults(answer), (source, _faults(answer), answer)
            assert len(answer) <= max(MAX_GROWTH * len(source), SMALL_OUTPUT_CHARS)
        return answer

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="module")
def converter() -> Iterator[Converter]:
    running = Converter()
    yield running
    running.close()


@pytest.mark.parametrize(("source", "piece"), REAL, ids=[source for source, _ in REAL])
@pytest.mark.parametrize("display", [True, False])
def test_a_formula_as_models_write_it_becomes_mathml(source: str, piece: str, display: bool) -> None:
    mathml = to_mathml(source, display=display)

    assert mathml is not None
    assert not _faults(mathml)
    assert ('<math display="block" tabindex="0">' in mathml) is display
    assert piece in mathml or not display


def test_the_judge_finds_what_is_not_ours() -> None:
    foreign = [
        "<math><img/src=x></math>",
        '<math><mi id="m">x</mi></math>',
        '<math><mi style="color:red">x</mi></math>',
        '<math><mi class="modal">x</mi></math>',
        '<math href="//evil"><mi>x</mi></math>',
        '<math><mi onclick="x">x</mi></math>',
        '<math><mtext><a href="#x">x</a></mtext></math>',
        '<math><mspace width="99em"/></math>',
        '<math><mspace width="-1em"/></math>',
        '<math><mpadded voffset="3em"></mpadded></math>',
        "<math>" + '<mspace class="b3"/>' * 13 + "</math>",
        "<math><mi>x</mi></math><p>y</p>",
        "<math><p>x</p></math>",
        "<math><mi>a<b</mi></math>",
        "<math><mtext>\u202e</mtext></math>",
    ]

    assert [html for html in foreign if not _faults(html)] == []


@pytest.mark.parametrize(
    "source",
    [
        r"\operatorname{<img/src=x>}",
        r"\operatorname{<script>alert(1)</script>}",
        r"\operatorname{</mo></math><p>x</p>}",
        r"\operatorname{<mi>x</mi>}",
        r"\operatorname{<!--}",
        r"\href{javascript:alert(1)}{x}",
        r"\url{javascript:alert(1)}",
        r"\unicode{x202e}",
        r"\class{modal}{x}",
        r"\style{position:fixed}{x}",
        r"\cssId{composer}{x}",
        r"\htmlData{hx-get=/x}{y}",
        r"\includegraphics{https://evil.example/i.png}",
        r"\eqref{composer}",
        r"\input{/etc/passwd}",
        r"\def\a{\a\a}\a",
        r"\gdef\a{b}\a",
        r"\let\a\sqrt \a x",
        r"\newcommand{\a}{x}\a",
        r"\renewcommand{\sqrt}{x}\sqrt",
        r"\providecommand{\a}{x}\a",
        r"\global\def\a{b}\a",
        r"\def\a#1{#1#1}\def\b#1{\a{\a{#1}}}\def\c#1{\b{\b{#1}}}\def\d#1{\c{\c{#1}}}\d{\d{\d{x}}}",
        r"\frac{1}{",
        r"\unknown",
        "a\u202eb",
        "\\text{a\u2066b}",
        "a\u200bb",
        "a\u2062b",
        "a\ufeffb",
        "a\U000e0041b",
        "a\x00b",
        "a\x1bb",
        "a\x85b",
        "\ud800",
        "",
        " \n",
        "% all of it is a comment",
        r"\quad\,",
    ],
)
def test_what_is_no_formula_or_no_harmless_one_stays_source(source: str) -> None:
    assert to_mathml(source, display=True) is None


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (r"\text{<script>alert(1)</script>}", "<script>alert(1)</script>"),
        (r"\text{</math><img src=x onerror=y>}", "</math><img\xa0src=x\xa0onerror=y>"),
        (r"x\tag{<b>}", "x(<b>)"),
        (r"\operatorname{\&\#x202e;}", "&#x202e;"),
        (r"\operatorname{\&\#60;img\&\#62;}", "&#60;img&#62;"),
        (r"\text{\&lt;b\&gt;}", "&lt;b&gt;"),
        (r"\text{a<hx-x b}", "a<hx-x\xa0b"),
    ],
)
def test_markup_in_a_formula_is_shown(source: str, text: str) -> None:
    mathml = to_mathml(source, display=False)

    assert mathml is not None
    assert not _faults(mathml)
    assert parse_fragment(mathml, "template").text == text
    assert "<hx-" not in mathml


@pytest.mark.parametrize(
    ("source", "mathml"),
    [
        (r"x\hspace{10em}y", '<mspace width="10em"/>'),
        (r"x\hspace{11em}y", "<mspace/>"),
        (r"x\kern 9999pt y", "<mspace/>"),
        (r"x\kern-1em y", "<mspace/>"),
        (r"x\hspace{-9999em}y", "<mspace/>"),
        (r"\raisebox{2em}{x}", '<mpadded voffset="2em">'),
        (r"\raisebox{-2em}{x}", '<mpadded voffset="-2em">'),
        (r"\raisebox{3em}{x}", "<mpadded>"),
        (r"\raisebox{-99em}{x}", "<mpadded>"),
        (r"\raisebox{2em}{\raisebox{2em}{x}}", "<mpadded>"),
        (r"\genfrac{}{}{99em}{0}{a}{b}", "<mfrac>"),
        (r"\genfrac{}{}{-1em}{0}{a}{b}", "<mfrac>"),
    ],
)
def test_lengths_that_could_cover_the_page_are_dropped(source: str, mathml: str) -> None:
    assert mathml in (to_mathml(source, display=False) or "")


def test_only_the_first_steps_back_are_kept() -> None:
    mathml = to_mathml(r"Pay \$9" + r"\!" * 90 + "0", display=False)

    assert mathml is not None
    assert mathml.count('<mspace class="b3"/>') == _MAX_BACKSPACES
    assert mathml.count("<mspace/>") == 90 - _MAX_BACKSPACES
    assert not _faults(mathml)


@pytest.mark.parametrize(
    ("color", "name"),
    [("red", "red"), ("orange", "gold"), ("green", "green"), ("blue", "blue"), ("purple", "violet"), ("gray", "")],
)
def test_a_colour_becomes_the_one_of_ours_that_is_next_to_it(color: str, name: str) -> None:
    mathml = to_mathml(rf"\textcolor{{{color}}}{{x}}", display=False)

    assert mathml == "<math><mrow" + (f' class="{name}"' if name else "") + "><mi>x</mi></mrow></math>"


def test_a_formula_is_bounded_in_its_length() -> None:
    assert to_mathml("x" * MAX_SOURCE_CHARS, display=False) is not None
    assert to_mathml("x" * (MAX_SOURCE_CHARS + 1), display=False) is None


def test_commands_that_stand_for_others_are_bounded() -> None:
    assert to_mathml(r"\iff ab" * 200, display=False) is not None
    assert to_mathml(r"\iff ab" * 201, display=False) is None


def test_a_large_formula_is_not_taken_for_a_deep_one() -> None:
    matrix = r"\\".join(" & ".join(f"a_{{{row}{column}}}" for column in range(8)) for row in range(8))
    lines = r"\\".join(
        rf"\frac{{\partial f_{n}}}{{\partial x_{n}}} &= \sum_{{j=1}}^{{n}} \alpha_{{j}} \mathbf{{w}}_{{j}}^{{\top}}"
        for n in range(9)
    )

    assert to_mathml(rf"\begin{{pmatrix}}{matrix}\end{{pmatrix}}", display=True) is not None
    assert to_mathml(rf"\begin{{aligned}}{lines}\end{{aligned}}", display=True) is not None
    assert to_mathml(" + ".join(f"x_{{{n}}}^2" for n in range(100)), display=True) is not None


def test_a_formula_is_bounded_in_its_depth() -> None:
    for opening, closing in ((r"\sqrt{", "}"), ("x^{", "}")):
        assert to_mathml(opening * 50 + "x" + closing * 50, display=False) is not None
        assert to_mathml(opening * 51 + "x" + closing * 51, display=False) is None


_NESTING = (
    "{", r"\left(", r"\sqrt", r"\sqrt{", r"\sqrt1", r"\sqrt[1", r"\sqrt[1+", r"\frac", r"\frac{", r"\frac1",
    r"\frac{}", r"^\frac1", r"^\frac{a}", r"^\sqrt[1+", r"\frac{1}{", r"\begin{matrix}", r"\begin{cases}", r"\text{",
    r"\textbf{", r"\operatorname{", r"\hat", r"\hat{", r"\color{red}", r"\color{red}1", r"\rm", r"\rm1",
    r"\displaystyle",
    r"{\bf1", r"^", "_", "x^", "x^{", r"\not", r"\overset1", r"\prescript1x", r"^\prescript1x", r"\genfrac()1",
    r"\boxed ", r"\phantom{", r"\xrightarrow[1]1", r"\xrightarrow[", r"\raisebox{1em}{", r"\substack{", "(", "[", "|",
    "{%}\n", "x^{%}\n", "\\left(%\\right)\n", "\\begin{matrix}%\\end{matrix}\n", r"\left.\middle|", r"1\over ",
    "{1\\over ", r"\implies ", r"\underbrace{", "'", r"\!", r"\\", "&", r"\{", r"\cfrac1",
)  # fmt: skip


@pytest.mark.parametrize("piece", _NESTING)
def test_nesting_never_ends_the_process(converter: Converter, piece: str) -> None:
    for count in (10_000, MAX_SOURCE_CHARS // len(piece), 100, 99):
        for end in ("", "x", "}" * count, "x" + r"\right)" * count):
            converter.convert(piece * count + end)
            converter.convert((piece * count)[: MAX_SOURCE_CHARS - len(end)] + end, False)
    assert converter.convert(piece * 10_000) is None


_COMMANDS = (
    r"\frac \dfrac \cfrac \binom \genfrac \sqrt \over \atop \sum \int \prod \lim \limits \nolimits \hat \vec \overline "
    r"\underbrace \overbrace \overset \underset \stackrel \prescript \sideset \mathbb \mathcal \mathbf \mathrm \mathsf "
    r"\mathtt \boldsymbol \rm \bf \text \textbf \textit \texttt \textsc \emph \underline \operatorname \operatorname* "
    r"\mathop \mathrel \mathbin \left \right \middle \bigl \Bigg \langle \rangle \lvert | \| ( ) [ "
    r"] < > . , ; : ! ? + - "
    r"= / * ' \infty \alpha \Gamma \ldots \cdots \to \implies \iff \pmod \bmod \color \textcolor "
    r"\boxed \cancel \xcancel "
    r"\bcancel \phase \angl \not \phantom \hphantom \vphantom \raisebox \hspace \kern \mkern \hskip "
    r"\quad \, \: \; \! \& "
    r"\# \$ \% \_ \{ \} \\ & % ~ \displaystyle \scriptstyle \tag \notag \label \eqref \hline \hdashline \substack "
    r"\begin{matrix} \end{matrix} \begin{pmatrix} \end{pmatrix} \begin{cases} \end{cases} \begin{align} \end{align} "
    r"\begin{aligned} \end{aligned} \begin{array}{c|c} \end{array} \begin{equation} \end{equation} \begin{multline} "
    r"\end{multline} \xrightarrow \ket \bra \braket \def \newcommand \let \href \class \bullet"
)
_PIECES = (
    *_COMMANDS.split(), *_COMMANDS.split(), *"{}{}{}{}__^^[]", "{x}", "{red}", "{1em}", "{-1em}", "{9999em}", " 3pt ",
    " -99mu ", "[n]", "{}", "x", "y", "12", " ", "\n", "漢", "é", '"', "`", "<img/src=x>", "<b>", "</mo>", "</math>",
    "<mi>", "<mtext>", "<!--", "&lt;", "&#60;", "\\#x202e;", "<hx-partial>", "#1", "\\a", "@", "\u0338", "𝐱", "\xa0",
)  # fmt: skip


@settings(max_examples=2_500, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(_PIECES), min_size=1, max_size=25).map("".join), st.booleans())
def test_any_pieces_of_tex_give_safe_mathml_or_none(converter: Converter, source: str, display: bool) -> None:
    converter.convert(source, display)


_WELL_FORMED = st.recursive(
    st.sampled_from(
        ("x", "1", "+", r"\alpha", r"\ ", r"\!", r"\text{<b> & \&}".replace("&", r"\&"), r"\operatorname{</mo><b>}",
         r"\operatorname{\&\#x202e;}", r"\raisebox{2em}{x}", r"\hspace{-1em}", r"\kern 3pt ", r"\tag{<i>}", r"\infty")
    ),
    lambda inner: st.builds(
        lambda form, one, two: form.replace("A", one).replace("B", two),
        st.sampled_from(
            (r"\frac{A}{B}", r"\sqrt[A]{B}", "AB", "{A}^{B}", "{A}_{B}", r"\left(A\middle|B\right]", r"\overset{A}{B}",
             r"\begin{matrix}A&B\\B&A\end{matrix}", r"\begin{cases}A&B\end{cases}",
             r"\begin{align}A&=B\\&=A\end{align}",
             r"\begin{array}{|l:r|}\hline A&B\end{array}", r"\textcolor{teal}{A}B",
             r"\xcancel{A}\boxed{B}", r"\hat{A}B",
             r"\mathrel{A}B", r"\sum_{A}^{B}", r"\underbrace{A}_{B}", r"{\bf A}\mathrm{B}", r"\genfrac(]{1pt}{2}{A}{B}",
             r"\prescript{A}{B}{A}", r"\phantom{A}\displaystyle B", r"\xrightarrow[A]{B}", r"\cfrac{A}{B}")
        ),
        inner,
        inner,
    ),
    max_leaves=25,
)  # fmt: skip


@settings(max_examples=1_000, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(_WELL_FORMED, st.booleans())
def test_any_formula_without_errors_is_safe(converter: Converter, source: str, display: bool) -> None:
    converter.convert(source, display)
