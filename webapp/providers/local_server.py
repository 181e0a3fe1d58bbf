"""Run llama.cpp's HTTP server in a process of its own, which ends with its parent.

Started by `webapp.providers.local_process` as a plain script, so that it loads neither the web app nor anything that
lies in the working directory. It speaks three words with its parent: one JSON line of parameters on stdin (so that
the API key is in no process list), one JSON line with the address on stdout once the model is loaded, and the end of
stdin, at which it exits. A parent that is killed closes its pipes too, so nothing is left behind. llama.cpp keeps
Python's interpreter lock while it loads a file: a parent that dies just then is noticed once the file is loaded.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

BATCH_TOKENS = 256
"""A cancelled request is noticed between two batches: 16 s at llama.cpp's default, 1 s at 256 (measured)."""

PROMPT_CACHE_MIB = 256
"""What is kept of ended conversations' state; llama.cpp's default would let it grow to 8 GiB."""

ERRORS_ONLY = 1
"""llama.cpp's verbosity; from warnings on it quotes what a request contained."""


def main() -> None:
    for interrupt in (signal.SIGINT, signal.SIGTERM):  # Ctrl+C reaches the whole group; the parent may have to drain.
        signal.signal(interrupt, signal.SIG_IGN)
    answer = _take_stdout()
    line = sys.stdin.buffer.readline()
    if not line:
        return
    server = _start(json.loads(line))
    os.write(answer, json.dumps({"address": server.listening_address}).encode() + b"\n")
    os.close(answer)
    sys.stdin.buffer.read()
    os._exit(0)  # The server's threads may be in the middle of a batch, and nothing of theirs is worth waiting for.


def _take_stdout() -> int:
    """Keep stdout for the one line of ours; whatever the library prints goes to stderr."""
    answer = os.dup(1)
    os.dup2(2, 1)
    return answer


def _start(parameters: dict[str, Any]) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = parameters["model_path"]
    params.model_alias = {parameters["model_name"]}
    params.n_ctx = parameters["context_tokens"]
    params.n_predict = parameters["reply_tokens"]
    params.api_keys = [parameters["api_key"]]
    params.sampling.temp = parameters["temperature"]
    for cpu in (params.cpuparams, params.cpuparams_batch):
        cpu.n_threads = parameters["threads"]
    _set_fixed(params)
    return xllamacpp.Server(params)


def _set_fixed(params: Any) -> None:
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.cors_origins = ""  # The default reflects any Origin.
    params.ui = params.endpoint_slots = params.endpoint_props = False
    params.verbosity = ERRORS_ONLY
    params.n_parallel = 4
    params.kv_unified = True
    params.n_batch = params.n_ubatch = BATCH_TOKENS
    params.cache_ram_mib = PROMPT_CACHE_MIB
    params.use_jinja = True
    params.sampling.penalty_repeat = 1.1


if __name__ == "__main__":
    main()
