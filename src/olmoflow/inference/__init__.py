"""Models that speak.

- engine      what every engine understands: requests, completions, scores
- sampling    from logits to a token
- native/     the engine of this package: continuous batching in plain PyTorch
- vllm/       the engine whose model is on a vLLM server
- chat/       models asked in messages: engines behind templates, and chat endpoints
- hf/         the engine over any model that transformers loads
- scoring     continuations scored by plain forward passes, for `hf` and for models in training
"""

from olmoflow.inference.sampling import Sampling

__all__ = ["Sampling"]
