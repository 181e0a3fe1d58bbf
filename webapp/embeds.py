"""Embeds: the chats that an operator offers in pages of other sites, as a file says.

The file is read again when it has changed, so that one can be added or switched off without a restart. A file that
cannot be read any more changes nothing until it can.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import structlog
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    SecretStr,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from webapp import errors
from webapp.domain import Assistant, AssistantId, Parameters, ReaderId, Setup
from webapp.settings import as_origin
from webapp.setups import MAX_STARTER_CHARS, MAX_STARTERS, MAX_SYSTEM_PROMPT_CHARS, Offer
from webapp.text import one_line

log = structlog.get_logger()

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
Line = Annotated[str, StringConstraints(strip_whitespace=True, max_length=MAX_STARTER_CHARS)]
_OWNER = "embed:"
_ADDRESS = TypeAdapter(HttpUrl)


class Limits(BaseModel):
    """How much may be asked in an embed; 0 is no limit. Prompts are those begun, retries among them.

    A visitor of whom nothing is known can come back as another one, so that only the limits of the whole embed bound
    what it costs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    visitor_prompts_per_hour: int = Field(30, ge=0)
    visitor_prompts_per_day: int = Field(100, ge=0)
    prompts_per_hour: int = Field(1_000, ge=0)
    prompts_per_day: int = Field(10_000, ge=0)
    visitor_tokens_per_hour: int = Field(0, ge=0)
    visitor_tokens_per_day: int = Field(0, ge=0)
    tokens_per_hour: int = Field(0, ge=0)
    tokens_per_day: int = Field(0, ge=0)
    visitor_running: int = Field(2, ge=0)
    running: int = Field(50, ge=0)


class Embed(BaseModel):
    """One chat in other pages, as its table in the file says.

    `origins` are those whose pages may have it. It answers as an `assistant` of the operator's, or as the
    `system_prompt` and the parameters here say. Sites introduce visitors by tokens signed with the `secret` (see
    `webapp.visitors`); with `known_only`, others are turned away. What happens is told to the `webhook` (see
    `webapp.webhooks`); with `handover`, visitors can ask for a person there. `greeting` and `starters` are what an
    empty chat shows. `keep_days` after its last message a conversation is deleted. With `enabled` false, all of it
    rests, and nobody can ask.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: Name
    origins: tuple[str, ...] = ()
    title: Annotated[str, StringConstraints(strip_whitespace=True, max_length=60)] = ""
    assistant: str = ""
    system_prompt: Annotated[str, StringConstraints(strip_whitespace=True, max_length=MAX_SYSTEM_PROMPT_CHARS)] = ""
    model: str | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    max_tokens: int | None = Field(None, ge=1)
    greeting: Line = ""
    starters: Annotated[tuple[Line, ...], Field(max_length=MAX_STARTERS)] = ()
    secret: Annotated[SecretStr, Field(min_length=32)] | None = None
    known_only: bool = False
    webhook: str = ""
    handover: bool = False
    theme: Literal["", "light", "dark"] = ""
    enabled: bool = True
    keep_days: int = Field(30, ge=1, le=3650)
    limits: Limits = Limits.model_validate({})

    @field_validator("origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(as_origin(origin) for origin in origins)

    @field_validator("webhook")
    @classmethod
    def _is_address(cls, webhook: str) -> str:
        try:
            return str(_ADDRESS.validate_python(webhook)) if webhook else ""
        except ValidationError as error:
            raise ValueError("it has to be an http or https address") from error

    @model_validator(mode="after")
    def _can_sign(self) -> Embed:
        if self.webhook and self.secret is None:
            raise ValueError("webhook: it needs a secret, which signs what it is told")
        if self.handover and not self.webhook:
            raise ValueError("handover: it needs a webhook, which is told who asks for a person")
        return self

    @property
    def owner_prefix(self) -> str:
        """What the ids of all its readers begin with."""
        return f"{_OWNER}{self.name}:"

    def reader(self, visitor: str) -> ReaderId:
        """Name the reader that a visitor is; no other embed and no cookie has the same one."""
        return ReaderId(self.owner_prefix + visitor)


class Embeds:
    """All embeds of a file, as it is now. Without a file there are none.

    An embed's `assistant` is one of the `offer`. Raises `SettingsInvalid` for a file that cannot be used.
    """

    def __init__(self, path: Path, offer: Offer) -> None:
        self._path, self._offer = path, offer
        self._version: object = None
        self._embeds: Mapping[str, Embed] = {}
        self._version, self._embeds = _version(path), self._read()

    def all(self) -> Mapping[str, Embed]:
        """Give all, by name."""
        if (version := _version(self._path)) != self._version:
            self._version = version
            try:
                self._embeds = self._read()
            except errors.SettingsInvalid as error:
                log.error("embeds.not_read", detail=error.sentence)
                if isinstance(error.__cause__, OSError):
                    self._version = None  # It may be there again unchanged.
        return self._embeds

    def find(self, name: str) -> Embed:
        """Give one that is switched on. Raises `EmbedNotFound`."""
        embed = self.all().get(name)
        if embed is None or not embed.enabled:
            raise errors.EmbedNotFound
        return embed

    def of(self, reader: ReaderId) -> Embed | None:
        """Give the embed that a reader is a visitor of, if any; it may rest."""
        return self.all().get(reader.split(":")[1]) if reader.startswith(_OWNER) else None

    def lifetimes(self) -> Mapping[str, timedelta]:
        """Tell how long conversations are kept after their last message, by what their readers' ids begin with."""
        return {embed.owner_prefix: timedelta(days=embed.keep_days) for embed in self.all().values()}

    def setup(self, embed: Embed) -> Setup:
        """Say how an embed's conversations are answered; their readers can neither see nor change it."""
        if embed.assistant:
            return self._assistant(embed).setup
        parameters = Parameters(embed.model, embed.temperature, embed.max_tokens)
        return Setup(embed.system_prompt, parameters, is_fixed=True)

    def starters(self, embed: Embed) -> tuple[str, ...]:
        """Give the first prompts that an empty chat offers."""
        return embed.starters or (self._assistant(embed).starters if embed.assistant else ())

    def _assistant(self, embed: Embed) -> Assistant:
        return _assistant(embed, self._offer, self._path)

    def _read(self) -> Mapping[str, Embed]:
        return read_embeds(read_tables(self._path), self._path, self._offer)


def read_embeds(tables: Mapping[str, Any], path: Path, offer: Offer) -> Mapping[str, Embed]:
    """Read all tables of a file. Raises `SettingsInvalid`, also for an assistant that is not offered."""
    found = {name: read_embed(name, table, path) for name, table in tables.items()}
    for embed in found.values():
        if embed.assistant:
            _assistant(embed, offer, path)
    return found


def _assistant(embed: Embed, offer: Offer, path: Path) -> Assistant:
    found = next((each for each in offer.assistants if each.id == AssistantId(embed.assistant)), None)
    if found is None:
        what = f'there is no assistant with the id "{embed.assistant}" in RILL_ASSISTANTS'
        raise errors.SettingsInvalid(f"{path}, [{embed.name}]: {what}.")
    return found


def read_tables(path: Path) -> Mapping[str, Any]:
    """Read the file's tables, by name; none if there is no file. Raises `SettingsInvalid`."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise errors.SettingsInvalid(f"The embeds cannot be read from {path}: {reason}.") from error


def read_embed(name: str, table: object, path: Path) -> Embed:
    """Read one table. Raises `SettingsInvalid` with one sentence that names what cannot be used."""
    if not isinstance(table, dict):
        raise errors.SettingsInvalid(f"{path}: {name} stands outside of any embed; each begins with [its-name].")
    try:
        embed = Embed.model_validate({**table, "name": name})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"] if not isinstance(part, int))
        what = f"{where} cannot be used: " if where else ""
        reason = first["msg"].removeprefix("Value error, ")
        raise errors.SettingsInvalid(f"{path}, [{name}]: {what}{reason}.") from None
    return embed.model_copy(update={"starters": tuple(map(one_line, embed.starters))})


def _version(path: Path) -> object:
    """Give something that is another one when the file has changed."""
    try:
        now = path.stat()
    except OSError:
        return None
    return now.st_mtime_ns, now.st_ctime_ns, now.st_size, now.st_ino
