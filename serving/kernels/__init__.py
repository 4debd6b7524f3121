"""Two kernels in C for CPUs with AVX512 VNNI, for what XLA:CPU computes slowly.

`linear.h` multiplies by int8 matrices, `attention.h` reads the KV cache where it lies; `build`
compiles them, `library` loads them and calls them from JAX. Where they are not built or the CPU
cannot run them, the JAX code that they stand for runs instead (`serving.model`,
`serving.attention`): the same answers but for rounding, more slowly.
"""
