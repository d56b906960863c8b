"""Documents to tensors.

- tokenizer, bpe, dolma2    tokenizers: opened and saved, trained, rebuilt from ranks
- encoder, kernels    many texts to ids at once, in compiled code
- chat/    conversations: their templates, what is learnt of them, shards of them
- format, shards, npy    litdata's chunks and a table; a corpus or one of Ai2's mixes into them
- targets    which tokens of conversations are learnt
- reader    random access to the chunks of a folder or URL, checked
- remote, cache, bounded_folder    files behind a URL, fetched ahead into a folder with a bound
- permutation, interleave, mixture    the order of samples: a function of mixture and seed
- packing, packed_reader    documents fitted whole into sequences, and these read
- instance_filter    sequences that repeat themselves and are no targets
- windows, data_module    samples as tensors, one optimizer step at a time, resumable

Names are loaded on first use: `Source` needs no torch, and help and errors should not wait for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from olmoflow.tokens.data_module import TokenDataModule
    from olmoflow.tokens.instance_filter import InstanceFilter
    from olmoflow.tokens.mixture import Source
    from olmoflow.tokens.pairs.data_module import PairDataModule
    from olmoflow.tokens.reader import TokenShards

__all__ = ["InstanceFilter", "PairDataModule", "Source", "TokenDataModule", "TokenShards"]

_HOMES = {
    "InstanceFilter": "instance_filter",
    "PairDataModule": "pairs.data_module",
    "Source": "mixture",
    "TokenDataModule": "data_module",
    "TokenShards": "reader",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
