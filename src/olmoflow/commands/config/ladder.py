"""Ai2's model ladder: batch, rate and budget of a size that was never published, from its size.

The formulas are those of OLMo-core's ``model_ladder``; N is the number of parameters without the
input embedding. ``conf/recipe/ladder.yaml`` calls them as ``${ladder:NAME,${model},LENGTH}``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from olmoflow.errors import UserError
from olmoflow.model import Olmo3Config

_SIZE = 108e6  # parameters of the model that the constants were fitted on
_CHINCHILLA = 20  # tokens per parameter
_MULTIPLE = 4  # of Chinchilla's tokens


def ladder(name: str, model: Mapping[str, Any], sequence_length: int) -> float:
    """One value of the ladder.

    Args:
        name: batch, lr, beta2, tokens or warmup.
        model: The config's ``model`` node.
        sequence_length: T; batches are whole sequences.

    Raises:
        UserError: There is no such value.
    """
    if name not in _VALUES:
        raise UserError(f"ladder:{name}: expected one of {', '.join(_VALUES)}")
    shape = {str(k): v for k, v in model.items() if k not in ("_target_", "yarn")}
    size = Olmo3Config(**shape).num_non_embedding_parameters
    return _VALUES[name](size, int(sequence_length))


def batch_tokens(size: int, sequence_length: int) -> int:
    """Tokens of a step: ``2048 · 160 · (N / 108e6)^⅔``, rounded to whole sequences."""
    target = float(2048 * 160 * (size / _SIZE) ** (2 / 3))
    return max(1, round(target / sequence_length)) * sequence_length


def learning_rate(size: int, _: int) -> float:
    """The peak: ``0.0047 · (N / 108e6)^-⅓ / 2``."""
    return float(0.0047 * (size / _SIZE) ** (-1 / 3) / 2)


def beta2(size: int, sequence_length: int) -> float:
    """Decay of the second moment: small batches want the longer memory."""
    return 0.95 if batch_tokens(size, sequence_length) >= 524_288 else 0.99


def budget(size: int, _: int) -> int:
    """Tokens of the run: four times Chinchilla's 20 per parameter."""
    return _MULTIPLE * _CHINCHILLA * size


def warmup(size: int, sequence_length: int) -> int:
    """Steps of the warm-up: N tokens."""
    return max(1, round(size / batch_tokens(size, sequence_length)))


_VALUES: dict[str, Callable[[int, int], float]] = {
    "batch": batch_tokens,
    "lr": learning_rate,
    "beta2": beta2,
    "tokens": budget,
    "warmup": warmup,
}
