"""Google's wire: what is the same for every API, over gRPC and REST/JSON.

No product is known here; products lie in `emulator.apis`.
"""
