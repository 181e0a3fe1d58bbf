"""What is said in a language, for tests that look for it in a page."""

from __future__ import annotations

from contextvars import Context

from webapp import languages


def say_in(language: str, text: str, **values: object) -> str:
    """Say a text as a page in this language does; the language of the test stays."""

    def say() -> str:
        languages.speak(language)
        return languages.gettext(text, **values)

    return Context().run(say)
