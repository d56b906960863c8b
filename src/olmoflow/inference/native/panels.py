"""Matrices in the order in which vector instructions multiply with them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

COLUMNS = 32
"""Outputs of a panel."""
WORD = 4
"""Bytes of an output's inputs that are multiplied at once: one of fp32, two of bf16."""


@dataclass(frozen=True)
class Panels:
    """A matrix [outputs, inputs], cut into panels of 32 outputs.

    A panel has the first word of each output, then the second, so that it is read as it lies.

    Attributes:
        numbers: [panels, words, 32, inputs of a word]; outputs beyond the matrix's are zeros.
        outputs: Of the matrix.
    """

    numbers: Tensor
    outputs: int

    @property
    def inputs(self) -> int:
        """Of the matrix."""
        return self.numbers.shape[1] * self.numbers.shape[3]

    def part(self, first: int, end: int) -> Panels:
        """Some of the outputs; the first is a multiple of 32."""
        return Panels(self.numbers[first // COLUMNS : -(-end // COLUMNS)], end - first)


def to_panels(matrix: Tensor) -> Panels:
    """Arrange a matrix, [outputs, inputs]; inputs must fill words."""
    (outputs, inputs), lanes = matrix.shape, WORD // matrix.itemsize
    padded = matrix.new_zeros((-(-outputs // COLUMNS) * COLUMNS, inputs))
    padded[:outputs] = matrix
    numbers = padded.view(-1, COLUMNS, inputs // lanes, lanes).transpose(1, 2).contiguous()
    return Panels(numbers, outputs)
