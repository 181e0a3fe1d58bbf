"""Rill: streaming AI chat that is just HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from webapp.app import create_app
    from webapp.hosting import host_templates

__all__ = ["create_app", "host_templates"]


def __getattr__(name: str) -> object:
    # The embedded model's child process imports this package too, and must not load the whole app for it.
    if name == "create_app":
        from webapp.app import create_app

        return create_app
    if name == "host_templates":
        from webapp.hosting import host_templates

        return host_templates
    raise AttributeError(f"module 'webapp' has no attribute {name!r}")
