"""Causal attention over a window and within documents, by interchangeable backends.

- layer     projections, QK norm, rotation; which backend runs is its caller's choice
- attend    the one function, and the choice of backend
- sdpa      torch's own kernels on blocks of queries: linear time in length for window layers
- flex      FlexAttention with a block-sparse mask, for GPUs
- flash     the package flash-attn, for GPUs
- context   any of them where several ranks share a sequence
"""

from olmoflow.model.attention.attend import (
    Attend,
    AttentionBackend,
    attend,
    check_backend,
    prepare,
)
from olmoflow.model.attention.layer import Attention

__all__ = ["Attend", "Attention", "AttentionBackend", "attend", "check_backend", "prepare"]
