"""Get a Chromium for the browser tests: the one that is there, or Playwright's, or the system's package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

SYSTEM_NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
"""How it is started here."""


def installed() -> str | None:
    """Give the path of a browser of the system's."""
    return next((path for name in SYSTEM_NAMES if (path := shutil.which(name))), None)


def downloaded() -> bool:
    """Tell whether Playwright's own Chromium is there."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        return Path(playwright.chromium.executable_path).exists()


def run(*command: str) -> bool:
    print("$", *command, flush=True)
    return subprocess.run(command, check=False).returncode == 0


def main() -> None:
    if installed() or downloaded():
        return
    print("The browser tests need Chromium.", flush=True)
    if run(sys.executable, "-m", "playwright", "install", "chromium"):
        return
    if shutil.which("apt-get"):
        sudo = [] if os.geteuid() == 0 else ["sudo"]
        run(*sudo, "apt-get", "update", "-q")
        run(*sudo, "apt-get", "install", "-y", "-q", "--no-install-recommends", "chromium", "fonts-dejavu-core")
    if not installed():
        sys.exit("Chromium could not be installed. Install it with your system's package manager, then try again.")


if __name__ == "__main__":
    main()
