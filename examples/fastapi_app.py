"""A FastAPI app with a chat for its own users.

Run it with `uvicorn examples.fastapi_app:app`, sign in at /login/ada, and open /assistant/.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

from fastapi import FastAPI
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse

from webapp import create_app


async def reply(messages: list[dict[str, str]]) -> AsyncIterator[str]:
    """Answer instead of a model; leave it out, and the model in the settings does."""
    yield f"You said: {messages[-1]['content']}"


def signed_in(connection: HTTPConnection) -> str | None:
    """Tell Rill who is there, as this app knows it."""
    return connection.session.get("user")


app = FastAPI()
app.add_middleware(SessionMiddleware, secret_key=secrets.token_hex())
app.mount("/assistant", create_app(reply, reader=signed_in))


@app.get("/login/{user}")
async def login(request: Request, user: str) -> RedirectResponse:
    """Sign anybody in as whoever they say, which an app of your own does better."""
    request.session["user"] = user
    return RedirectResponse("/assistant/", 303)
