"""Code is highlighted by processes that nothing can keep: not a hostile source, not a caller, not a dead parent."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.fakes import ROOT, until
from webapp.markdown import worker as worker_module
from webapp.markdown.code import highlight
from webapp.markdown.workers import Workers

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are ended by signals here")

SOURCE = "import x  # y\n"
HTML = highlight(SOURCE, "python")

HOSTILE = {
    "java": "a " * 10_000,
    "csharp": "a\n" * 10_000,
    "makefile": "a" * 20_000,
    "groovy": "a\n" * 10_000,
    "typescript": "a.b." * 5_000,
    "pycon": '>>> 1 / 0\nTraceback (most recent call last):\n  File "<stdin>", line 1, \n',
}
"""Sources that these lexers of Pygments 2.21 need many seconds for, or, the last one, for ever."""

PARENT = """
import asyncio, sys
from webapp.markdown.workers import Workers

async def main():
    workers = Workers(cpu_seconds=float(sys.argv[1]))
    await workers.highlight("import x", "python")
    task = asyncio.create_task(workers.highlight("a " * 10_000, "java")) if sys.argv[2] == "busy" else None
    print(*workers.pids, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def has_ended(pid: int) -> bool:
    """Tell whether a process is no more; nobody waits for an orphan's return code in some containers."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def busy(workers: Workers, language: str = "java") -> tuple[asyncio.Task[str | None], int]:
    """Give a worker something that it does not finish; wait until it is at it."""
    before = {*workers.pids}
    task = asyncio.create_task(workers.highlight(HOSTILE[language], language))
    await until(lambda: {*workers.pids} - before, "another worker")
    (pid,) = {*workers.pids} - before
    # A start takes a tenth of a second.
    await until(lambda: psutil.Process(pid).cpu_times().user > 0.5, "a busy worker")
    return task, pid


def result_at_once(coroutine: Coroutine[Any, Any, str | None]) -> str | None:
    """Run a coroutine that must not wait for anything."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: str | None = stop.value
        return result
    coroutine.close()
    raise AssertionError("it waits")


async def test_one_worker_highlights_one_source_after_the_other() -> None:
    async with Workers() as workers:
        assert workers.pids == []
        assert await workers.highlight(SOURCE, "python") == HTML
        (pid,) = workers.pids
        source = "s = '\ud800漢🙂\x00'  # <b>\r\n"

        assert await workers.highlight(source, "python") == highlight(source, "python")
        assert await workers.highlight("a" * 60_000, "python") == "a" * 60_000
        assert await workers.highlight("1+" * 5_000, "python") is None
        assert workers.pids == [pid]


async def test_several_workers_give_each_caller_its_own_html() -> None:
    sources = [f"x{number} = {number}  # {'long ' * (number % 7)}\n" for number in range(40)]
    async with Workers(processes=2, max_waiting=40) as workers:
        found = await asyncio.gather(*(workers.highlight(source, "python") for source in sources))

        assert found == [highlight(source, "python") for source in sources]
        assert len(workers.pids) == 2


async def test_what_nobody_would_highlight_starts_no_worker() -> None:
    async with Workers() as workers:
        for source, language in (("x", "nosuch"), ("x", "text"), ("", "python"), ("x" * 70_000, "python")):
            assert result_at_once(workers.highlight(source, language)) is None
        assert workers.pids == []


@pytest.mark.parametrize("language", HOSTILE)
async def test_a_hostile_source_stays_plain_and_the_next_gets_a_new_worker(
    language: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with Workers(cpu_seconds=0.4) as workers:
        assert await workers.highlight(SOURCE, "python") == HTML
        (pid,) = workers.pids

        assert await workers.highlight(HOSTILE[language], language) is None
        assert await workers.highlight(SOURCE, "python") == HTML
        assert pid not in workers.pids
        await until(lambda: has_ended(pid), "the end of the slow worker")
        await until(lambda: "code_worker.ended" in caplog.text, "the log of it")

    assert f"code_worker.ended cause='ended' returncode={-signal.SIGPROF}" in caplog.text


async def test_time_is_counted_for_each_source_anew() -> None:
    source = "a = b + c(d, 'e')  # f\n" * 700
    async with Workers(cpu_seconds=0.4) as workers:
        assert await workers.highlight(source, "python") is not None
        (pid,) = workers.pids
        # Several times as much as one source may take.
        while psutil.Process(pid).cpu_times().user < 1.0:
            assert await workers.highlight(source, "python") is not None

        assert workers.pids == [pid]


async def test_a_worker_killed_in_the_middle_leaves_its_source_plain() -> None:
    async with Workers(cpu_seconds=60) as workers:
        task, pid = await busy(workers)

        os.kill(pid, signal.SIGKILL)

        assert await task is None
        assert await workers.highlight(SOURCE, "python") == HTML
        assert pid not in workers.pids


async def test_a_worker_killed_while_idle_is_replaced() -> None:
    async with Workers() as workers:
        await workers.highlight(SOURCE, "python")
        (pid,) = workers.pids

        os.kill(pid, signal.SIGKILL)
        await until(lambda: not psutil.pid_exists(pid), "its end")

        assert await workers.highlight(SOURCE, "python") == HTML
        assert pid not in workers.pids


async def test_a_worker_that_hangs_is_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with Workers(wall_seconds=0.3) as workers:
        await workers.highlight(SOURCE, "python")
        (pid,) = workers.pids
        os.kill(pid, signal.SIGSTOP)

        assert await workers.highlight(SOURCE, "python") is None
        await until(lambda: has_ended(pid), "its end")

    assert "cause='no answer in time'" in caplog.text


async def test_a_terminals_interrupt_does_not_end_a_worker() -> None:
    async with Workers() as workers:
        await workers.highlight(SOURCE, "python")
        (pid,) = workers.pids

        os.kill(pid, signal.SIGINT)

        assert await workers.highlight(SOURCE, "python") == HTML
        assert workers.pids == [pid]


async def test_a_cancelled_caller_takes_its_worker_along() -> None:
    async with Workers(cpu_seconds=60) as workers:
        task, pid = await busy(workers)

        task.cancel()

        with pytest.raises(asyncio.CancelledError):
            await task
        assert await workers.highlight(SOURCE, "python") == HTML
        assert pid not in workers.pids
        await until(lambda: has_ended(pid), "the end of its worker")


async def test_a_caller_may_be_cancelled_at_any_point() -> None:
    async with Workers() as workers:
        for steps in range(60):
            task = asyncio.create_task(workers.highlight(SOURCE, "python"))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                assert await task == HTML

            if steps % 10 == 0:
                assert await workers.highlight(SOURCE, "python") == HTML
    assert workers.pids == []


async def test_a_cancelled_waiter_makes_room_for_another() -> None:
    async with Workers(cpu_seconds=60, max_waiting=1) as workers:
        task, pid = await busy(workers)
        waiter = asyncio.create_task(workers.highlight(SOURCE, "python"))
        await asyncio.sleep(0)
        waiter.cancel()
        await asyncio.wait([waiter])
        another = asyncio.create_task(workers.highlight(SOURCE, "python"))
        await asyncio.sleep(0)

        os.kill(pid, signal.SIGKILL)

        assert await task is None
        assert await another == HTML


async def test_one_too_many_stays_plain_at_once() -> None:
    async with Workers(cpu_seconds=60, max_waiting=2) as workers:
        task, pid = await busy(workers)
        waiting = [asyncio.create_task(workers.highlight(SOURCE, "python")) for _ in range(2)]
        await asyncio.sleep(0)

        assert result_at_once(workers.highlight(SOURCE, "python")) is None
        os.kill(pid, signal.SIGKILL)
        assert await asyncio.gather(task, *waiting) == [None, HTML, HTML]
        assert await workers.highlight(SOURCE, "python") == HTML


async def test_a_free_worker_serves_also_where_nobody_may_wait() -> None:
    async with Workers(max_waiting=0) as workers:
        assert await workers.highlight(SOURCE, "python") == HTML


async def test_closing_ends_every_process() -> None:
    workers = Workers(processes=2, cpu_seconds=60)
    task, _ = await busy(workers)
    assert await workers.highlight(SOURCE, "python") == HTML
    pids = workers.pids
    assert len(pids) == 2

    await workers.aclose()

    assert await task is None
    assert [psutil.pid_exists(pid) for pid in pids] == [False, False]
    assert workers.pids == []
    assert await workers.highlight(SOURCE, "python") is None
    assert workers.pids == []
    await workers.aclose()


async def test_who_waits_when_all_is_closed_stays_plain() -> None:
    workers = Workers(cpu_seconds=60)
    task, _ = await busy(workers)
    waiting = [asyncio.create_task(workers.highlight(SOURCE, "python")) for _ in range(3)]
    await asyncio.sleep(0)

    await workers.aclose()

    assert await asyncio.gather(task, *waiting) == [None] * 4


async def test_a_worker_that_starts_while_all_is_closed_ends_too() -> None:
    before = {*psutil.Process().children()}
    for steps in range(0, 60, 3):
        workers = Workers()
        task = asyncio.create_task(workers.highlight(SOURCE, "python"))
        for _ in range(steps):
            await asyncio.sleep(0)

        await workers.aclose()

        assert await task in (None, HTML)
        assert workers.pids == []
    assert {*psutil.Process().children()} == before


async def test_closing_twice_at_a_time_ends() -> None:
    workers = Workers(processes=2, cpu_seconds=60)
    tasks = [(await busy(workers))[0], (await busy(workers, "csharp"))[0]]

    async with asyncio.timeout(20):
        await asyncio.gather(workers.aclose(), workers.aclose(), workers.aclose())

    assert await asyncio.gather(*tasks) == [None, None]


async def test_closing_may_be_cancelled_and_done_again() -> None:
    workers = Workers(processes=2, cpu_seconds=60)
    task, pid = await busy(workers)
    closing = asyncio.create_task(workers.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])

    async with asyncio.timeout(20):
        await workers.aclose()

    assert await task is None
    assert not psutil.pid_exists(pid)


@pytest.mark.parametrize("state", ["idle", "busy"])
async def test_a_worker_ends_with_its_parent(state: str) -> None:
    command = (sys.executable, "-c", PARENT, "2", state)
    parent = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    if state == "busy":
        await until(lambda: psutil.Process(pid).cpu_times().user > 0.5, "a busy worker")
    assert not has_ended(pid)

    parent.kill()
    await parent.communicate()

    await until(lambda: has_ended(pid), "the end of the orphan")


async def test_a_worker_that_does_not_start_is_not_tried_again_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(sys, "executable", str(tmp_path / "nothing"))
        missing, broken = Workers(), Workers(retry_seconds=0)
        patched.setattr(sys, "executable", "/bin/false")
        dead = Workers(retry_seconds=0)

    for workers in (missing, broken, dead):
        assert await workers.highlight(SOURCE, "python") is None
        assert await workers.highlight(SOURCE, "python") is None
        assert workers.pids == []
        await workers.aclose()
    assert caplog.text.count("code_worker.not_started cause='FileNotFoundError'") == 1 + 2
    assert caplog.text.count("code_worker.not_started cause='ended'") == 2


@pytest.mark.skipif(sys.platform != "linux", reason="an address space is bounded on Linux only")
async def test_a_worker_without_memory_leaves_its_source_plain() -> None:
    async with Workers(memory_bytes=16 * 1024 * 1024, retry_seconds=0) as workers:
        assert await workers.highlight(SOURCE, "python") is None


async def test_no_source_is_in_the_logs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    canary = "canary"
    async with Workers(cpu_seconds=0.4) as workers:
        await workers.highlight(f"{canary} = 1", "python")
        await workers.highlight(f"{canary} " * 9_000, "java")
        await workers.highlight(f"{canary} = 1", "python")

    assert "code_worker.ended" in caplog.text
    assert canary not in caplog.text


def worker(*sent: bytes) -> subprocess.CompletedProcess[bytes]:
    """Run a worker on an input that ends."""
    command = (sys.executable, "-P", str(Path(worker_module.__file__)), "5", str(512 * 1024 * 1024))
    return subprocess.run(command, input=b"".join(sent), capture_output=True, timeout=30, check=False)


def message(body: bytes) -> bytes:
    return len(body).to_bytes(worker_module.HEADER_BYTES, "big") + body


READY = message(b"true")


def test_a_worker_ends_at_the_end_of_its_input() -> None:
    ended = worker()

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, READY, b"")


def test_a_worker_answers_what_was_asked_before_the_end() -> None:
    ended = worker(message(b'{"source": "import x", "language": "python"}'))

    assert (ended.returncode, ended.stderr) == (0, b"")
    assert ended.stdout == READY + message(b'"<span class=k>import</span> x"')


@pytest.mark.parametrize(
    "cut", [b"\x00\x00", b"\x00\x00\x00\x09", b"\x00\x00\x00\x09{}x", message(b"{"), message(b"{}")]
)
def test_a_worker_answers_nothing_to_a_broken_message(cut: bytes) -> None:
    assert worker(cut).stdout == READY


def test_a_worker_loads_nothing_of_the_package() -> None:
    code = "import runpy, sys; runpy.run_path(sys.argv[1])['_load_highlight'](); print(*sys.modules)"
    command = (sys.executable, "-P", "-c", code, worker_module.__file__)
    modules = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.split()

    assert "pygments" in modules
    assert [name for name in modules if name.split(".")[0] in ("webapp", "starlette", "asyncio")] == []
