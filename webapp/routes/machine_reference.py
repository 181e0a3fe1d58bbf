"""The interfaces for programs as other programs read them: OpenAPI for requests, AsyncAPI for what streams."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse

from webapp.routes.asyncapi import asyncapi
from webapp.routes.openapi import openapi
from webapp.services import base, origin


async def show_openapi(request: Request) -> JSONResponse:
    """`GET /openapi.json`: this reference of requests, as OpenAPI 3.1."""
    return JSONResponse(openapi(request.app.routes, base(request)))


async def show_asyncapi(request: Request) -> JSONResponse:
    """`GET /asyncapi.json`: and of what streams, as AsyncAPI 3.0."""
    return JSONResponse(asyncapi(request.app.routes, origin(request), base(request)))
