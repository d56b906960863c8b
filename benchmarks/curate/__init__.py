"""Curation against datatrove, on the source files of the Python environment.

    ./just bench-peers datatrove     # once
    ./just bench curate

A case is a file of this folder with ``run()``, ``LIMITS`` and ``VERSIONS``.
"""

from __future__ import annotations

from typing import Any

from . import all_dressed, heuristics, minhash

CASES = (minhash, all_dressed, heuristics)
VERSIONS = {name: version for case in CASES for name, version in case.VERSIONS.items()}
LIMITS: dict[str, dict[str, float]] = {
    name: limit for case in CASES for name, limit in case.LIMITS.items()
}


def run() -> list[dict[str, Any]]:
    return [row for case in CASES for row in case.run()]
