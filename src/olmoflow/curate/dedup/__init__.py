"""Deduplication: which documents stay, and which bytes of them.

- exact             the same text, or the same value of another field
- minhash           nearly the same text: MinHash-LSH, verified
- substring         long strings that stand in several places
- keep              which of a cluster's documents stays
- clusters          clusters on disk, and what is decided about their documents
- pieces, tasks, arrays     the work cut up and spread over cores or a cluster; what lies on disk
- words, signatures, bands, jaccard, verification, components, suffixes, spans     their parts
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from olmoflow.curate.dedup.exact import ExactDedup as ExactDedup
    from olmoflow.curate.dedup.minhash import MinHashDedup as MinHashDedup
    from olmoflow.curate.dedup.substring import SubstringDedup as SubstringDedup

_MODULES = {"ExactDedup": "exact", "MinHashDedup": "minhash", "SubstringDedup": "substring"}


def __getattr__(name: str) -> Any:
    """A stage's class, imported when it is first asked for: numba takes its time."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
