"""What the README shows, run as it is printed there."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
from pathlib import Path

import httpx
import pytest

from tests.fakes import ROOT, RillServer, until

README = (ROOT / "README.md").read_text()


def block(language: str, containing: str) -> str:
    """Give the README's code block in a language that contains a text."""
    blocks = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return next(found for found in blocks if containing in found)


@pytest.fixture(autouse=True)
def _curl_is_there() -> None:
    assert shutil.which("curl"), "the README's examples need curl"


async def run(script: str, folder: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euc", script), cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return output.decode()


async def test_the_curl_examples_work_as_printed(server: RillServer, tmp_path: Path) -> None:
    printed = block("sh", "rill.cookies")
    script = "\n".join(line for line in printed.splitlines() if not line.startswith("{"))
    # The feed has no end by itself; curl says so when its time is up, with the status that stands for a time-out.
    script = script.replace('"$CHAT/stream"', '"$CHAT/stream" || [ $? = 28 ]').replace("--max-time 3", "--max-time 1")

    output = await run(script.replace("http://127.0.0.1:8000", server.url), tmp_path)

    lines = output.splitlines()
    assert lines[:3] == [
        '{"type": "chunk", "content": "You said: "}',
        '{"type": "chunk", "content": "Say hello."}',
        '{"type": "done", "state": "finished", "cause": null}',
    ] or lines[:2] == [
        '{"type": "chunk", "content": "You said: Say hello."}',
        '{"type": "done", "state": "finished", "cause": null}',
    ]
    assert '"And in French?"' in output or "And in French?" in output
    assert "event: done" in output
    assert '<hx-partial id="rill-live"' in output


async def test_the_three_line_app_serves_the_whole_product(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(block("python", "create_app(reply=reply)"))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "uvicorn", "main:app", "--port", "0"),
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "RILL_DATA_DIR": str(tmp_path / "data"), "PATH": "/usr/bin:/bin"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output = ""

    async def read() -> None:
        nonlocal output
        while process.stdout is not None and (line := await process.stdout.readline()):
            output += line.decode()

    reading = asyncio.create_task(read())
    try:
        await until(lambda: "running on" in output or process.returncode is not None, "uvicorn")
        found = re.search(r"running on (\S+)", output)
        assert found, output
        async with httpx.AsyncClient(base_url=found[1]) as client:
            answer = await client.post("/messages?format=json", data={"prompt": "good morning"})

            page = await client.get(answer.headers["location"])

        assert [line for line in answer.text.splitlines() if '"done"' in line]
        assert "You said: good morning" in page.text
    finally:
        process.terminate()
        await process.wait()
        await reading
