"""The engine whose model is on a vLLM server.

- engine      the engine
- connection  a server over HTTP
- answers     what a server answers
- served      which model and weights it has
- dispatch    many requests at a time, taken from an iterable as places become free
- sample      one sample: our request as vLLM's, its answer as our completion
- score       continuations scored
- weights     new weights for a running server
- process     a server as a child of this process
"""

from olmoflow.inference.vllm.engine import VLLMEngine

__all__ = ["VLLMEngine"]
