"""Means that wait for no device."""

import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from olmoflow.train.running_mean import RunningMean


class NothingIsRead(TorchDispatchMode):
    """Fails where a tensor's value comes to the host."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert func is not torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def test_a_weighted_mean_leaves_out_what_is_no_number():
    mean = RunningMean()
    with NothingIsRead():
        mean.update(torch.tensor(2.0), weight=3)
        mean.update(torch.tensor(math.nan), weight=100)
        mean.update(torch.tensor(6.0))
    assert mean.compute() == 3.0
    resumed = RunningMean()
    resumed.restore(float(mean.total), float(mean.weight))
    assert resumed.compute() == 3.0


def test_of_nothing_there_is_no_mean():
    mean = RunningMean()
    mean.update(torch.tensor(math.nan))
    assert mean.compute().isnan()


def test_a_value_that_is_not_finite_shows():
    mean = RunningMean()
    mean.update(torch.tensor(1.0))
    mean.update(torch.tensor(math.inf))
    assert mean.compute().isinf()


def test_torch_would_tell_of_a_value_that_is_read():
    with pytest.raises(AssertionError), NothingIsRead():
        float(torch.tensor(1.0))
