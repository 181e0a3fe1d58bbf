"""`python -m webapp` is `rill`.

`rill ask` runs alone: loading all that a server needs takes ten times as long as the rest of it, before a word is said.
"""

from __future__ import annotations

import sys


def main() -> None:
    if sys.argv[1:2] == ["ask"]:
        from webapp.ask_command import main as run
    else:
        from webapp.cli import main as run
    run()


if __name__ == "__main__":
    main()
