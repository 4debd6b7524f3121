"""Which device holds which part: logical axes, the rules that map them to a mesh, placing arrays.

The model itself knows nothing of devices. Arrays are placed by the names of their dimensions
("heads", "ffn", "vocabulary"), XLA derives from that how each program is split (tensor parallel:
the outputs of one matrix and the inputs of the next are cut alike, with one sum over the devices
after each pair). What does not live here: processes and who leads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from serving.config import Config
from serving.kernels import library

Axes = tuple[str | None, ...]  # a logical name, or None, for each dimension of an array

MODEL_AXIS = "model"
# Logical axis → axis of the mesh.
RULES: Mapping[str, str] = MappingProxyType(
    {"heads": MODEL_AXIS, "ffn": MODEL_AXIS, "vocabulary": MODEL_AXIS}
)


class Devices:
    """Where the arrays of one model go: one device, or a mesh by the rules.

    An axis whose size the mesh does not divide stays whole on every device: the answer is the
    same, only the work is not shared there (`whole_axes` names them).
    """

    def __init__(self, config: Config, mesh: Mesh | None = None, kernels: bool = True) -> None:
        """Without a mesh everything goes to JAX's default device.

        That one computes with our `kernels` where it can, unless they are not wanted.
        """
        self.mesh = mesh
        self.kernels = kernels and mesh is None and library.ready()
        sizes = {"heads": config.kv_heads, "ffn": config.ffn_width, "vocabulary": config.vocabulary}
        self._rules = {
            axis: target
            for axis, target in RULES.items()
            if mesh is not None and sizes[axis] % mesh.shape[target] == 0
        }
        self.whole_axes = tuple(axis for axis in RULES if axis not in self._rules)

    def sharding(self, axes: Axes) -> NamedSharding | None:
        """Where an array with these axes goes; None without a mesh."""
        if self.mesh is None:
            return None
        return NamedSharding(self.mesh, PartitionSpec(*(self._rules.get(a or "") for a in axes)))

    def put(self, array: np.ndarray, axes: Axes) -> jax.Array:
        """The array on its devices; with several processes each puts its own part."""
        sharding = self.sharding(axes)
        if sharding is None:
            return jnp.asarray(array)
        return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])


def make_mesh(devices: int) -> Mesh | None:
    """A mesh of the first so many devices (0: all); None for a single one.

    ValueError when there are fewer.
    """
    found = jax.devices()
    wanted = devices or len(found)
    if wanted > len(found):
        raise ValueError(f"{wanted} devices are asked for, but JAX sees {len(found)}.")
    if wanted == 1:
        return None
    return Mesh(np.array(found[:wanted]), (MODEL_AXIS,))
