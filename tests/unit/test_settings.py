"""The settings: their names, defaults and documents, and how a bad one stops the start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.fakes import ROOT
from webapp.errors import SettingsInvalid
from webapp.settings import CLIENT, Settings, client_markdown_table, read

NAMES = list(Settings.model_fields)


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    return tmp_path / ".env"


def row_of(name: str) -> list[str]:
    """The cells of a setting's row in the README's table: name, default, meaning."""
    for line in (ROOT / "README.md").read_text().splitlines():
        if line.startswith(f"| `{name.upper()}` |"):
            return [cell.strip() for cell in line.strip().strip("|").split(" | ")]
    raise AssertionError(f"README.md has no row for {name.upper()}")


def shown(name: str) -> str | None:
    """A default as the README writes it; `None` for those that words have to tell."""
    default = Settings.model_fields[name].default
    match default:
        case bool():
            return f"`{str(default).lower()}`"
        case int() | float():
            return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"
        case str() if default:
            return f"`{default}`"
        case _:
            return None


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_is_in_the_readme_with_its_default_and_its_meaning(name: str) -> None:
    _, default, *meaning = row_of(name)

    assert " | ".join(meaning) == Settings.model_fields[name].description
    if shown(name) is not None:
        assert default == shown(name)


def test_the_readme_lists_no_setting_that_does_not_exist() -> None:
    rows = [
        line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith(("| `RILL_", "| `OPENAI_"))
    ]

    assert [row.split("`")[1].lower() for row in rows] == [*NAMES, *(name.lower() for name in CLIENT)]


def test_the_readme_has_what_rill_ask_reads_which_is_no_setting_of_a_server(env_file: Path) -> None:
    env_file.write_text("RILL_URL=https://chat.example\n")

    assert client_markdown_table() in (ROOT / "README.md").read_text()
    assert read(dict.fromkeys(CLIENT, "rill_x"), env_file) == read({}, env_file.with_name("none"))


def test_no_settings_at_all_are_fine_and_stay_on_loopback(env_file: Path) -> None:
    settings = read({}, env_file)

    assert settings.is_loopback
    assert settings.rill_port == 8000
    assert settings.openai_api_key is None


@pytest.mark.parametrize("name", ["RILL_PROT", "rill_prot", "RILL_", "RILL_OPENAI_API_KEY"])
@pytest.mark.parametrize("where", ["environment", ".env"])
def test_an_unknown_name_is_named(env_file: Path, name: str, where: str) -> None:
    if where == ".env":
        env_file.write_text(f"{name}=1\n")
    with pytest.raises(SettingsInvalid) as raised:
        read({name: "1"} if where == "environment" else {}, env_file)

    assert raised.value.sentence == f"{name} is no setting of Rill; the README lists them all."


def test_names_of_other_programs_are_none_of_ours(env_file: Path) -> None:
    env_file.write_text("OPENAI_ORG_ID=x\nDATABASE_URL=y\n")

    assert read({"PATH": "/bin", "RILLED": "1", "openai_unknown": "z"}, env_file) == read({}, env_file)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RILL_PORT", "eighty"),
        ("RILL_PORT", "70000"),
        ("RILL_PORT", "-1"),
        ("RILL_MAX_PROMPT_CHARS", "0"),
        ("RILL_FLUSH_MS", "2000"),
        ("RILL_FIRST_CHUNK_SECONDS", "0"),
        ("RILL_SILENCE_SECONDS", "nan"),
        ("RILL_SHUTDOWN_GRACE_SECONDS", "-1"),
        ("RILL_DISCOVER_MODELS", "perhaps"),
        ("RILL_LOG_LEVEL", "chatty"),
        ("RILL_LOG_LEVEL", "info\n"),
        ("RILL_ALLOWED_ORIGINS", "example.com"),
        ("RILL_ALLOWED_ORIGINS", "*"),
        ("RILL_ALLOWED_ORIGINS", "https://example.com, ftp://example.com"),
        ("RILL_ALLOWED_ORIGINS", "https://example.com/path"),
        ("RILL_ALLOWED_ORIGINS", "http://["),
        ("RILL_SECRET", "short"),
    ],
)
def test_a_bad_value_is_refused_with_a_sentence_that_names_the_setting(env_file: Path, name: str, value: str) -> None:
    with pytest.raises(SettingsInvalid) as raised:
        read({name: value}, env_file)

    assert raised.value.sentence.startswith(f"{name} cannot be used: ")
    assert "\n" not in raised.value.sentence


def test_a_refused_secret_is_not_repeated(env_file: Path) -> None:
    with pytest.raises(SettingsInvalid) as raised:
        read({"RILL_SECRET": "canary-secret"}, env_file)

    assert "canary" not in f"{raised.value} {raised.value.sentence} {raised.value.detail} {raised.value.__cause__}"


def test_secrets_are_not_shown(env_file: Path) -> None:
    settings = read({"OPENAI_API_KEY": "sk-canary", "RILL_SECRET": "canary" * 8}, env_file)

    assert "canary" not in f"{settings} {settings!r}"
    assert settings.openai_api_key == SecretStr("sk-canary")


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_value_counts_as_not_set(env_file: Path, name: str) -> None:
    env_file.write_text(f"{name.upper()}=\n")

    assert read({}, env_file) == read({name.upper(): ""}, env_file) == read({}, env_file.with_name("none"))


def test_the_environment_stands_over_the_file(env_file: Path) -> None:
    env_file.write_text("RILL_PORT=1111\nRILL_MODEL='from the file'\n")

    settings = read({"RILL_PORT": "2222"}, env_file)

    assert (settings.rill_port, settings.rill_model) == (2222, "from the file")


def test_an_empty_value_in_the_environment_takes_back_what_the_file_says(env_file: Path) -> None:
    env_file.write_text("RILL_MODEL=from-the-file\n")

    assert read({"RILL_MODEL": ""}, env_file).rill_model is None


def test_lists_are_separated_by_commas(env_file: Path) -> None:
    settings = read(
        {"RILL_ALLOWED_HOSTS": " a.example,b.example , ", "RILL_ALLOWED_ORIGINS": "HTTPS://A.example/,http://b:1"},
        env_file,
    )

    assert settings.rill_allowed_hosts == ("a.example", "b.example")
    assert settings.rill_allowed_origins == ("https://a.example", "http://b:1")


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("example.com", False),
    ],
)
def test_loopback_is_told_apart(env_file: Path, host: str, is_loopback: bool) -> None:
    assert read({"RILL_HOST": host}, env_file).is_loopback is is_loopback


def test_the_database_is_in_the_data_folder_unless_another_is_named(env_file: Path) -> None:
    assert read({"RILL_DATA_DIR": "/data"}, env_file).database_url == "sqlite:////data/rill.db"
    assert read({"RILL_DATABASE_URL": "postgresql://db/rill"}, env_file).database_url == "postgresql://db/rill"


def test_settings_cannot_be_changed(env_file: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        read({}, env_file).rill_port = 1  # type: ignore[misc]  # That is the point.


@pytest.mark.parametrize("command", ["serve", "check"])
def test_the_command_line_says_one_sentence_and_stops(tmp_path: Path, command: str) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("RILL_", "OPENAI_"))}
    ended = subprocess.run(
        [sys.executable, "-m", "webapp", command],
        cwd=tmp_path,
        env={**environ, "PYTHONPATH": str(ROOT), "RILL_PROT": "8000"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert ended.returncode == 2
    assert ended.stdout + ended.stderr == "RILL_PROT is no setting of Rill; the README lists them all.\n"
