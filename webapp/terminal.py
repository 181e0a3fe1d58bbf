"""What all commands do alike: read the settings, and end with a sentence where they cannot go on."""

from __future__ import annotations

from typing import NoReturn

import click

from webapp import errors
from webapp.settings import Settings, read

STORE_ADVICE = "Check RILL_DATABASE_URL and RILL_DATA_DIR."


def settings() -> Settings:
    try:
        return read()
    except errors.SettingsInvalid as error:
        fail(error.sentence)


def told(error: errors.RillError) -> str:
    """Say an error as an operator is told, who may see its detail."""
    if isinstance(error, errors.StoreUnavailable):
        return f"The database cannot be used ({error.detail})."
    return f"{error.sentence} ({error.detail})" if error.detail else error.sentence


def fail(sentence: str, status: int = 2) -> NoReturn:
    click.echo(sentence, err=True)
    raise SystemExit(status)
