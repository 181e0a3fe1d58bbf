"""The languages that readers are spoken to in, and what is said in each.

Texts stand in English where they are said: `_("Send")` says one now, `N_("Send")` marks one that is kept and said
later. The catalogs are Babel's, in `webapp/locales`; what one of them lacks is said in English. The language is
that of the request or socket that asks, so a turn speaks the one of the reader who began it: tasks inherit it.
"""

from __future__ import annotations

from contextvars import ContextVar
from datetime import datetime
from functools import cache
from io import BytesIO
from pathlib import Path

from babel import Locale
from babel.dates import format_date, format_skeleton
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal
from babel.support import NullTranslations, Translations

ENGLISH = "en"
LANGUAGES = {"en": "English", "de": "Deutsch", "es": "Español", "fr": "Français", "zh": "中文", "ar": "العربية"}
"""By code, each by its own name."""
LOCALES = Path(__file__).parent / "locales"
DOMAIN = "rill"

_spoken: ContextVar[str] = ContextVar("language", default=ENGLISH)


def speak(language: str) -> None:
    """Say what follows in this task, and in those that it begins, in one of `LANGUAGES`."""
    _spoken.set(language)


def spoken() -> str:
    """Give the code of the language that is spoken now."""
    return _spoken.get()


def direction() -> str:
    """Give the direction of its script, as HTML's `dir` has it."""
    return Locale.parse(spoken()).text_direction


def gettext(text: str, /, **values: object) -> str:
    """Say a text, with values in the places of `%(name)s`."""
    said = _translations(spoken()).gettext(text) if text else ""  # The empty text is where catalogs keep their head.
    return said % values if values else said


def pgettext(context: str, text: str, /) -> str:
    """Say a text that is another one elsewhere, where it stands in another context."""
    return str(_translations(spoken()).pgettext(context, text))


def ngettext(one: str, many: str, count: int, /, **values: object) -> str:
    """Say a text that depends on a count, which stands in it as `%(count)s`."""
    return _translations(spoken()).ngettext(one, many, count) % {"count": number(count), **values}


def N_(text: str) -> str:
    """Mark a text that is said later."""
    return text


def number(value: float, digits: int | None = None) -> str:
    """Write a number as its readers do, with that many digits after the point, or none."""
    return format_decimal(value, "#,##0" + ("." + "0" * digits if digits else ""), locale=spoken())


def month(moment: datetime) -> str:
    """Name a month and its year."""
    return format_skeleton("yMMMM", moment, locale=spoken())


def date(moment: datetime) -> str:
    """Write a day, in UTC, with the name of its month."""
    return format_date(moment, "long", locale=spoken())


@cache
def _translations(language: str) -> NullTranslations:
    """Read a catalog. Each is read once, in some milliseconds, so none has to be compiled before."""
    path = LOCALES / language / "LC_MESSAGES" / f"{DOMAIN}.po"
    if language == ENGLISH:
        return NullTranslations()
    compiled = BytesIO()
    with path.open("rb") as file:
        write_mo(compiled, read_po(file, locale=language))
    compiled.seek(0)
    return Translations(compiled, domain=DOMAIN)
