"""Where the templates and static files are: inside the package when installed, beside it in a checkout."""

from __future__ import annotations

from pathlib import Path


def _folder(name: str) -> Path:
    package = Path(__file__).parent
    return package / name if (package / name).is_dir() else package.parent / name


TEMPLATES, STATIC = _folder("templates"), _folder("static")
