"""Tensor names of other formats, and whether all of a model's tensors are there."""

from collections.abc import Mapping, Sequence

import torch

from olmoflow.errors import UserError
from olmoflow.model.config import Olmo3Config
from olmoflow.model.transformer import Olmo3


class RenameTable:
    """Two-way mapping between our tensor names and another format's.

    Args:
        table: our name to theirs; `{}` stands for the number of the block in both.
    """

    def __init__(self, table: Mapping[str, str]) -> None:
        self._theirs = dict(table)
        self._ours = {theirs: ours for ours, theirs in table.items()}

    def theirs(self, name: str) -> str:
        """Their name of one of our tensors."""
        return self._rename(name, self._theirs)

    def ours(self, name: str) -> str:
        """Our name of one of their tensors; a name that Olmo 3 does not have comes back as is."""
        return self._rename(name, self._ours)

    @staticmethod
    def _rename(name: str, table: Mapping[str, str]) -> str:
        parts = name.split(".")
        number = next((part for part in parts if part.isdecimal()), "")
        pattern = ".".join("{}" if part == number else part for part in parts)
        return table.get(pattern, name).replace("{}", number)


def parameter_shapes(config: Olmo3Config) -> dict[str, torch.Size]:
    """Shapes of the model's tensors by our names; nothing is allocated."""
    with torch.device("meta"):
        return {name: tensor.shape for name, tensor in Olmo3(config).state_dict().items()}


def check_tensors(
    where: str, config: Olmo3Config, found: Mapping[str, Sequence[int]], table: RenameTable
) -> None:
    """Check that a source holds exactly the tensors of the model.

    Args:
        where: the source, for the message.
        config: of the model.
        found: shapes by our names.
        table: gives the names that the source itself uses, for the message.

    Raises:
        UserError: names the first tensor that is missing, unexpected or of another shape.
    """
    expected = parameter_shapes(config)
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            raise UserError(f"{where}: no tensor {table.theirs(name)!r}, which Olmo 3 has")
        if name not in expected:
            raise UserError(f"{where}: tensor {table.theirs(name)!r} is none of Olmo 3's")
        if list(found[name]) != list(expected[name]):
            raise UserError(
                f"{where}: tensor {table.theirs(name)!r} has shape {list(found[name])}, "
                f"expected {list(expected[name])}"
            )
