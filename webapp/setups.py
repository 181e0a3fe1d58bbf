"""How conversations are set up, as readers and operators write it: in forms, in JSON, in a file of assistants.

What cannot be used is refused with one sentence that names it, whoever wrote it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from webapp import errors
from webapp.domain import Assistant, AssistantId, Parameters, Setup
from webapp.languages import gettext as _
from webapp.languages import number
from webapp.text import clean, one_line, without_tags

MAX_SYSTEM_PROMPT_CHARS = 20_000
MAX_NAME_CHARS = 60
MAX_ICON_CHARS = 8
"""One emoji may be made of that many characters."""
MAX_STARTERS = 6
MAX_STARTER_CHARS = 300
MAX_MODEL_CHARS = 200
HOTTEST = 2.0
MOST_TOKENS = 1_000_000


@dataclass(frozen=True, slots=True)
class Offer:
    """What an operator offers on an empty page: first prompts, and assistants."""

    starters: tuple[str, ...] = ()
    assistants: tuple[Assistant, ...] = ()


def read_setup(fields: Mapping[str, object]) -> Setup:
    """Read `system_prompt`, `temperature` and `max_tokens`; what is empty is not set. Raises `SetupRefused`."""
    return Setup(_system_prompt(fields), Parameters(None, _temperature(fields), _max_tokens(fields)))


def read_assistant(fields: Mapping[str, object], assistant_id: AssistantId, *, is_own: bool) -> Assistant:
    """Read an assistant: `name`, `icon`, `model`, `starters`, and what a setup has. Raises `SetupRefused`.

    `starters` are a list, or lines of one text.
    """
    setup, model = read_setup(fields), _text(fields, "model", _("The name of the model"), MAX_MODEL_CHARS)
    name = _text(fields, "name", _("The name"), MAX_NAME_CHARS)
    if not name:
        raise errors.SetupRefused(_("An assistant needs a name."))
    return Assistant(
        assistant_id,
        name,
        _text(fields, "icon", _("The icon"), MAX_ICON_CHARS),
        setup.system_prompt,
        Parameters(model or None, setup.parameters.temperature, setup.parameters.max_tokens),
        read_starters(fields.get("starters")),
        is_own=is_own,
    )


def read_starters(value: object) -> tuple[str, ...]:
    """Read first prompts: a list of texts, or lines of one text. Raises `SetupRefused`."""
    lines = value.splitlines() if isinstance(value, str) else value or ()
    if not isinstance(lines, Sequence) or not all(isinstance(line, str) for line in lines):
        raise errors.SetupRefused(_("Starter questions have to be texts."))
    starters = tuple(line for each in lines if (line := one_line(each)))
    if len(starters) > MAX_STARTERS:
        raise errors.SetupRefused(
            _("There can be %(limit)s starter questions; these are %(count)s.", limit=MAX_STARTERS, count=len(starters))
        )
    if any(len(starter) > MAX_STARTER_CHARS for starter in starters):
        raise errors.SetupRefused(_("A starter question can have %(limit)s characters.", limit=MAX_STARTER_CHARS))
    return starters


def read_offer(path: Path | None) -> Offer:
    """Read an operator's file of assistants, in TOML. Raises `SettingsInvalid` with one sentence."""
    if path is None:
        return Offer()
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise errors.SettingsInvalid(f"RILL_ASSISTANTS cannot be read from {path}: {reason}.") from None
    tables = content.get("assistants", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise errors.SettingsInvalid(f"RILL_ASSISTANTS: in {path}, each assistant has to begin with [[assistants]].")
    where = f"in {path}"
    try:
        starters, found = read_starters(content.get("starters")), []
        for number, table in enumerate(tables, 1):
            where = f"assistant {number} in {path}"
            assistant_id = _id_from(table.get("id") or table.get("name") or "")
            found.append(read_assistant(table, assistant_id, is_own=False))
            if not assistant_id:
                raise errors.SetupRefused("It needs an id, because there is no letter in its name.")
            if assistant_id in {other.id for other in found[:-1]}:
                raise errors.SetupRefused(f'There is another assistant with the id "{assistant_id}".')
    except errors.SetupRefused as error:
        raise errors.SettingsInvalid(f"RILL_ASSISTANTS, {where}: {error.sentence}") from None
    return Offer(starters, tuple(found))


def _id_from(name: object) -> AssistantId:
    """Make a name for URLs of an assistant's own, so that links to it stay right whatever else is in its file."""
    return AssistantId("-".join(re.findall(r"\w+", str(name).lower()))[:MAX_NAME_CHARS])


def _system_prompt(fields: Mapping[str, object]) -> str:
    value = fields.get("system_prompt", "")
    if not isinstance(value, str):
        raise errors.SetupRefused(_("The system prompt has to be a text."))
    text = without_tags(clean(value)).strip()
    if len(text) > MAX_SYSTEM_PROMPT_CHARS:
        raise errors.SetupRefused(
            _(
                "The system prompt has %(length)s characters; it can have %(limit)s.",
                length=number(len(text)),
                limit=number(MAX_SYSTEM_PROMPT_CHARS),
            )
        )
    return text


def _temperature(fields: Mapping[str, object]) -> float | None:
    value = _number(fields, "temperature")
    if value is not None and not 0 <= value <= HOTTEST:
        raise errors.SetupRefused(_("The temperature has to be a number from 0 to %(limit)s.", limit=number(HOTTEST)))
    return value


def _max_tokens(fields: Mapping[str, object]) -> int | None:
    value = _number(fields, "max_tokens")
    if value is not None and not (1 <= value <= MOST_TOKENS and value == int(value)):
        raise errors.SetupRefused(
            _("The longest reply has to be a whole number of tokens, from 1 to %(limit)s.", limit=number(MOST_TOKENS))
        )
    return None if value is None else int(value)


def _number(fields: Mapping[str, object], name: str) -> float | None:
    """Read a number, in a form's or in JSON's way; what is none is beyond all bounds."""
    value = fields.get(name)
    if value is None or value == "":
        return None
    try:
        number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else float("nan")
    except (ValueError, OverflowError):
        number = float("nan")
    return number if abs(number) < float("inf") else -1.0


def _text(fields: Mapping[str, object], name: str, what: str, most_chars: int) -> str:
    value = fields.get(name) or ""
    if not isinstance(value, str):
        raise errors.SetupRefused(_("%(what)s has to be a text.", what=what))
    text = one_line(value)
    if len(text) > most_chars:
        raise errors.SetupRefused(
            _(
                "%(what)s can have %(limit)s characters; this one has %(length)s.",
                what=what,
                limit=most_chars,
                length=number(len(text)),
            )
        )
    return text
