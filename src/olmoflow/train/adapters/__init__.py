"""Low-rank adapters: a small trained product beside each frozen matrix of a model.

- settings        which layers are adapted, how, and what becomes of the frozen rest
- linear          an adapted layer
- frozen          a frozen matrix: dense, in 4 bits, or in main memory
- nf4             four bits a number, in blocks
- apply           puts adapters into a model, fills it from a checkpoint, folds adapters in

Adapters are our own rather than peft's: peft renames what it wraps (``….base_layer.weight``), so
checkpoints would need a second table of names; it wants `accelerate` and `transformers` at run
time; and our matrices are made again in the backward pass, which is what keeps them small.
"""

from olmoflow.train.adapters.apply import adapters_off, attach, fill, folded, is_adapted
from olmoflow.train.adapters.linear import AdaptedLinear
from olmoflow.train.adapters.settings import LoRA

__all__ = ["AdaptedLinear", "LoRA", "adapters_off", "attach", "fill", "folded", "is_adapted"]
