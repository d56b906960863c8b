"""Documents to tensors: tokenizers, shards, the order of samples, the data module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from olmoflow.tokens.data_module import TokenDataModule
    from olmoflow.tokens.mixture import Source
    from olmoflow.tokens.reader import TokenShards

__all__ = ["Source", "TokenDataModule", "TokenShards"]

_HOMES = {"Source": "mixture", "TokenDataModule": "data_module", "TokenShards": "reader"}


def __getattr__(name: str) -> Any:
    # Imported on demand: `Source` needs no torch, and help and errors should not wait for it.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
