"""Log-probabilities through the LM head: equal to the plain ones, without the batch's logits."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from olmoflow.train.linear_log_probs import linear_log_probs

ROWS, WIDTH, VOCAB = 50, 16, 40


def inputs():
    torch.manual_seed(0)
    hidden = torch.randn(ROWS, WIDTH, requires_grad=True)
    weight = torch.randn(VOCAB, WIDTH, requires_grad=True)
    return hidden, weight, torch.randint(VOCAB, (ROWS,))


@pytest.mark.parametrize("chunk", [1, 7, 50, 1024])
def test_each_token_has_the_plain_value_and_a_gradient_of_its_own(chunk):
    hidden, weight, targets = inputs()
    ours = linear_log_probs(hidden, weight, targets, chunk)
    plain = (hidden @ weight.T).log_softmax(1).gather(1, targets[:, None]).squeeze(1)
    torch.testing.assert_close(ours, plain)
    share = torch.randn(ROWS)
    expected = torch.autograd.grad((plain * share).sum(), (hidden, weight))
    for found, wanted in zip(
        torch.autograd.grad((ours * share).sum(), (hidden, weight)), expected, strict=True
    ):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_half_precision_has_the_dtypes_of_its_inputs_and_statistics_in_fp32():
    hidden, weight, targets = inputs()
    half = hidden.detach().bfloat16().requires_grad_()
    ours = linear_log_probs(half, weight, targets)
    assert ours.dtype is torch.float32
    grads = torch.autograd.grad(ours.sum(), (half, weight))
    assert [g.dtype for g in grads] == [torch.bfloat16, torch.float32]
    plain = linear_log_probs(hidden, weight, targets)
    torch.testing.assert_close(ours, plain, atol=0.1, rtol=0.02)


def test_neither_pass_holds_a_tensor_as_large_as_the_logits():
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
    with Watch():
        linear_log_probs(hidden, weight, torch.randint(512, (4096,)), 128).sum().backward()
    assert largest <= 128 * 512
