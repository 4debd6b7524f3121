"""llama.cpp's own HTTP server on this machine's cores, for `tests.bench.serving` to compare with.

Runs in an environment of its own, where the package `xllamacpp` is (`make bench` makes it), and
serves until its standard input ends. Prints one line of JSON: port, version and instruction sets.
"""

from __future__ import annotations

import json
import os
import sys
from importlib.metadata import version

import xllamacpp  # type: ignore[import-not-found]  # in the environment of `make bench` only


def main() -> None:
    """`llama_cpp.py MODEL.gguf SLOTS CONTEXT`: so many slots of so many tokens each."""
    path, slots, context = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.n_parallel, params.n_ctx = slots, slots * context
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = os.cpu_count() or 1
    params.hostnames, params.port = ["127.0.0.1"], 0
    server = xllamacpp.Server(params)
    told = {
        "url": server.listening_address,
        "version": version("xllamacpp"),
        "system": xllamacpp.get_system_info(),
    }
    print(json.dumps(told), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
