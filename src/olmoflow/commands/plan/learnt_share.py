"""How large a share of a run's tokens is learnt: a plan's LM head computes no others."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from olmoflow.artifact import resolve
from olmoflow.commands.config.combinations import shard_nodes
from olmoflow.errors import UserError
from olmoflow.tokens import TokenShards


def learnt_share(config: Mapping[str, Any]) -> float:
    """What ``target_share`` says; where it is null what the shards say, and 1 without them.

    Raises:
        UserError: It is no share.
    """
    stated = config["target_share"]
    if stated is not None:
        if isinstance(stated, bool) or not isinstance(stated, int | float) or not 0 < stated <= 1:
            raise UserError(f"target_share={stated}: expected a number above 0, at most 1, or null")
        return float(stated)
    try:
        found = [_count(node["shards"]) for node in shard_nodes(config["data"])]
    except UserError:
        return 1.0  # not there: what a plan does without
    learnt, tokens = (sum(counts) for counts in zip(*found, strict=True))
    return learnt / tokens


@lru_cache(maxsize=64)
def _count(name: str | None) -> tuple[int, int]:
    """Learnt tokens of a split of shards, and all of them."""
    if name is None:
        raise UserError("shards: missing")
    path = name if "://" in name else str(resolve(name, "shards", ["shards"]).path / "train")
    shards = TokenShards.open(path)
    return len(shards) if shards.targets is None else len(shards.targets), len(shards)
