"""The engine's operations beside matrix products, compiled for the CPU.

PyTorch has no fast kernel there for one query over many keys, and gives each small operation a pass
over memory and some microseconds of its own. Loops written with numba do a whole row at once, in
torch's own threads (`threads.py`). They compute what `rows.py`, `attention.py` and `sampling.py`
compute, up to rounding.
"""

from olmoflow.inference.native.compiled.attention import CompiledDecodeAttention
from olmoflow.inference.native.compiled.decoding import DecodingStep
from olmoflow.inference.native.compiled.likelihoods import likelihoods_of
from olmoflow.inference.native.compiled.products import gated_product, product, reordering
from olmoflow.inference.native.compiled.rows import CompiledRows
from olmoflow.inference.native.compiled.sampling import sample
from olmoflow.inference.native.compiled.threads import has_loops

__all__ = [
    "CompiledDecodeAttention",
    "CompiledRows",
    "DecodingStep",
    "gated_product",
    "has_loops",
    "likelihoods_of",
    "product",
    "reordering",
    "sample",
]
