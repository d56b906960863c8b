"""Olmo 3 in plain PyTorch: no Lightning, no Hydra, one file per idea.

- config       the architecture as data, its parameter count and its FLOPs
- norm, rope, linear, attention/, feed_forward, block, transformer    the network, bottom up
- init         truncated-normal initialisation, the same for every world size
- cache        keys and values of the tokens already read, for generation
- checkpoint/  a training state on disk
- finite       weights that hold NaN or infinity
- json_file    a JSON file of somebody else's
- hf, olmo_core    weights from and to the other two formats

Names are loaded on first use, so that composing a config never pays for importing torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from olmoflow.model.cache import KVCache
    from olmoflow.model.config import Olmo3Config, YaRN
    from olmoflow.model.init import initialise
    from olmoflow.model.transformer import Olmo3

__all__ = ["KVCache", "Olmo3", "Olmo3Config", "YaRN", "initialise"]

_HOMES = {
    "KVCache": "cache",
    "Olmo3": "transformer",
    "Olmo3Config": "config",
    "YaRN": "config",
    "initialise": "init",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
