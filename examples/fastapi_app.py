"""A FastAPI app with a chat for its own users.

Run it with `uvicorn examples.fastapi_app:app`, sign in at /login/ada, and open /assistant/; or /, a page of the app's
own that has the chat in it.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

from fastapi import FastAPI
from jinja2 import ChoiceLoader, DictLoader, Environment
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, RedirectResponse

from webapp import create_app, host_templates


async def reply(messages: list[dict[str, str]]) -> AsyncIterator[str]:
    """Answer instead of a model; leave it out, and the model in the settings does."""
    yield f"You said: {messages[-1]['content']}"


def signed_in(connection: HTTPConnection) -> str | None:
    """Tell Rill who is there, as this app knows it."""
    return connection.session.get("user")


PAGE = """<!doctype html><html lang="en"><head><title>The shop</title>{% include "rill/head.html" %}</head>
<body><h1>The shop</h1><p>Ask us:</p>{% include "rill/chat.html" %}</body></html>"""
pages = Environment(
    loader=ChoiceLoader([DictLoader({"shop.html": PAGE}), host_templates("/assistant")]), autoescape=True
)
app = FastAPI()
app.add_middleware(SessionMiddleware, secret_key=secrets.token_hex())
app.mount("/assistant", create_app(reply, reader=signed_in))


@app.get("/")
async def shop() -> HTMLResponse:
    """Show a page that has the chat in it."""
    return HTMLResponse(pages.get_template("shop.html").render())


@app.get("/login/{user}")
async def login(request: Request, user: str) -> RedirectResponse:
    """Sign anybody in as whoever they say, which an app of your own does better."""
    request.session["user"] = user
    return RedirectResponse("/assistant/", 303)
