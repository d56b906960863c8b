"""Memory in large pages is memory of zeros like any other."""

import pytest
import torch

from olmoflow.inference.native.pages import zeros


@pytest.mark.parametrize("number", [0, 1, 2**19 - 1, 2**20, 3 * 2**20 + 5])
def test_zeros_of_any_size_also_where_others_have_been(number):
    for _ in range(3):
        found = zeros((2, number), torch.device("cpu"), torch.float32)
        assert found.shape == (2, number)
        assert found.dtype == torch.float32
        assert not found.any()
        found.fill_(1)
