"""Two chats in one app, each with its own answers, readers and conversations.

Run it with `uvicorn examples.two_chats:app`, and open /sales/ and /support/.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.applications import Starlette
from starlette.routing import Mount

from webapp import create_app
from webapp.settings import read


async def sell(messages: list[dict[str, str]]) -> AsyncIterator[str]:
    """Answer in one of them."""
    yield "Buy two."


async def support(messages: list[dict[str, str]]) -> AsyncIterator[str]:
    """Answer in the other."""
    yield "Turn it off and on again."


folder = Path(os.environ.get("RILL_DATA_DIR", "data"))
shared = {**os.environ, "RILL_DISCOVER_MODELS": "false"}
app = Starlette(
    routes=[
        Mount("/sales", create_app(sell, settings=read({**shared, "RILL_DATA_DIR": str(folder / "sales")}))),
        Mount("/support", create_app(support, settings=read({**shared, "RILL_DATA_DIR": str(folder / "support")}))),
    ]
)
