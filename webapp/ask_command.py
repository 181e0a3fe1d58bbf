"""The command `rill ask`, which asks a running Rill and writes its reply as it comes.

It is a program like any other: it reads no settings and opens no store.
"""

from __future__ import annotations

import signal
import sys
from typing import Any
from urllib.parse import urlsplit

import click

from webapp import errors
from webapp.asking import BrokenOff, NotAsked, Question

STDIN = "-"
INTERRUPTED = 128 + signal.SIGINT
"""The status that shells give for Ctrl+C."""


@click.command()
@click.argument("words", metavar="[PROMPT]", nargs=-1)
@click.option("--url", envvar="RILL_URL", default="http://127.0.0.1:8000", show_default=True, help="Where Rill is.")
@click.option("--key", envvar="RILL_KEY", default="", help="The key to show; better kept in RILL_KEY.")
@click.option("--conversation", metavar="ID", default="", help="A conversation of this key's to go on with.")
@click.option("--model", default="", help="The model that is to answer, if there is a choice.")
@click.option("--assistant", metavar="ID", default="", help="The assistant that a new conversation begins with.")
@click.option("--json", "is_json", is_flag=True, help="Write the lines of JSON as they come.")
def ask(words: tuple[str, ...], url: str, key: str, conversation: str, is_json: bool, **chosen: str) -> None:
    """Ask a running Rill, and write its reply as it comes.

    What comes by a pipe is appended to the prompt, or is the prompt; `-` reads it from the terminal, too. Ctrl+C stops
    the reply at the server.
    """
    url, key = _checked_url(url), _checked_key(key)
    if conversation and not key:
        raise click.UsageError("A conversation is found with its own key alone: say that with --key or RILL_KEY.")
    if conversation and chosen["assistant"]:
        raise click.UsageError("An assistant can be chosen for a new conversation only.")
    try:
        fields = {"prompt": _prompt(words), **{name: value for name, value in chosen.items() if value}}
        with Question(url, key, fields, conversation) as question:
            status = _answer(question, is_json=is_json)
            if key and question.has_begun and sys.stderr.isatty():
                click.echo(f'\nTo go on: rill ask --conversation {question.conversation} "..."', err=True)
    except KeyboardInterrupt:
        status = INTERRUPTED
    sys.exit(status)


def _answer(question: Question, *, is_json: bool) -> int:
    """Write the reply as it comes; give the status to end with."""
    written = ""
    try:
        for event in question.events():
            if is_json:
                _write(event.line + "\n")
            elif event.text:
                written = event.text  # Before it is written: Ctrl+C may come between the two.
                _write(event.text)
            if event.is_end:
                _end_line(written)
                return _ended(event.said)
    except NotAsked as refusal:
        if is_json and refusal.line:
            _write(refusal.line + "\n")
        _end_line(written)
        click.echo(refusal.sentence, err=True)
    except BrokenOff as broken:
        _end_line(written)
        where = f"{question.url}/c/{question.conversation}"
        click.echo(
            f"The connection broke after {broken.told_chars} characters of the reply, and could not be made again. "
            f"What the server has of it is at {where}.",
            err=True,
        )
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # One is enough; the server has to be told.
        _end_line(written)
        question.stop()
        return INTERRUPTED
    return 1


def _ended(said: Any) -> int:
    """Say how a reply ended, if not well; give the status for it."""
    if said.get("type") != "done":
        click.echo(str(said.get("message") or errors.RillError.sentence), err=True)
        return 1
    if said.get("cause"):
        click.echo(errors.sentence(str(said["cause"])), err=True)
    if said.get("state") != "finished":
        click.echo("The reply was stopped.", err=True)
        return 1
    return 0


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _end_line(written: str) -> None:
    if written and not written.endswith("\n"):
        _write("\n")


def _prompt(words: tuple[str, ...]) -> str:
    """Put the prompt together from the words of the command and from what comes by a pipe."""
    said = " ".join(word for word in words if word != STDIN)
    is_piped = sys.stdin is not None and (STDIN in words or not sys.stdin.isatty())
    piped = sys.stdin.buffer.read().decode("utf-8", "replace").strip() if is_piped else ""
    prompt = "\n\n".join(part for part in (said, piped) if part.strip())
    if not prompt:
        raise click.UsageError("There is no prompt: write one, or send one by a pipe.")
    return prompt


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_one = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        is_one = False
    if not is_one or parts.query or parts.fragment:
        raise click.UsageError(f"{url} is no address of a Rill; one is like https://chat.example.")
    return url.rstrip("/")


def _checked_key(key: str) -> str:
    key = key.strip()
    if not (key.isascii() and key.isprintable()):
        raise click.UsageError("This is no key: keys are like rill_..., as `rill key create` prints them.")
    return key


def main() -> None:
    """Run the command by itself. What the terminal cannot show is replaced by question marks."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    ask(prog_name="rill ask", args=sys.argv[2:])
