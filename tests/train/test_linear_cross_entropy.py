"""The fused LM head and loss: equal to the plain one, without the batch's logits."""

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode

from olmoflow.train.linear_cross_entropy import IGNORE, linear_cross_entropy

ROWS, WIDTH, VOCAB = 50, 16, 40


def inputs(dtype):
    torch.manual_seed(0)
    hidden = torch.randn(ROWS, WIDTH, dtype=dtype, requires_grad=True)
    weight = torch.randn(VOCAB, WIDTH, dtype=dtype, requires_grad=True)
    labels = torch.randint(VOCAB, (ROWS,))
    labels[[3, 17, 49]] = IGNORE
    return hidden, weight, labels


@pytest.mark.parametrize("chunk", [1, 7, 50, 1024])
@pytest.mark.parametrize("z_loss", [0.0, 0.01])
def test_equals_the_plain_loss(chunk, z_loss):
    hidden, weight, labels = inputs(torch.float32)
    ours, z = linear_cross_entropy(hidden, weight, labels, z_loss, chunk)
    grads = torch.autograd.grad((ours + z) * 0.25, (hidden, weight))
    logits = hidden @ weight.T
    plain = cross_entropy(logits, labels, reduction="sum", ignore_index=IGNORE)
    plain_z = z_loss * (logits.logsumexp(1).square() * (labels != IGNORE)).sum()
    expected = torch.autograd.grad((plain + plain_z) * 0.25, (hidden, weight))
    torch.testing.assert_close(ours, plain)
    torch.testing.assert_close(z, plain_z)
    for ours_grad, theirs in zip(grads, expected, strict=True):
        torch.testing.assert_close(ours_grad, theirs, atol=1e-5, rtol=1e-5)


def test_no_tensor_is_as_large_as_the_logits():
    largest = 0

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            nonlocal largest
            out = function(*args, **(kwargs or {}))
            for tensor in out if isinstance(out, tuple | list) else [out]:
                if isinstance(tensor, torch.Tensor):
                    largest = max(largest, tensor.numel())
            return out

    hidden = torch.randn(4096, 8, requires_grad=True)
    weight = torch.randn(512, 8, requires_grad=True)
    labels = torch.randint(512, (4096,))
    with Watch():
        loss, _ = linear_cross_entropy(hidden, weight, labels, chunk=128)
        loss.backward()
    assert largest <= 128 * 512


def test_nothing_to_predict_is_zero():
    hidden, weight, labels = inputs(torch.float32)
    loss, z = linear_cross_entropy(hidden, weight, torch.full_like(labels, IGNORE), 0.1)
    (loss + z).backward()
    assert loss == z == 0
    assert not hidden.grad.any()
    assert not weight.grad.any()
