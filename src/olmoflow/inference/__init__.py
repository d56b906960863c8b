"""Models that speak."""

from olmoflow.inference.generate import Generation, generate
from olmoflow.inference.sampling import Sampling

__all__ = ["Generation", "Sampling", "generate"]
