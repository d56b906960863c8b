"""Checkpoints on disk: each step appears whole or not at all.

A *series* is a folder; every complete step of it is a folder of its own::

    SERIES/steps/step-00000100/
        __0_0.distcp …   torch distributed checkpoint (DCP) files, one per rank that wrote
        .metadata        DCP's index; keys `model.<name>`, `optimizer.state.<name>.exp_avg`, …
        model.json       the model's `Olmo3Config` as data
        adapter.json     only where the tensors are adapters: their settings, and the model beside
                         whose weights they stand (`digest` is that of its digests.json)
        trainer.pt       what else the trainer wants back (optional)
        digests.json     the step; size and sha256 of every file above

Notable:

- A step is written into `step-00000100.partial`, its digests last, and then renamed: a killed
  writer leaves nothing that could be taken for a checkpoint.
- Any number of ranks reads what any number of ranks wrote.
- Every file is compared with its digest before its first use.
- Nothing in a checkpoint is executed: DCP's pickles are read through an allowlist of plain data
  classes, everything else with `weights_only=True`.
- Tensors can be read and written one at a time, so a conversion needs no model in memory.
"""

from olmoflow.model.checkpoint.soup import average, check_alike
from olmoflow.model.checkpoint.step import Checkpoint, list_steps
from olmoflow.model.checkpoint.stream import write_checkpoint
from olmoflow.model.checkpoint.write import CheckpointWriter

__all__ = [
    "Checkpoint",
    "CheckpointWriter",
    "average",
    "check_alike",
    "list_steps",
    "write_checkpoint",
]
