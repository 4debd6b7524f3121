"""`python -m tests.serving.tpu_programs [CHIP]...`: compiles programs for TPUs without one.

Google's compiler is in the package libtpu, which needs no chip for this: it comes with
`requirements/server-tpu.txt`, into an environment of its own. What it says is whether a program and
the kernel in it fit a chip; nothing is run. The tests lower all programs for TPUs, without libtpu.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AbstractDevice, AbstractMesh, Mesh

from serving.config import Config
from serving.kv_cache import PagedCache
from serving.model import Layer, Linear, Rope, Weights
from serving.programs import Programs, Shapes
from serving.sharding import MODEL_AXIS, Devices
from serving.step import Layout

# The shapes of published models, two layers of each; all that decides what the kernel is asked.
MODELS = {
    "Llama-3.1-8B": Config(2, 4096, 14336, 32, 8, 128, 128256, 8192, 5e5, 1e-5),
    "Gemma-2-27B": Config(
        *(2, 4608, 36864, 32, 16, 128, 256000, 8192, 1e4, 1e-6),
        activation="gelu_tanh",
        window=4096,
        attention_softcap=50.0,
        final_softcap=30.0,
    ),
    "SmolLM2-135M": Config(2, 576, 1536, 9, 3, 64, 49152, 8192, 1e5, 1e-5),
}
TOPOLOGIES = {"v5e": "v5e:2x2", "v6e": "v6e:2x2", "v5p": "v5p:2x2x1"}
# What lowering asks of the chip where there is none; one TensorCore as v6e and v5e have it.
CHIP = AbstractMesh(
    (1,), (MODEL_AXIS,), abstract_device=AbstractDevice("TPU v6 lite", num_cores=1, platform="tpu")
)
LAYOUT = Layout(2048, 16)
CALLS = ((1, 128), (1, 1), (16, 1))


def make_weights(config: Config, devices: Devices, dtype: type) -> Weights:
    """The shapes of all weights, and where they would lie."""

    def spec(shape: tuple, axes: tuple, dtype: type = jnp.float32) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, dtype, sharding=devices.sharding(axes))

    c, none = config, (None,)
    norm = spec((c.width,), none)
    heads = (c.width, c.kv_heads, c.group + 2, c.head_width)
    out = c.query_heads * c.head_width
    layer = Layer(
        attention_norm=norm,
        qkv=Linear(spec(heads, (None, "heads", None, None), dtype)),
        output=Linear(spec((out, c.width), ("heads", None), dtype)),
        ffn_norm=norm,
        gate_up=Linear(spec((c.width, 2, c.ffn_width), (None, None, "ffn"), dtype)),
        down=Linear(spec((c.ffn_width, c.width), ("ffn", None), dtype)),
        local=None if c.window is None else spec((), (), jnp.bool),
    )
    table = spec((c.context, c.head_width // 2), (None, None))
    embedding = Linear(spec((c.vocabulary, c.width), ("vocabulary", None), dtype))
    return Weights(embedding, (layer,) * c.layers, norm, Rope(table, table))


def make_programs(
    config: Config,
    kind: type[Programs],
    devices: Devices | None = None,
    dtype: type = jnp.bfloat16,
) -> Programs:
    """The server's programs over pages, for one layout; of `kind`, so that nothing is run."""
    devices = devices or Devices(config)
    shapes = Shapes({LAYOUT: CALLS}, (16,), (16,), (128,), 129)
    weights = make_weights(config, devices, dtype)
    return kind(config, weights, shapes, devices, PagedCache)


class LoweredPrograms(Programs):
    """Programs lowered for TPUs wherever this runs, and not compiled."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self.lowered: dict[tuple, str] = {}

    def _add(self, name: tuple, piece: Callable, *specs: object, donate=(), out=None) -> None:
        program = jax.jit(piece, donate_argnums=donate, out_shardings=out or self._whole)
        with jax.sharding.use_abstract_mesh(CHIP):
            traced = program.trace(*specs)
            self.lowered[name] = traced.lower(lowering_platforms=("tpu",)).as_text()


class TpuPrograms(Programs):
    """Programs that touch the cache, compiled for the devices of a mesh that are not there."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self.temporary_bytes = 0

    def _add(self, name: tuple, piece: Callable, *specs: object, donate=(), out=None) -> None:
        if name[0] not in ("layers", "save", "load"):
            return  # nothing in it is a TPU's own
        program = jax.jit(piece, donate_argnums=donate, out_shardings=out or self._whole)
        used = program.lower(*specs).compile().memory_analysis().temp_size_in_bytes
        self.temporary_bytes = max(self.temporary_bytes, used)


def main(*chips: str) -> None:
    """Compile every model's programs for one chip and for four of each generation, or of some."""
    from jax.experimental import topologies

    for chip in chips or TOPOLOGIES:
        mesh = TOPOLOGIES[chip]
        found = topologies.get_topology_desc(platform="tpu", topology_name=mesh).devices
        for name, config in MODELS.items():
            for count in (1, 4):
                began = time.monotonic()
                devices = Devices(config, Mesh(np.array(found[:count]), (MODEL_AXIS,)))
                programs = make_programs(config, TpuPrograms, devices)
                programs.compile(lambda *_: None)
                used = programs.temporary_bytes / 2**20
                took = time.monotonic() - began
                told = f"compiled in {took:.0f} s, {used:.0f} MiB beside the arguments"
                sys.stdout.write(f"{chip} x{count} {name}: {told}\n")


if __name__ == "__main__":
    # No chip is looked for, neither here nor at Google's metadata server.
    jax.config.update("jax_platforms", "cpu")
    os.environ |= {
        "TPU_SKIP_MDS_QUERY": "1",
        "TPU_ACCELERATOR_TYPE": "v6e-4",
        "TPU_WORKER_HOSTNAMES": "localhost",
        "TPU_WORKER_ID": "0",
    }
    main(*sys.argv[1:])
