"""A Django project in one file, with a chat for its own users beside its pages.

Run it with `uvicorn examples.django_app:app`, sign in at /login/ada, and open /assistant/.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

from django.conf import settings
from django.contrib.sessions.backends.signed_cookies import SessionStore
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.routing import Mount

from webapp import create_app

settings.configure(
    SECRET_KEY=secrets.token_hex(),
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    USE_TZ=True,
)
django = get_asgi_application()


async def reply(messages: list[dict[str, str]]) -> AsyncIterator[str]:
    """Answer instead of a model; leave it out, and the model in the settings does."""
    yield f"You said: {messages[-1]['content']}"


def signed_in(connection: HTTPConnection) -> str | None:
    """Tell Rill who is there, by the session that Django keeps."""
    return SessionStore(connection.cookies.get(settings.SESSION_COOKIE_NAME)).get("user")


def index(request: HttpRequest) -> HttpResponse:
    """Show the chat in a page of the project's own."""
    return HttpResponse('<!doctype html><title>Project</title><h1>Project</h1><iframe src="/assistant/"></iframe>')


def login(request: HttpRequest, user: str) -> HttpResponse:
    """Sign anybody in as whoever they say, which a project of your own does better."""
    request.session["user"] = user
    return HttpResponseRedirect("/")


urlpatterns = [path("", index), path("login/<user>", login)]
app = Starlette(routes=[Mount("/assistant", create_app(reply, reader=signed_in)), Mount("/", django)])
