"""Servers for the tests without the two seconds that their imports take: forks of a process that has imported Rill.

`python tests/forks.py` is that process. It reads a request from its standard input for each server, with the pipe that
is to take its output, and says what became of it on its standard output. It ends with whoever started it.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path

MAX_REQUEST_BYTES = 262_144


class Fork:
    """A forked server, with what is used of `asyncio.subprocess.Process`."""

    def __init__(self, pid: int, stdout: asyncio.StreamReader) -> None:
        self.pid, self.stdout = pid, stdout
        self.returncode: int | None = None
        self._ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    async def wait(self) -> int:
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, how: signal.Signals) -> None:
        if self.returncode is None:
            os.kill(self.pid, how)

    def end(self, returncode: int) -> None:
        """Note that the process has ended; called from another thread."""

        def note() -> None:
            self.returncode = returncode
            self._ended.set()

        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(note)


class _Forker:
    """The process that forks, as seen from the tests."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket = ours
        with theirs:
            command = [sys.executable, "-W", "error", str(Path(__file__)), str(theirs.fileno())]
            environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
            self._process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], env=environ
            )  # It ends when our socket closes.
        self._asking, self._news = threading.Lock(), threading.Condition()
        self._pid: int | None = None
        self._forks: dict[int, Fork] = {}
        self._codes: dict[int, int] = {}
        self._listener = threading.Thread(target=self._listen, daemon=True, name="forks")
        self._listener.start()
        atexit.register(self._close)

    async def fork(self, folder: Path, environ: Mapping[str, str], arguments: list[str]) -> Fork:
        read, write = os.pipe()
        request = json.dumps({"folder": str(folder), "environ": dict(environ), "arguments": arguments}).encode()
        pid = await asyncio.to_thread(self._ask, request, write)
        os.close(write)
        stdout = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(stdout)
        await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, os.fdopen(read, "rb", buffering=0))
        fork = Fork(pid, stdout)
        with self._news:
            code = self._codes.pop(pid, None)
            self._forks[pid] = fork
        if code is not None:
            fork.end(code)
        return fork

    def _close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._listener.join()
        self._socket.close()
        self._process.wait()

    def _ask(self, request: bytes, write: int) -> int:
        with self._asking, self._news:
            self._pid = None
            socket.send_fds(self._socket, [request], [write])
            while self._pid is None:
                self._news.wait()
            return self._pid

    def _listen(self) -> None:
        while answer := self._socket.recv(1024):
            name, pid, code = json.loads(answer)
            with self._news:
                if name == "forked":
                    self._pid = pid
                    self._news.notify_all()
                elif (fork := self._forks.pop(pid, None)) is not None:
                    fork.end(code)
                else:
                    self._codes[pid] = code


@cache
def _forker() -> _Forker:
    return _Forker()


async def forked(folder: Path, environ: Mapping[str, str], *arguments: str) -> Fork:
    """Run `rill` with these arguments in a fork, as if it had been started in a folder with this environment."""
    return await _forker().fork(folder, environ, list(arguments))


def _serve(requests: socket.socket) -> None:
    """Fork a server for each request, until nobody can ask any more."""
    watched = selectors.DefaultSelector()
    watched.register(requests, selectors.EVENT_READ)
    pids: dict[int, int] = {}
    while True:
        for key, _ in watched.select():
            if key.fd != requests.fileno():
                _, status = os.waitpid(pids[key.fd], 0)
                requests.send(json.dumps(["ended", pids.pop(key.fd), os.waitstatus_to_exitcode(status)]).encode())
                watched.unregister(key.fd)
                os.close(key.fd)
                continue
            request, descriptors, _, _ = socket.recv_fds(requests, MAX_REQUEST_BYTES, 1)
            if not request:
                return
            pid = os.fork()
            if pid == 0:
                watched.close()
                requests.close()
                for other in pids:
                    os.close(other)
                _become(json.loads(request), descriptors[0])
            os.close(descriptors[0])
            descriptor = os.pidfd_open(pid)
            pids[descriptor] = pid
            watched.register(descriptor, selectors.EVENT_READ)
            requests.send(json.dumps(["forked", pid, 0]).encode())


def _become(request: dict[str, object], output: int) -> None:
    """Be the process that was asked for, and never return."""
    code = 1
    try:
        for descriptor in (1, 2):
            os.dup2(output, descriptor)
        os.close(output)
        os.chdir(str(request["folder"]))
        os.environ.clear()
        os.environ.update(request["environ"])  # type: ignore[arg-type, call-overload]  # It was a mapping of texts.
        sys.argv = ["rill", *request["arguments"]]  # type: ignore[misc]
        from webapp.cli import main

        main()
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    # All that a server imports sooner or later, before it is one.
    import aiosqlite  # noqa: F401
    import alembic.command  # noqa: F401
    import sqlalchemy.dialects.sqlite.aiosqlite  # noqa: F401

    import webapp.cli  # noqa: F401
    from webapp.app import TEMPLATES
    from webapp.rendering import Renderer

    Renderer(TEMPLATES)  # Which compiles them, once for all.
    with socket.socket(fileno=int(sys.argv[1])) as asked:
        _serve(asked)
