"""How long a run is: ``max_tokens``, or ``epochs`` over what the shards hold once packed.

``conf/train.yaml`` calls it as ``max_steps: ${budget:${epochs},${max_tokens}}``, so the number is
known where the config is composed: the schedule, the key, a plan and every rank see the same one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any

from omegaconf import DictConfig, OmegaConf

from olmoflow.artifact import resolve
from olmoflow.commands.config.numbers import POSITIVE, WHOLE, check_number
from olmoflow.errors import UserError
from olmoflow.tokens import Source, TokenShards


def budget_steps(epochs: float | None, max_tokens: float | None, _root_: DictConfig) -> int:
    """``${budget:EPOCHS,TOKENS}``: the optimizer steps of a run, as Ai2 counts them: rounded up.

    Args:
        epochs: How often all samples of the shards are seen; needs not be whole.
        max_tokens: The budget in tokens, padding included.
        _root_: The whole config, which OmegaConf passes.

    Raises:
        UserError: There is not exactly one budget, it is none, or an epoch's size is not known.
    """
    if (epochs is None) == (max_tokens is None):
        raise UserError(
            f"epochs={epochs}, max_tokens={max_tokens}: expected one of both, the other null"
        )
    for key in ("sequence_length", "global_batch_tokens"):
        check_number(key, _root_[key], WHOLE)
    if max_tokens is not None:
        check_number("max_tokens", max_tokens, POSITIVE)
        return math.ceil(float(max_tokens) / int(_root_["global_batch_tokens"]))
    check_number("epochs", epochs, POSITIVE)
    # As a fraction: 0.1 of 30 batches is 3 of them.
    return math.ceil(Fraction(str(epochs)) * epoch_batches(_root_))


def check_one_budget(overrides: Sequence[str]) -> None:
    """See that the command line says in one way how long a run is.

    ``max_steps`` follows from the budget; given itself it takes the place of a recipe's. Beside a
    budget that is given too, either could be meant to end the run, and the schedule and the warm-up
    are laid out over the one that counts.

    Raises:
        UserError: ``max_steps`` stands beside ``max_tokens`` or ``epochs``.
    """
    pairs = (override.lstrip("+").partition("=") for override in overrides)
    given = {key: value for key, _, value in pairs if value != "null"}
    for key in ("max_tokens", "epochs"):
        if key in given and "max_steps" in given:
            steps = given["max_steps"]
            raise UserError(
                f"max_steps={steps}, {key}={given[key]}: expected one of both; to stop before the "
                f"schedule's end, hard_stop={steps}"
            )


def epoch_batches(config: DictConfig) -> Fraction:
    """How many batches an epoch has, seldom a whole number.

    Raises:
        UserError: The shards cannot be found, and the config does not say what an epoch holds.
    """
    data, pairs = config["data"], config["global_batch_pairs"]
    unit = "epoch_tokens" if pairs is None else "epoch_pairs"
    batch = config["global_batch_tokens"] if pairs is None else pairs
    nodes = _nodes(data)
    sources = _find(nodes, config)
    if sources is None:
        stated = config[unit]
        if stated is None:
            if config["shards"] is not None:
                _split(config["shards"])  # says why they are not found
            raise UserError(
                f"epochs={config['epochs']}: the length of an epoch follows from the shards; give "
                f"shards=NAME, or {unit}=… for a plan without them"
            )
        return Fraction(str(stated)) / int(batch)
    if pairs is not None:
        return Fraction(sum(map(count_pairs, sources)), int(pairs))
    length = int(config["sequence_length"])
    packed = data["packing"] == "best_fit"
    found = sum(
        count_sequences(path, length, packed, node["shuffle_chunks"])
        for path, node in zip(sources, nodes, strict=True)
    )
    return Fraction(found * length, int(batch))


@lru_cache(maxsize=64)  # every use of max_steps asks again
def count_sequences(path: str, length: int, packed: bool, chunks: int | None) -> int:
    """Sequences of ``length`` tokens in a split of shards, as its data module will find them."""
    shards = TokenShards.open(path)
    if packed:
        from olmoflow.tokens.packing import pack_source

        return pack_source(shards, length, chunks).sequences
    from olmoflow.tokens.windows import window_sizes

    return window_sizes(shards, Source(path, shuffle_chunks=chunks), length).windows


@lru_cache(maxsize=64)
def count_pairs(path: str) -> int:
    """Pairs in a split of shards: two documents each."""
    return len(TokenShards.open(path).document_starts) // 2


def _nodes(data: DictConfig) -> list[dict[str, Any]]:
    """The sources of ``data``; not the whole of it, for its ``max_steps`` is what is asked."""
    if "sources" not in data:
        return [{"shards": data["shards"]}]
    nodes: Any = OmegaConf.to_container(data["sources"], resolve=True)
    return list(nodes)


def _find(nodes: Sequence[Mapping[str, Any]], config: DictConfig) -> list[str] | None:
    """Where the shards lie; None if one is not named or not there."""
    if config.get("mixture"):
        raise UserError("epochs: a mixture has proportions of its own; give max_tokens=… instead")
    if any(node.get("proportion") is not None for node in nodes):
        raise UserError(
            "epochs: expected sources without proportions, seen equally often; give max_tokens=…"
        )
    try:
        return [_split(node["shards"]) for node in nodes]
    except UserError:
        return None  # training tells it; a plan does without


def _split(reference: str | None) -> str:
    if reference is None:
        raise UserError("shards: missing")
    if "://" in reference:
        return reference
    return str(resolve(reference, "shards", ["shards"]).path / "train")
