"""A soup: the weighted mean of several checkpoints of one architecture, tensor by tensor.

Olmo 3's midtrained 32B model is such a mean of two runs (arXiv 2512.13961, §3.5).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from olmoflow.errors import UserError
from olmoflow.model.checkpoint.step import Checkpoint
from olmoflow.model.finite import check_finite

# How the first weights were drawn says nothing about those that were learned.
_IRRELEVANT = frozenset({"init_std"})


def check_alike(checkpoints: Sequence[Checkpoint], labels: Sequence[str]) -> None:
    """Check that the checkpoints have the same shape.

    Args:
        checkpoints: What is to be averaged.
        labels: What to call each in a message.

    Raises:
        UserError: names the first value of the configuration, or the first tensor, that differs.
    """
    first, shapes = _flat(asdict(checkpoints[0].config)), checkpoints[0].tensor_shapes()
    for checkpoint, label in zip(checkpoints[1:], labels[1:], strict=True):
        other = _flat(asdict(checkpoint.config))
        for key in [*first, *(other.keys() - first.keys())]:
            if key not in _IRRELEVANT and first.get(key) != other.get(key):
                raise UserError(
                    f"{label}: model.{key}={other.get(key)}; expected {first.get(key)}, "
                    f"as {labels[0]} has"
                )
        own = checkpoint.tensor_shapes()
        for name in sorted(shapes.keys() | own.keys()):
            if shapes.get(name) != own.get(name):
                raise UserError(
                    f"{label}: tensor {name!r} is {_shown(own.get(name))}; "
                    f"expected {_shown(shapes.get(name))}, as {labels[0]} has"
                )


def average(
    checkpoints: Sequence[Checkpoint], weights: Sequence[float], labels: Sequence[str]
) -> Iterator[tuple[str, Tensor]]:
    """Yield `(name, Σ wᵢ·tensorᵢ / Σ wᵢ)`, with one tensor of one checkpoint in memory at a time.

    Sums are in float64 and in the order of the checkpoints, so the result does not depend on how
    it is cut up, and are rounded once, to the widest of the stored dtypes.

    Args:
        checkpoints: of one architecture (`check_alike`).
        weights: one a checkpoint; their sum is positive.
        labels: what to call each in a message.

    Raises:
        UserError: a tensor holds NaN or infinity.
    """
    whole = sum(weights)
    for name in checkpoints[0].tensor_names():
        total: Tensor | None = None
        dtypes = []
        for checkpoint, weight, label in zip(checkpoints, weights, labels, strict=True):
            tensor = checkpoint.read_tensor(name)
            check_finite(label, name, tensor)
            dtypes.append(tensor.dtype)
            if total is None:
                total = torch.zeros(tensor.shape, dtype=torch.float64)
            total.add_(tensor, alpha=weight)
            del tensor  # before the next one comes
        assert total is not None
        mean = total.div_(whole).to(reduce(torch.promote_types, dtypes))
        del total
        yield name, mean


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, each in value.items():
        if isinstance(each, Mapping):
            flat |= _flat(each, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = each
    return flat


def _shown(shape: torch.Size | None) -> str:
    return "absent" if shape is None else str(list(shape))
