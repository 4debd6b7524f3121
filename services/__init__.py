"""One adapter per product: SDK objects in, typed records of `core` out, errors of `core.errors`.

Nothing outside this package imports a Google or Kubernetes SDK, and no SDK exception leaves it.
"""
