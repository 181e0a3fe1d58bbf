"""What docs/programs.md shows, run as it is printed there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.commands import make_key
from tests.fakes import ROOT, RillServer
from tests.integration.test_readme import run

PAGE = (ROOT / "docs/programs.md").read_text()


def block(language: str, containing: str) -> str:
    blocks = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return next(found for found in blocks if containing in found)


async def test_the_curl_examples_work_as_printed(server: RillServer, tmp_path: Path) -> None:
    key = await make_key(server, tmp_path, "robot")
    asked = [line for line in block("sh", "request_id").splitlines() if not line.startswith("{")]
    # A feed has no end by itself; curl says so with the status that stands for a time-out.
    followed = block("sh", "Last-Event-ID").replace('"$CHAT/stream"', '"$CHAT/stream" || [ $? = 28 ]')
    script = "\n".join([f"RILL_KEY={key}", *asked, "echo ---", followed]).replace("--max-time 3", "--max-time 1")

    output = await run(script.replace("http://127.0.0.1:8000", server.url), tmp_path)

    lines, feeds = output.split("---\n")
    told = [json.loads(line) for line in lines.splitlines()]
    assert "".join(event.get("content", "") for event in told) == "You said: Say hello."
    assert told[-1] == {"type": "done", "state": "finished", "cause": None}
    assert feeds.count(": connected") == 2
    assert "Say hello." in feeds


async def test_the_five_lines_of_a_test_work_as_printed() -> None:
    names: dict[str, Any] = {}
    exec(block("python", "webapp.testing"), names)

    await names["test_it"]()
