"""Any causal language model that transformers loads, as an engine: slow, and right."""

from olmoflow.inference.hf.engine import HFEngine

__all__ = ["HFEngine"]
