"""Weights that are no numbers are found and named."""

import pytest
import torch

from olmoflow.errors import UserError
from olmoflow.model.finite import check_finite, finite


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_one_number_that_is_none_is_enough(dtype, value):
    tensor = torch.zeros(7, 5, dtype=dtype)
    check_finite("run", "norm.weight", tensor)
    check_finite("run", "norm.weight", tensor[:0])
    tensor[3, 2] = float(value)
    with pytest.raises(UserError, match=r"^run: tensor 'norm.weight' holds NaN or infinity; exp"):
        list(finite("run", [("embed.weight", torch.ones(2)), ("norm.weight", tensor)]))
