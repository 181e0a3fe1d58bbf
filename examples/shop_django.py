"""A shop in Django on a site of its own: its pages have a chat in a frame that goes on where the visitor left it.

The chat runs elsewhere: `rill embed add support --origin http://127.0.0.1:8001` there. Run the shop with
`CHAT_URL=http://localhost:8000 uvicorn examples.shop_django:app --port 8001`.
"""

from __future__ import annotations

import os
import secrets
from html import escape
from urllib.parse import quote

import httpx2
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

CHAT_URL = os.environ["CHAT_URL"]
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>The shop</title></head><body><h1>The shop</h1>
<iframe src="{chat}" title="Ask us" width="380" height="560"></iframe>
</body></html>"""

settings.configure(
    SECRET_KEY=secrets.token_hex(),
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    USE_TZ=True,
)
app = get_asgi_application()


def shop(request: HttpRequest) -> HttpResponse:
    """Show a page of the shop's. The visit that this visitor has in the chat is kept in the shop's own session."""
    request.session["visit"] = visit(request.session.get("visit", ""))
    page = HttpResponse(PAGE.format(chat=escape(f"{CHAT_URL}/embed/support?visit={quote(request.session['visit'])}")))
    page["Content-Security-Policy"] = f"default-src 'none'; frame-src {CHAT_URL}"
    return page


def visit(last: str) -> str:
    """Have the chat begin a visit, or go on with the last one if that has not ended."""
    headers = {"Accept": "application/json"}
    answer = httpx2.get(f"{CHAT_URL}/embed/support", params={"visit": last}, headers=headers, timeout=10)
    return answer.raise_for_status().json()["visit"]


urlpatterns = [path("", shop)]
