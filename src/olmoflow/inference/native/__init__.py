"""The engine of this package, in PyTorch: continuous batching on any device.

- engine       what others use
- generation   one run over requests: rounds of seating, reading and decoding
- seats, placement, memory, slab    who runs, and where the keys and values lie
- reading, prefixes    prompts in chunks, what they have in common once
- scoring      log-probabilities of continuations, as trees behind their contexts
- network, attention, rows, weights    the model over tokens of many sequences
- compiled     the same but for the matrix products, in numba for the CPU
- quantize     weights in 8 or 4 bits
- uniform, stopping, turns    random numbers, stop texts, other weights between two steps
"""

from olmoflow.inference.native.engine import NativeEngine

__all__ = ["NativeEngine"]
