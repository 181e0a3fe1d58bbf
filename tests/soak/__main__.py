"""A soak: seeded readers in a crowd, ten faults each, a server that is ended again and again, a reconciliation.

It exits with 0 only if the model service, the store, the pages that streams have built and fresh pages all agree.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tests.soak.engine import soak
from tests.soak.plans import Ending, Plan, plan
from tests.soak.report import Progress, table

MINUTES = 10.0
PROGRESS_SECONDS = 15.0


def main() -> int:
    options = _options()
    print(f"seed {options.seed}; to play one stream again: python -m tests.soak --seed {options.seed} --stream N")
    minutes = options.minutes or (None if options.streams else MINUTES)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="rill-soak-") as folder:
        running = soak(
            Path(folder),
            itertools.islice(_plans(options), options.streams),
            concurrency=options.concurrency,
            seconds=minutes * 60 if minutes else float("inf"),
            tell=Progress(PROGRESS_SECONDS),
        )
        outcome = asyncio.run(running)
    print(f"\n{table(outcome)}\ntime       {time.monotonic() - begun:.0f} s\n")
    if outcome.problems:
        print(*outcome.problems, sep="\n")
        print(f"\n{len(outcome.problems)} problems; seed {options.seed}")
        return 1
    print("What the model sent, what is stored, every page that a stream built and every fresh one agree.")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument(
        "--minutes", type=float, help=f"for how long streams begin ({MINUTES:g}, unless --streams says)"
    )
    parser.add_argument("--seed", default=secrets.token_hex(4), help="what everything is planned from")
    parser.add_argument("--streams", type=int, help="how many streams begin at most; with --stream, how often it does")
    parser.add_argument("--stream", type=int, metavar="N", help="only stream N")
    parser.add_argument("--concurrency", type=int, default=25, help="how many streams there are at once (25)")
    parser.add_argument(
        "--restart",
        type=Ending.read,
        action="append",
        metavar="SIGKILL@4",
        help="with --stream: end the server when so many faults were met, instead of as planned",
    )
    options = parser.parse_args()
    if options.stream is not None:
        options.streams = options.streams or 1
    elif options.restart:
        parser.error("--restart goes with --stream")
    return options


def _plans(options: argparse.Namespace) -> Iterator[Plan]:
    for number in itertools.count():
        if options.stream is None:
            yield plan(options.seed, number)
        else:
            planned = plan(options.seed, options.stream, copy=number)
            yield replace(planned, endings=tuple(sorted(options.restart)) if options.restart else planned.endings)


if __name__ == "__main__":
    sys.exit(main())
