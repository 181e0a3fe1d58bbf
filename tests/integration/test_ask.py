"""`rill ask`, run as a command against a running server."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clients import Gated, ask, new_reader
from tests.commands import Ended, begin, end, make_key, rill
from tests.fakes import Exchange, RillServer, ScriptedUpstream, network, rill_server, until
from tests.integration.test_keys import UNKNOWN
from webapp import asking
from webapp.asking import BrokenOff, Question

DEVNULL = asyncio.subprocess.DEVNULL
OF_THE_CLIENT = {"RILL_URL": "https://other.example", "RILL_KEY": "rill_x"}


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    # A server passes over what is meant for `rill ask` in the same shell.
    return {"RILL_MAX_PROMPT_CHARS": "200", "RILL_MODELS": "scripted-1,scripted-2", **OF_THE_CLIENT}


@pytest.fixture(scope="module")
async def key(rill: RillServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    return await make_key(rill, tmp_path_factory.mktemp("key"), "robot")


@pytest.fixture
def shell(rill: RillServer, model: ScriptedUpstream) -> dict[str, str]:
    """The environment of somebody who asks. `rill ask` reads no settings, so a bad one does not matter."""
    return {"PATH": os.environ["PATH"], "RILL_URL": rill.url, "RILL_PROT": "1"}


Asking = Callable[..., Coroutine[Any, Any, Ended]]


@pytest.fixture
def asked(shell: dict[str, str], tmp_path: Path) -> Asking:
    async def run(*arguments: str, stdin: bytes = b"", **environ: str) -> Ended:
        return await rill({**shell, **environ}, tmp_path, "ask", *arguments, stdin=stdin)

    return run


async def test_a_reply_is_written_as_it_comes(shell: dict[str, str], tmp_path: Path, model: ScriptedUpstream) -> None:
    gated = Gated(model, "One ", "**two** ", "ärø 🐙")
    process = await begin(shell, tmp_path, "ask", "Count", stdin=DEVNULL)
    assert process.stdout is not None
    gated.let()
    first = await process.stdout.readexactly(4)
    gated.let_all()

    ended = await end(process)

    assert first == b"One "
    assert ended == Ended(0, "**two** ärø 🐙\n", "")
    assert model.exchanges[0].prompt == "Count"


@pytest.mark.parametrize(
    ("words", "stdin", "prompt"),
    [
        (["What", "is", "new?"], b"", "What is new?"),
        (["Sum it up:"], b"One\nTwo\n", "Sum it up:\n\nOne\nTwo"),
        (["Sum it up:", "-"], b"One", "Sum it up:\n\nOne"),
        (["-"], b"One", "One"),
        ([], b" One ", "One"),
        (["--", "--json"], b"", "--json"),
        (["Bytes:"], b"\xff\xc3\xa9", "Bytes:\n\n�é"),
    ],
)
async def test_a_prompt_is_what_is_written_and_what_comes_by_a_pipe(
    asked: Asking, model: ScriptedUpstream, words: list[str], stdin: bytes, prompt: str
) -> None:
    ended = await asked(*words, stdin=stdin)

    assert ended.status == 0
    assert model.exchanges[0].prompt == prompt


async def test_lines_come_as_the_server_sends_them(asked: Asking, model: ScriptedUpstream) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.reply("a\nb\u2028c", reason="length")

    model.script = script
    ended = await asked("--json", "Hi")

    told = [json.loads(line) for line in ended.output.split("\n")[:-1]]
    assert "".join(event.get("content", "") for event in told) == "a\nb\u2028c"
    assert told[-1] == {"type": "done", "state": "finished", "cause": "length"}
    assert "\u2028" not in ended.output
    assert (ended.status, ended.errors) == (0, "The reply was cut at the model's length limit.\n")


async def test_a_conversation_goes_on_with_its_key(
    shell: dict[str, str], asked: Asking, tmp_path: Path, model: ScriptedUpstream, key: str
) -> None:
    terminal, other_end = os.openpty()
    try:
        process = await begin({**shell, "RILL_KEY": key}, tmp_path, "ask", "Hi", stdin=DEVNULL, stderr=other_end)
        first = await end(process)
        hint = os.read(terminal, 1000).decode()
    finally:
        os.close(terminal)
        os.close(other_end)
    found = re.search(r"To go on: rill ask --conversation ([\w-]{22}) \"\.\.\.\"", hint)
    assert found, hint

    second = await asked("--conversation", found[1], "--key", f"{key}\n", "And?")

    assert first == Ended(0, "You said: Hi\n", "")
    assert second == Ended(0, "You said: And?\n", "")
    assert [message["content"] for message in model.exchanges[1].body["messages"]] == ["Hi", "You said: Hi", "And?"]
    assert (await asked("--conversation", found[1], "And?")).status == 2


async def test_the_model_can_be_chosen(asked: Asking, model: ScriptedUpstream) -> None:
    assert (await asked("--model", "scripted-2", "Hi")).status == 0
    assert model.exchanges[0].body["model"] == "scripted-2"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("x" * 201,), "The message has 201 characters; at most 200 can be sent. Shorten it or send it in parts."),
        (("--model", "none", "Hi"), "This model cannot be chosen here. Choose another one and send the message again."),
        (("--assistant", "none", "Hi"), "There is no such assistant here."),
        (("--key", "rill_x", "Hi"), UNKNOWN["message"]),
        (("--key", "{key}", "--conversation", "no?where", "Hi"), "There is no such conversation in this browser."),
    ],
)  # fmt: skip
async def test_what_the_server_refuses_is_said(
    asked: Asking, model: ScriptedUpstream, key: str, arguments: tuple[str, ...], sentence: str
) -> None:
    arguments = tuple(argument.replace("{key}", key) for argument in arguments)

    assert await asked(*arguments) == Ended(1, "", sentence + "\n")
    as_lines = await asked("--json", *arguments)

    assert (as_lines.status, json.loads(as_lines.output)["message"], as_lines.errors) == (1, sentence, sentence + "\n")
    assert model.exchanges == []


async def test_a_reply_that_fails_midway_is_written_so_far(asked: Asking, model: ScriptedUpstream) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.chunk("So far")

    model.script = script

    sentence = "The connection to the model broke before the reply was whole. Try again.\n"
    assert await asked("Hi") == Ended(1, "So far\n", sentence)


async def test_ctrl_c_stops_the_reply_at_the_model(
    shell: dict[str, str], tmp_path: Path, model: ScriptedUpstream
) -> None:
    gated = Gated(model, "One ", "two")
    process = await begin(shell, tmp_path, "ask", "Count", stdin=DEVNULL)
    assert process.stdout is not None
    gated.let()
    await process.stdout.readexactly(4)

    process.send_signal(signal.SIGINT)

    assert await end(process) == Ended(130, "\n", "")
    async with asyncio.timeout(10):
        await model.exchanges[0].was_closed.wait()


async def test_a_reply_that_is_stopped_elsewhere_is_not_whole(
    rill: RillServer, shell: dict[str, str], tmp_path: Path, model: ScriptedUpstream, key: str
) -> None:
    async with new_reader(rill, Authorization=f"Bearer {key}") as reader:
        path = (await ask(reader)).path
        gated = Gated(model, "One ", "two")
        arguments = ("ask", "--conversation", path.rpartition("/")[2], "Count")
        process = await begin({**shell, "RILL_KEY": key}, tmp_path, *arguments, stdin=DEVNULL)
        assert process.stdout is not None
        gated.let()
        await process.stdout.readexactly(4)
        await reader.delete(f"{path}/turn")

    assert await end(process) == Ended(1, "\n", "The reply was stopped.\n")


@pytest.mark.parametrize("is_json", [False, True])
async def test_a_connection_that_breaks_loses_and_doubles_nothing(
    rill: RillServer, shell: dict[str, str], tmp_path: Path, model: ScriptedUpstream, is_json: bool
) -> None:
    gated = Gated(model, "One 🐙 ", "two ", "three ", "four")
    arguments = ("ask", "--json", "Count") if is_json else ("ask", "Count")
    async with network(rill.url) as between:
        process = await begin({**shell, "RILL_URL": between.url}, tmp_path, *arguments, stdin=DEVNULL)
        assert process.stdout is not None
        gated.let()
        came = await process.stdout.readuntil("🐙 ".encode())
        between.cut()
        gated.let(2)
        came += await process.stdout.readuntil(b"three ")
        between.cut()
        gated.let_all()
        ended = await end(process)

    whole = came.decode() + ended.output
    if is_json:
        events = [json.loads(line) for line in whole.splitlines()]
        assert events[-1]["type"] == "done"
        whole = "".join(event.get("content", "") for event in events) + "\n"
    assert whole == "One 🐙 two three four\n"
    assert (ended.status, ended.errors) == (0, "")
    assert len(model.exchanges) == 1


async def test_a_server_that_dies_is_asked_again_once_it_is_back(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    gated = Gated(upstream, "One ", "two")
    async with rill_server(tmp_path, OPENAI_BASE_URL=upstream.base_url) as server:
        shell = {"PATH": os.environ["PATH"], "RILL_URL": server.url}
        process = await begin(shell, tmp_path, "ask", "Count", stdin=DEVNULL)
        assert process.stdout is not None
        gated.let()
        await process.stdout.readexactly(4)
        await server.restart(signal.SIGKILL)

        ended = await end(process)

    assert ended == Ended(1, "\n", "The server stopped while this was being written. What was written is kept.\n")
    assert len(upstream.exchanges) == 1


async def test_a_connection_that_cannot_be_made_again_says_how_much_came(
    rill: RillServer, model: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "WAITS_SECONDS", (0.01, 0.01))
    gated = Gated(model, "One 🐙", "two")
    came: list[str] = []

    def follow(url: str) -> None:
        with Question(url, "", {"prompt": "Count"}) as question:
            for event in question.events():
                came.append(event.text)

    async with network(rill.url) as between:
        following = asyncio.create_task(asyncio.to_thread(follow, between.url))
        gated.let()
        await until(lambda: came, "the first chunk")
    with pytest.raises(BrokenOff) as broken:
        await following

    assert (came, broken.value.told_chars) == (["One 🐙"], 5)


async def test_a_proxy_that_says_that_the_server_is_away_is_asked_again() -> None:
    chunk, end = '{"type": "chunk", "content": "%s"}\n', '{"type": "done", "state": "finished", "cause": null}\n'
    answers = [
        (200, "Content-Length: 999\r\n", chunk % "One "),
        (502, "", "Bad gateway"),
        (503, "", "{}"),
        (200, "", chunk % "One two" + end),
    ]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        status, headers, body = answers.pop(0)
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/x-ndjson\r\n{headers}Connection: close\r\n\r\n"
        writer.write((head + body).encode())
        await writer.drain()
        writer.close()

    def follow(url: str) -> list[str]:
        with Question(url, "", {"prompt": "Count"}) as question:
            return [event.text for event in question.events()]

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        told = await asyncio.to_thread(follow, f"http://127.0.0.1:{port}")

    assert told == ["One ", "two", ""]
    assert answers == []


async def test_who_cannot_be_reached_or_is_no_rill_is_said(asked: Asking, model: ScriptedUpstream) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.json(200, {"type": "chunk"})

    model.script = script
    nobody = await asked("--url", "http://127.0.0.1:1", "Hi")
    stranger = await asked("--url", model.base_url, "Hi")

    assert (nobody.status, nobody.output) == (1, "")
    assert nobody.errors.startswith("The server at http://127.0.0.1:1 cannot be reached (")
    assert stranger == Ended(1, "", f"What answers at {model.base_url} is no Rill: it answered with status 200.\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "There is no prompt"),
        (("  ",), "There is no prompt"),
        (("-",), "There is no prompt"),
        (("--url", "chat.example", "Hi"), "chat.example is no address of a Rill"),
        (("--url", "http://[::", "Hi"), "is no address of a Rill"),
        (("--url", "http://a:99999", "Hi"), "is no address of a Rill"),
        (("--key", "clé", "Hi"), "This is no key"),
        (("--conversation", "x", "Hi"), "with its own key alone"),
        (("--key", "x", "--conversation", "x", "--assistant", "y", "Hi"), "for a new conversation only"),
        (("--loud", "Hi"), "No such option"),
    ],
)
async def test_what_makes_no_sense_is_a_usage_error(
    asked: Asking, model: ScriptedUpstream, arguments: tuple[str, ...], said: str
) -> None:
    ended = await asked(*arguments)

    assert (ended.status, ended.output) == (2, "")
    assert said in ended.errors
    assert model.exchanges == []


async def test_asking_makes_no_files(asked: Asking, tmp_path: Path, reader: httpx.AsyncClient) -> None:
    assert (await asked("Hi", RILL_DATA_DIR=str(tmp_path / "data"), HOME=str(tmp_path))).status == 0
    assert os.listdir(tmp_path) == []
