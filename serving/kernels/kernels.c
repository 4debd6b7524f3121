// Two kernels for CPUs with AVX512 VNNI, called by XLA: an int8 matrix product and attention over a
// cache of bf16. Both compute what serving/model.py and serving/attention.py say in JAX, and those
// are what runs where these cannot. Built by serving/kernels/build.py.

#include <immintrin.h>
#include <math.h>

// clang-format off
#include "shares.h"
#include "linear.h"
#include "attention.h"
// clang-format on
