"""Files are read a few at a time, and a process that takes too long or too much is ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes import until
from tests.files import image
from webapp.attachments import reading
from webapp.attachments.reading import read_image
from webapp.errors import AttachmentRefused


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], int]:
    """Put a program in the child's place."""
    monkeypatch.setattr(reading, "_SCRIPT", tmp_path / "child.py")
    monkeypatch.setattr(reading, "_slots", asyncio.Semaphore(reading.AT_ONCE))
    return (tmp_path / "child.py").write_text


async def test_one_that_takes_too_long_is_ended(child: Callable[[str], int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "SECONDS", 0.2)
    child("import time; time.sleep(600)")

    with pytest.raises(AttachmentRefused, match="takes too long"):
        await read_image("x.png", image())


async def test_one_that_breaks_down_is_the_files_fault(child: Callable[[str], int]) -> None:
    child("raise MemoryError")

    with pytest.raises(AttachmentRefused, match="cannot be read"):
        await read_image("x.png", image())


async def test_only_so_many_wait(child: Callable[[str], int]) -> None:
    child("import time; time.sleep(600)")
    reads = [asyncio.create_task(read_image("x.png", b"x")) for _ in range(reading.AT_ONCE + reading.MOST_WAITING)]
    await until(lambda: reading._waiting == reading.MOST_WAITING, "all others wait")

    with pytest.raises(AttachmentRefused, match="again in a moment"):
        await read_image("one more.png", b"x")

    for read in reads:
        read.cancel()
    await asyncio.gather(*reads, return_exceptions=True)
    assert reading._waiting == 0


async def test_the_child_has_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MEMORY_BYTES", 60_000_000)

    with pytest.raises(AttachmentRefused):
        await read_image("large.png", image(6_000, 6_000))


async def test_the_child_knows_no_secrets(child: Callable[[str], int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a secret")
    child("""
import json, os, sys
sys.stdin.read()
print(json.dumps({"width": 1, "height": 1}))
print(sorted(os.environ))
""")

    known, _width, _height = await read_image("x.png", b"x")

    assert known.startswith(b"[")
    assert b"OPENAI_API_KEY" not in known


async def test_a_child_that_was_taken_over_says_nothing_of_its_own(child: Callable[[str], int]) -> None:
    child("import json, sys; sys.stdin.read(); print(json.dumps({'refused': '%(secret)s'}))")

    with pytest.raises(AttachmentRefused) as refused:
        await read_image("x.png", b"x")

    assert refused.value.sentence == "“x.png” cannot be read."
