"""Checkpoints of OLMo-core, in which Ai2 publishes every step of its runs.

- config    `config.json`: the architecture, checked to be Olmo 3's
- names     tensor names on both sides
- load      weights and optimizer state, tensor by tensor
- fetch     a checkpoint at a URL, onto the disk

A checkpoint is a folder `stepN` with `config.json`, `model_and_optim/` (torch distributed
checkpoint) and, for runs that can go on, `train/`. OLMo-core itself is not needed, and nothing of
what a checkpoint holds is executed.
"""

from olmoflow.model.olmo_core.fetch import fetch_olmo_core
from olmoflow.model.olmo_core.load import OlmoCoreCheckpoint, import_olmo_core

__all__ = ["OlmoCoreCheckpoint", "fetch_olmo_core", "import_olmo_core"]
