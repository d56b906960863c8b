"""Models that speak.

- engine      what every engine understands: requests, completions, scores
- sampling    from logits to a token
- native/     the engine of this package: continuous batching in plain PyTorch
"""

from olmoflow.inference.sampling import Sampling

__all__ = ["Sampling"]
