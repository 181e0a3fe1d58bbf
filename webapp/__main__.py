"""`python -m webapp` is `rill`.

Commands that need no server run alone: loading all of one takes longer than what they do.
"""

from __future__ import annotations

import sys


def main() -> None:
    match sys.argv[1:2]:
        case ["ask"]:
            from webapp.ask_command import main as ask

            ask()
        case ["embed"]:
            from webapp.embed_commands import embed

            embed(prog_name="rill embed", args=sys.argv[2:])
        case ["key"]:
            from webapp.key_commands import key

            key(prog_name="rill key", args=sys.argv[2:])
        case _:
            from webapp.cli import main as rill

            rill()


if __name__ == "__main__":
    main()
