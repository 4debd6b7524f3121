"""The JAX language-model server: a process of its own that imports nothing of ours but core.tpu."""
