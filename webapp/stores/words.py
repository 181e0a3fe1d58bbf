"""What a search compares: texts, and what is searched for, as words without case, accents or variants.

Databases split and fold text each in its own way, and none of them knows words in a script without spaces. So both are
given words that leave them nothing to decide: letters and digits, lower case, one space between two. In a script
without spaces each character is a word, and what is searched for is a phrase of them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

SEARCHED_CHARS = 200_000
"""How much of a message can be found. PostgreSQL refuses to index more than a megabyte of words at once."""
MAX_TERMS = 16
MAX_WORD_CHARS = 100
"""PostgreSQL's index takes no words of more than 2,047 bytes; what is that long is no word."""

# Thai, Lao, Myanmar, Khmer, kana, Han, Hangul (which has spaces, but is searched within its words).
_SPACELESS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_WORD = re.compile(rf"[{_SPACELESS}]|[^\W_{_SPACELESS}]+")
_TERM = re.compile(r'"([^"]*)"?|(\S+)')


_MARKUP = re.compile(r"[*`#>|~]+|(?<!\w)_+|_+(?!\w)")
_SPACE = re.compile(r"\s+")
EXCERPT_CHARS = 180


@dataclass(frozen=True, slots=True)
class Term:
    """Words that have to follow one another; the last one may go on unless the term `is_exact`."""

    words: tuple[str, ...]
    is_exact: bool = False


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a text, and where in the text it stands."""

    form: str
    start: int
    end: int


def searchable(text: str) -> str:
    """Give the words of a text, one space between two."""
    return " ".join(word.form for word in words_of(text[:SEARCHED_CHARS]))


def terms_of(query: str) -> Sequence[Term]:
    """Read what somebody searches for: each term has to be found, one in quotation marks as it is."""
    terms = []
    for quoted, bare in _TERM.findall(query):
        if words := tuple(word.form for word in words_of(quoted or bare)):
            terms.append(Term(words, is_exact=bool(quoted)))
    return terms[:MAX_TERMS]


def words_of(text: str) -> Iterator[Word]:
    """Give the words of a text in order."""
    if text.isascii():
        for found in _WORD.finditer(text.lower()):
            yield Word(found[0][:MAX_WORD_CHARS], found.start(), found.end())
        return
    folded = [_folded(character) for character in text]
    # Where each character of the folded text comes from.
    origin = [index for index, form in enumerate(folded) for _ in form]
    for found in _WORD.finditer("".join(folded)):
        yield Word(found[0][:MAX_WORD_CHARS], origin[found.start()], origin[found.end() - 1] + 1)


def excerpt(text: str, terms: Sequence[Term], length: int = EXCERPT_CHARS) -> Sequence[tuple[str, bool]]:
    """Give the place of a text where a term stands first: pieces in order, each with whether it was searched for.

    What marks up the text is left out between words, and a "…" says where it was cut.
    """
    words = list(words_of(text[:SEARCHED_CHARS]))
    spans = [span for index in range(len(words)) for term in terms if (span := _span(words, index, term))]
    start = max(0, spans[0][0] - length // 4) if spans else 0
    if start and (space := text.find(" ", start, start + length // 4)) > 0:
        start = space + 1
    end = min(len(text), start + length)
    pieces, at = [("…", False)] if start else [], start
    for first, last in spans:
        if first >= at and last <= end:
            pieces += [(_plain(text[at:first]), False), (text[first:last], True)]
            at = last
    pieces.append((_plain(text[at:end]) + ("…" if end < len(text) else ""), False))
    return [piece for piece in pieces if piece[0]]


def _span(words: Sequence[Word], index: int, term: Term) -> tuple[int, int] | None:
    """Tell where a term stands in a text if its first word is the one of this index."""
    found = words[index : index + len(term.words)]
    *whole, last = term.words
    if len(found) < len(term.words) or [word.form for word in found[:-1]] != whole:
        return None
    is_last = found[-1].form == last if term.is_exact else found[-1].form.startswith(last)
    return (found[0].start, found[-1].end) if is_last else None


def _plain(text: str) -> str:
    return _SPACE.sub(" ", _MARKUP.sub("", text))


def owners_word(owner: str) -> str:
    """Give the word that stands in all that a reader has written, so that an index need not look at anyone else's."""
    return "zqowner" + re.sub(r"[^a-z0-9]", "", owner.lower())


@lru_cache(4096)
def _folded(character: str) -> str:
    """Fold case, accents and variants: "É" and "ｅ" are "e", "ﬁ" is "fi"."""
    bare = "".join(c for c in unicodedata.normalize("NFKD", character.casefold()) if unicodedata.category(c)[0] != "M")
    return unicodedata.normalize("NFKC", bare).casefold()
