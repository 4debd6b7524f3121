"""Compiles the kernels: `python -m serving.kernels.build`.

With zig's C compiler, which comes as a package, so that no machine has to have one. What does not
live here: loading and calling them (`library`).
"""

from __future__ import annotations

import logging
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import jax

from serving.kernels.library import BUILT_FOR, HERE, library_path

log = logging.getLogger("serving")

# The oldest glibc that they load with: Debian's and Ubuntu's of 2018 and later have it.
TARGET = "x86_64-linux-gnu.2.28"


def build() -> Path | None:
    """The library, built if it is not there yet; None where there is no kernel for the machine.

    CalledProcessError when the compiler fails; it has then said why.
    """
    if (platform.system(), platform.machine()) != BUILT_FOR:
        return None
    path = library_path()
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=HERE, prefix="build-") as folder:
            made = Path(folder) / path.name
            compiler = [sys.executable, "-m", "ziglang", "cc", "-target", TARGET]
            # The parts that need more than every x86-64 has say so themselves.
            flags = ["-O3", "-Wall", "-Wextra", "-Werror", "-s", "-shared", "-fPIC"]
            sources = ["-I", jax.ffi.include_dir(), str(HERE / "kernels.c"), "-o", str(made)]
            caches = {"ZIG_GLOBAL_CACHE_DIR": folder, "ZIG_LOCAL_CACHE_DIR": folder}
            subprocess.run([*compiler, *flags, *sources], check=True, env=os.environ | caches)
            made.replace(path)
        for old in HERE.glob("kernels-*.so"):
            if old != path:
                old.unlink(missing_ok=True)
    return path


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    log.info("%s", build() or "there are kernels for x86-64 Linux alone; XLA's products are used")
