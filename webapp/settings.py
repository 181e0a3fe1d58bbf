"""Everything an operator can set, read once from the environment and `.env` into one frozen object.

This table drives the parsing, the README and a test. Zero settings give a working app on loopback; a bad value or an
unknown `RILL_` name stops the start with one sentence that names it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path

from dotenv import dotenv_values
from platformdirs import user_data_path
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo

from webapp.errors import SettingsInvalid

PREFIX = "RILL_"
_ORIGIN = re.compile(r"(https?)://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(\d{1,5}))?/?")
_PORTS = {"http": "80", "https": "443"}

CLIENT = {
    "RILL_URL": "Address of the Rill that `rill ask` asks; otherwise `http://127.0.0.1:8000`.",
    "RILL_KEY": "Key that `rill ask` shows there.",
}
"""What `rill ask` reads, from the environment alone. A server passes over it: both may be started in one shell."""


class Settings(BaseModel):
    """The settings, under the names of their environment variables in lower case."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    openai_api_key: SecretStr | None = Field(None, description="Key of the model endpoint.")
    openai_base_url: str | None = Field(
        None, description="Address of any OpenAI-compatible endpoint, such as `http://127.0.0.1:11434/v1`."
    )
    rill_model: str | None = Field(None, description="Model to ask for; otherwise the first that the endpoint lists.")
    rill_models: tuple[str, ...] = Field(
        (),
        description="Models that readers may choose, comma-separated, each with a name to show if it needs one, such "
        "as `qwen3:32b=Thorough,qwen3:4b=Fast`; `*` for all that the endpoint lists.",
    )
    rill_system_prompt: str = Field("", description="Text put before each conversation, for the model only.")
    rill_attachments: bool = Field(True, description="Readers may attach files to their messages.")
    rill_images: bool = Field(
        True, description="The models of the endpoint see images; otherwise only PDFs and text can be attached."
    )
    rill_max_upload_mb: int = Field(20, ge=1, le=1000, description="How much can be attached at once, in MB.")
    rill_assistants: Path | None = Field(
        None, description="TOML file with assistants and starter questions; see docs/operating.md."
    )
    rill_embeds: Path | None = Field(
        None,
        description="TOML file with chats for other pages, otherwise `embeds.toml` in the data folder; see "
        "docs/embedding.md.",
    )
    rill_own_setups: bool = Field(
        True,
        description="Readers may make assistants, and give their conversations a system prompt and parameters.",
    )
    rill_sharing: bool = Field(True, description="Readers may make links with which anybody can read a conversation.")
    rill_discover_models: bool = Field(
        True, description="Without an endpoint set: look for Ollama, LM Studio, llama.cpp and vLLM on this machine."
    )
    rill_local_model: Path | None = Field(None, description="A GGUF file to run here, instead of the built-in model.")
    rill_embedded_model: bool = Field(True, description="As the last resort, run the small built-in model.")

    rill_host: str = Field("127.0.0.1", description="Address that `rill serve` listens on.")
    rill_port: int = Field(8000, ge=0, le=65535, description="Port that `rill serve` listens on; 0 takes a free one.")
    rill_allowed_hosts: tuple[str, ...] = Field(
        (), description="Public host names of this server, comma-separated. Addresses and `localhost` always work."
    )
    rill_allowed_origins: tuple[str, ...] = Field(
        (),
        description="Other origins whose pages may connect, comma-separated, such as `http://127.0.0.1:5500`.",
    )
    rill_trusted_proxies: str = Field(
        "127.0.0.1", description="Addresses of proxies whose `X-Forwarded-*` headers are believed, comma-separated."
    )

    rill_root_path: str = Field(
        "",
        pattern=r"^(/[A-Za-z0-9._~-]+)*$",
        description="Path below which a proxy has this server, if the proxy takes it away, such as `/chat`.",
    )

    rill_data_dir: Path = Field(
        default_factory=lambda: user_data_path("rill"),
        description="Folder for the database, the signing secret and the built-in model.",
    )
    rill_database_url: str | None = Field(
        None, description="`sqlite:///…` or `postgresql://…`; otherwise a SQLite file in the data folder."
    )
    rill_secret: SecretStr | None = Field(
        None, description="Signs the readers' cookies, 32 characters or more; otherwise made once, in the data folder."
    )

    rill_image_hosts: tuple[str, ...] = Field(
        (),
        description="Hosts whose images replies may show, comma-separated; they come through this server. "
        "Others are links.",
    )
    rill_styleguide: bool = Field(False, description="Serve `/styleguide`, which shows all that replies can have.")

    rill_name: str = Field("Rill", min_length=1, max_length=60, description="What the page calls itself.")
    rill_logo: Path | None = Field(None, description="SVG, PNG or WebP file, square, shown beside the name.")
    rill_accent: str = Field(
        "", description="Colour of buttons and links, such as `#7b3a9a`; made darker or lighter until it can be read."
    )
    rill_footer: str = Field("", max_length=300, description="A line of text below the message box.")
    rill_templates: Path | None = Field(
        None, description="Folder whose templates take the place of those with the same names; see docs/operating.md."
    )
    rill_titles: bool = Field(
        True,
        description="After the first reply, ask the model for the conversation's title; otherwise it is the first "
        "words. The built-in model is never asked.",
    )

    rill_flush_ms: int = Field(
        40, ge=0, le=1000, description="Least time between two fragments of one conversation, in milliseconds."
    )
    rill_max_prompt_chars: int = Field(32_000, ge=1, le=1_000_000, description="Longest prompt, in characters.")
    rill_max_reply_chars: int = Field(
        1_000_000, ge=1, le=20_000_000, description="Longest reply that is kept; then the model is stopped."
    )
    rill_connect_seconds: float = Field(
        5, gt=0, le=600, description="How long connecting to the model may take; any network does it in less."
    )
    rill_first_chunk_seconds: float = Field(
        60,
        gt=0,
        le=3600,
        description="How long the model may take to begin its answer: it reads the whole conversation first.",
    )
    rill_silence_seconds: float = Field(
        30,
        gt=0,
        le=3600,
        description="How long the model may be silent in the middle of an answer; then nothing more will come.",
    )
    rill_turn_seconds: float = Field(
        900, gt=0, le=86400, description="How long a whole answer may take: a model that never ends costs money."
    )
    rill_busy_retries: int = Field(
        2,
        ge=0,
        le=10,
        description="How often a model that is busy or failing is asked again, before a word of its answer has come.",
    )
    rill_busy_seconds: float = Field(
        20, ge=0, le=600, description="Longest wait before it is asked again, also if it asks for more (`Retry-After`)."
    )
    rill_shutdown_grace_seconds: float = Field(
        30, ge=0, le=3600, description="How long running replies may go on after the server was told to stop."
    )
    rill_log_level: str = Field(
        "info", pattern="^(debug|info|warning|error)$", description="Least level that is logged."
    )

    @field_validator("rill_models", "rill_allowed_hosts", "rill_allowed_origins", "rill_image_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("rill_allowed_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(as_origin, origins))

    @field_validator("rill_secret")
    @classmethod
    def _is_long_enough(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and len(secret.get_secret_value()) < 32:
            raise ValueError("it has to have at least 32 characters")
        return secret

    @property
    def database_url(self) -> str:
        return self.rill_database_url or f"sqlite:///{self.rill_data_dir / 'rill.db'}"

    @property
    def embeds_path(self) -> Path:
        return self.rill_embeds or self.rill_data_dir / "embeds.toml"

    @property
    def is_loopback(self) -> bool:
        try:
            return ip_address(self.rill_host).is_loopback
        except ValueError:
            return self.rill_host == "localhost"


def as_origin(text: str) -> str:
    """Give an origin as browsers send it. Raises `ValueError`."""
    found = _ORIGIN.fullmatch(text.lower())
    if found is None:
        raise ValueError(f"{text!r} is no origin; write it like https://example.com, and other alphabets as xn--...")
    scheme, host, port = found.groups()
    # Browsers leave out the port that goes without saying.
    return f"{scheme}://{host}" if port in {None, _PORTS[scheme]} else f"{scheme}://{host}:{port}"


def read(environ: Mapping[str, str] | None = None, env_file: Path | None = None) -> Settings:
    """Read the settings from `.env` and, over it, the environment; raise `SettingsInvalid` with one sentence.

    An empty value counts as not set, as in most tools that read `.env` files.
    """
    environ = os.environ if environ is None else environ
    env_file = Path(".env") if env_file is None else env_file
    found = {name: value for name, value in dotenv_values(env_file).items() if value is not None}
    found.update(environ)
    known = {name.upper() for name in Settings.model_fields}
    spared = known | CLIENT.keys()
    unknown = sorted(name for name in found if name.upper().startswith(PREFIX) and name.upper() not in spared)
    if unknown:
        raise SettingsInvalid(f"{unknown[0]} is no setting of Rill; the README lists them all.")
    values = {name.lower(): value for name, value in found.items() if name.upper() in known and value}
    try:
        return Settings(**values)  # type: ignore[arg-type]  # Strings, which pydantic parses and checks.
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        name = str(first["loc"][0]).upper()
        raise SettingsInvalid(f"{name} cannot be used: {first['msg'].removeprefix('Value error, ')}.") from None


def markdown_table() -> str:
    """Give the README's table of all settings; a test holds the README to it."""
    rows = ["| Setting | Default | Meaning |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        rows.append(f"| `{name.upper()}` | {_shown_default(name, field)} | {field.description} |")
    return "\n".join(rows)


def client_markdown_table() -> str:
    """Give the README's table of what `rill ask` reads."""
    return "\n".join(
        ["| Name | Meaning |", "| --- | --- |", *(f"| `{name}` | {said} |" for name, said in CLIENT.items())]
    )


def _shown_default(name: str, field: FieldInfo) -> str:
    if name == "rill_data_dir":
        return "the user's data folder"
    default = field.default
    if default in (None, "", ()):
        return ""
    shown = str(default).lower() if isinstance(default, bool) else str(default)
    return f"`{shown}`"
