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

    The shards that ``data`` names for a published run may be absent; those that ``shards=`` names
    are expected.

    Raises:
        UserError: It is no share, or there are no shards of the name in ``shards=``.
    """
    if config["shards"] is not None:
        _find(config["shards"])
    stated = config["target_share"]
    if stated is not None:
        if isinstance(stated, bool) or not isinstance(stated, int | float) or not 0 < stated <= 1:
            raise UserError(f"target_share={stated}: expected a number above 0, at most 1, or null")
        return float(stated)
    try:
        found = [_count(node["shards"]) for node in shard_nodes(config["data"])]
    except UserError:
        return 1.0  # not there: what a plan does without
    return sum(learnt for learnt, _ in found) / sum(tokens for _, tokens in found)


def _find(name: str) -> str:
    """The training split of shards."""
    if "://" in str(name):
        return name
    return str(resolve(name, "shards", ["shards"]).path / "train")


@lru_cache(maxsize=64)
def _count(name: str | None) -> tuple[int, int]:
    """Learnt tokens of a split of shards, and all of them."""
    if name is None:
        raise UserError("shards: missing")
    shards = TokenShards.open(_find(name))
    return len(shards) if shards.targets is None else len(shards.targets), len(shards)
