"""Files of others that are served from here: exactly those, and exactly as they were published."""

from __future__ import annotations

import hashlib
import re

import pytest

from tests.fakes import ROOT
from webapp.assets import SCRIPTS

VENDOR = ROOT / "static" / "vendor"
ROW = re.compile(r"^\| `([^`]+)` \| `([^`]+)` \| ([\d.]+) \| `([0-9a-f]{64})` \|$", re.M)
TABLE = ROW.findall((VENDOR / "README.md").read_text())


@pytest.mark.parametrize(("name", "package", "version", "digest"), TABLE)
def test_a_vendored_file_is_the_published_one(name: str, package: str, version: str, digest: str) -> None:
    assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest
    assert (package, version) == ("htmx.org", "4.0.1")


def test_every_vendored_script_is_in_the_table_and_served() -> None:
    named = {name for name, _, _, _ in TABLE}

    assert named == {path.name for path in VENDOR.glob("*.js")}
    assert named == set(SCRIPTS)


def test_the_licence_is_beside_the_scripts() -> None:
    assert (VENDOR / "LICENSE.htmx").read_text().startswith("Zero-Clause BSD")


def test_no_script_of_our_own_is_served() -> None:
    assert [path for path in (ROOT / "static").rglob("*.js") if path.parent != VENDOR] == []
