"""`webapp.testing`: what it promises to the tests of other projects."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from tests.fakes import ROOT
from webapp import errors
from webapp.domain import ReasoningChunk
from webapp.providers import ChatMessage
from webapp.testing import Gate, Refused, chat
from webapp.testing import readers as readers_module


async def test_a_scripted_reply_is_read_as_text_and_as_html() -> None:
    async with chat("Hello ", "**wor", "ld**") as reader:
        reply = await reader.ask("Hi")

    assert (reply.text, reply.state, reply.why) == ("Hello world", "finished", "")
    assert reply.dom.select("p > strong")[0].text == "world"


async def test_a_conversation_goes_on_and_is_the_readers_own() -> None:
    async with chat("Yes") as reader:
        first = await reader.ask("One?")
        path = reader.path
        second = await reader.ask("Two?")

        assert (first.text, second.text) == ("Yes", "Yes")
        assert reader.path == path
        assert [said.text.strip() for said in reader.page.document.select("article.prompt .text")] == ["One?", "Two?"]
        await reader.open()
        await reader.ask("Three?")
        assert reader.path != path
        assert first.text == "Yes"
        async with httpx2.AsyncClient(base_url=reader.http.base_url, trust_env=False) as stranger:
            assert (await stranger.get(path)).status_code == 404


async def test_replies_come_in_turn_and_one_too_many_fails() -> None:
    async with chat(["One"], ["Tw", "o"]) as reader:
        replies = [await reader.ask("Next") for _ in range(3)]

    assert [(reply.text, reply.state) for reply in replies] == [
        ("One", "finished"),
        ("Two", "finished"),
        ("", "failed"),
    ]


async def test_a_function_is_given_the_conversation() -> None:
    def count(messages: list[ChatMessage]) -> str:
        return f"{len(messages)}: {messages[-1]['content']}"

    async def stream(messages: list[ChatMessage]) -> AsyncIterator[str]:
        yield "streamed "
        yield str(messages[0]["content"])

    class Echo:
        async def __call__(self, messages: list[ChatMessage]) -> AsyncIterator[str]:
            yield "echo"

    async with chat(count) as reader:
        assert [(await reader.ask(word)).text for word in ("a", "b")] == ["1: a", "3: b"]
    async with chat(stream) as reader:
        assert (await reader.ask("c")).text == "streamed c"
    async with chat(Echo()) as reader:
        assert (await reader.ask("d")).text == "echo"
    async with chat(lambda messages: ["in ", "pieces"]) as reader:
        assert (await reader.ask("e")).text == "in pieces"


async def test_a_reply_that_fails_keeps_what_was_written_and_says_why() -> None:
    async with chat(["So ", "far", RuntimeError("secret")], ["Once", errors.TooManyRequests()]) as reader:
        first, second = await reader.ask("Hi"), await reader.ask("Hi")

    assert (first.text, first.state) == ("So far", "failed")
    assert first.why == errors.FunctionFailed.sentence
    assert (second.text, second.why) == ("Once", errors.TooManyRequests.sentence)


async def test_what_the_model_thinks_is_no_part_of_the_text() -> None:
    async with chat(ReasoningChunk("Hmm"), "Yes") as reader:
        reply = await reader.ask("Hi")

    assert reply.text == "Yes"
    assert "Hmm" in reply.article.text


async def test_a_reply_waits_at_a_gate_until_it_is_opened() -> None:
    gate = Gate()
    async with chat("One ", gate, "two") as reader:
        reply = await reader.begin("Count")
        await gate.reached()
        await reply.has_text("One")
        assert (reply.text, reply.state) == ("One", "running")
        gate.open()
        await reply.has_ended()

    assert (reply.text, reply.state) == ("One two", "finished")


async def test_a_reply_that_never_ends_can_be_stopped() -> None:
    async with chat("One ", Gate()) as reader:
        reply = await reader.begin("Count")
        await reply.has_text("One")
        await reader.stop()
        await reply.has_ended()

    assert (reply.text, reply.state, reply.why) == ("One", "stopped", "Stopped.")


async def test_a_reply_that_never_ends_keeps_no_test_from_ending() -> None:
    async with asyncio.timeout(5), chat("One ", Gate()) as reader:
        reply = await reader.begin("Count")
        await reply.has_text("One")


async def test_a_reader_who_was_offline_loses_and_doubles_nothing() -> None:
    first, second, third = Gate(), Gate(), Gate()
    async with chat("One ", first, "two ", second, "three ", third, "four") as reader:
        reply = await reader.begin("Count")
        await reply.has_text("One")
        async with reader.offline():
            first.open()
            await second.reached()
            assert reply.text == "One"
        await reply.has_text("two")
        assert reply.text == "One two"
        async with reader.offline():
            second.open()
            third.open()
            await asyncio.sleep(0)
        await reply.has_ended()

        assert reply.text == "One two three four"
        assert (await reader.ask("Again")).state == "finished"
        assert len(reader.page.replies) == 2


async def test_ctrl_c_stays_with_whoever_runs_the_tests() -> None:
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    async with chat("Yes"):
        assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before


async def test_a_reply_is_that_of_its_prompt_however_late_it_comes() -> None:
    async with chat(["One"], ["Two"]) as reader:
        first = await reader.ask("Hi")
        async with reader.offline():
            asked = asyncio.create_task(reader.ask("And?"))
            await asyncio.wait([asked], timeout=0.5)  # Nothing tells that something does not come.
            assert not asked.done()
        second = await asked

    assert (first.text, second.text) == ("One", "Two")


async def test_what_the_chat_refuses_is_raised_with_its_sentence() -> None:
    async with chat("Yes", rill_max_prompt_chars=3) as reader:
        with pytest.raises(Refused) as refused:
            await reader.ask("Four")
        assert (await reader.ask("Hi!")).text == "Yes"

    assert (refused.value.status, refused.value.cause) == (413, "prompt_too_long")
    assert refused.value.sentence.startswith("The message has 4 characters; at most 3 can be sent.")


async def test_several_chats_know_nothing_of_one_another() -> None:
    async with chat("One", rill_name="First") as one, chat("Two") as two:
        replies = await asyncio.gather(one.ask("Hi"), two.ask("Hi"))

        assert [reply.text for reply in replies] == ["One", "Two"]
        assert one.http.base_url != two.http.base_url
        assert "First" in one.page.document.select("title")[0].text


async def test_what_does_not_come_is_said_with_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers_module, "PATIENCE_SECONDS", 0.2)
    async with chat("One ", Gate()) as reader:
        reply = await reader.begin("Count")
        await reply.has_text("One")
        with pytest.raises(AssertionError, match=r"waited 0.2 s for the end of the reply; there is 'One"):
            await reply.has_ended()


async def test_a_feed_that_fails_fails_the_test_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat("One ", Gate()) as reader:
        reply = await reader.begin("Count")
        await reply.has_text("One")
        async with reader.offline():
            reader.http.cookies.clear()
        with pytest.raises(httpx2.HTTPStatusError, match="404"):
            await reply.has_ended()


@pytest.mark.parametrize("script", [(), ("One", ["Two"]), (1,), (str.upper, "One"), (None,)])
async def test_what_is_no_script_is_refused(script: tuple[object, ...]) -> None:
    with pytest.raises(TypeError, match="a chat replies with"):
        async with chat(*script):  # type: ignore[arg-type]
            pass


async def test_an_app_that_cannot_start_says_why() -> None:
    with pytest.raises(errors.SettingsInvalid, match="no folder"):
        async with chat("One", rill_templates=Path("/nowhere")):
            pass


async def test_nothing_is_read_and_nothing_is_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RILL_PROT", "1")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.chdir(tmp_path)
    before = asyncio.all_tasks()
    async with chat("One") as reader:
        await reader.ask("Hi")

    assert os.listdir(tmp_path) == []
    left = [task for task in asyncio.all_tasks() - before if "_shutdown_watcher" not in repr(task)]
    assert left == []


def test_five_lines_are_a_test_without_any_test_framework(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(
        "import asyncio\n"
        "from webapp.testing import chat\n"
        "async def test_it() -> None:\n"
        "    async with chat('Hello ', 'world') as reader:\n"
        "        reply = await reader.ask('Hi')\n"
        "        assert reply.text == 'Hello world'\n"
        "        assert reply.dom.select('p')[0].text == 'Hello world'\n"
        "asyncio.run(test_it())\n"
        "import sys; assert 'pytest' not in sys.modules\n"
    )
    ended = subprocess.run(
        [sys.executable, "-W", "error", "main.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (0, "")
