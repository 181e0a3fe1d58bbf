"""A shop in FastAPI on a site of its own: its pages have a chat in them that knows which customer is there.

The chat runs elsewhere: `rill embed add support --origin http://127.0.0.1:8001` there prints the secret of the embed.
Run the shop with `CHAT_URL=http://localhost:8000 CHAT_SECRET=... uvicorn examples.shop_fastapi:app --port 8001`, and
sign in at /login/ada.
"""

from __future__ import annotations

import os
import secrets
import time
from html import escape
from pathlib import Path

import jwt
from fastapi import FastAPI
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse
from starlette.staticfiles import StaticFiles

CHAT_URL, SECRET = os.environ["CHAT_URL"], os.environ["CHAT_SECRET"]
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>The shop</title>
<meta name="htmx-config" content='{{"mode": "cors"}}'>
<script src="/js/htmx.min.js"></script><script src="/js/hx-ws.min.js"></script><script src="/js/hx-sse.min.js"></script>
</head><body><h1>The shop</h1><p>Hello, {customer}.</p>
<div hx-get="{chat}" hx-trigger="load"></div>
</body></html>"""

app = FastAPI()
app.add_middleware(SessionMiddleware, secret_key=secrets.token_hex())
app.mount("/js", StaticFiles(directory=Path(__file__).parent.parent / "static" / "vendor"))


@app.get("/")
async def shop(request: Request) -> HTMLResponse:
    """Show a page of the shop's. Whoever is signed in is introduced to the chat, for the next five minutes."""
    customer, now = request.session.get("customer"), int(time.time())
    claims = {"sub": customer, "name": customer, "aud": "support", "iat": now, "exp": now + 300}
    query = f"?visitor={jwt.encode(claims, SECRET, 'HS256')}" if customer else ""
    return HTMLResponse(PAGE.format(customer=escape(customer or "stranger"), chat=f"{CHAT_URL}/embed/support{query}"))


@app.get("/login/{customer}")
async def login(request: Request, customer: str) -> RedirectResponse:
    """Sign anybody in as whoever they say, which a shop of your own does better."""
    request.session["customer"] = customer
    return RedirectResponse("/", 303)
