"""Weights that hold NaN or infinity, found before a checkpoint is made of them.

A model that diverged computes nothing but NaN, and a mean with it is lost as well.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from olmoflow.errors import UserError


def check_finite(where: str, name: str, tensor: Tensor) -> None:
    """See that all of a tensor's numbers are finite; one pass, nothing is allocated.

    Args:
        where: What it belongs to, for the message.
        name: Of the tensor.
        tensor: Of floating-point numbers.

    Raises:
        UserError: One is not.
    """
    if tensor.numel() and not all(torch.isfinite(end) for end in torch.aminmax(tensor)):
        raise UserError(f"{where}: tensor {name!r} holds NaN or infinity; expected finite weights")


def finite(where: str, tensors: Iterable[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
    """Pass `(name, tensor)` on, each checked.

    Raises:
        UserError: One is not finite.
    """
    for name, tensor in tensors:
        check_finite(where, name, tensor)
        yield name, tensor
