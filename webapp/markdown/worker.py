"""The child's end of `workers`: reads sources from its standard input, and writes their HTML to its standard output.

A message is four bytes of length, big-endian, followed by that much JSON. The process ends at the end of its input,
which is also what the death of its parent looks like; on a source that takes too long it is ended by the kernel.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import BinaryIO

HEADER_BYTES = 4
_NICENESS = 5
"""The words that are streaming to readers go first."""


def main() -> None:
    cpu_seconds, memory_bytes = float(sys.argv[1]), int(sys.argv[2])
    # A print in some lexer must not end up between two messages.
    stdout, sys.stdout = sys.stdout.buffer, sys.stderr
    _limit(memory_bytes)
    highlight = _load_highlight()
    _write(stdout, True)
    while (request := _read(sys.stdin.buffer)) is not None:
        _allow_cpu(cpu_seconds)
        html = highlight(request["source"], request["language"])
        _allow_cpu(0)
        _write(stdout, html)


def _limit(memory_bytes: int) -> None:
    # Ctrl-C goes to every process of a terminal; the parent decides when this one ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "win32":
        return
    import resource

    os.nice(_NICENESS)
    # A core file would hold what readers were told.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def _allow_cpu(seconds: float) -> None:
    """Have the kernel end this process once it has used so much processor time from now on; zero is for ever.

    Processor time does not depend on what else the machine does, so neither does which sources come out highlighted.
    """
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_PROF, seconds)


def _load_highlight() -> Callable[[str, str], str | None]:
    # By its path: importing the package would load all of it, and needs it to be on the path at all.
    spec = spec_from_file_location("highlighting", Path(__file__).with_name("code.py"))
    if spec is None or spec.loader is None:
        raise ImportError("code.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.highlight  # type: ignore[no-any-return]  # Loaded by path, so nothing is known of its types.


def _read(stream: BinaryIO) -> dict[str, str] | None:
    header = stream.read(HEADER_BYTES)
    body = stream.read(int.from_bytes(header, "big"))
    return json.loads(body) if body else None


def _write(stream: BinaryIO, message: object) -> None:
    body = json.dumps(message).encode()
    stream.write(len(body).to_bytes(HEADER_BYTES, "big") + body)
    stream.flush()


if __name__ == "__main__":
    main()
