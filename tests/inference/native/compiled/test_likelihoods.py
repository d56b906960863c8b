"""Log-probabilities from parts of the vocabulary are those of the whole."""

import numpy as np
import pytest
import torch

from olmoflow.inference.native.compiled import likelihoods, likelihoods_of, product
from olmoflow.inference.native.compiled.tiles import has_tiles
from olmoflow.inference.native.panels import to_panels

VOCABULARY = 290
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)


@pytest.fixture(params=[1, 2], autouse=True)
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=[32, 96, 1024])
def width(request, monkeypatch):
    """Parts of the vocabulary: many with a short last one, some, one."""
    monkeypatch.setattr(likelihoods, "_NARROWEST", request.param)
    monkeypatch.setattr(likelihoods, "_LOGITS", 1)


@DTYPES
def test_parts_are_as_good_as_the_whole(dtype, width):
    generator = torch.Generator().manual_seed(0)
    hidden, matrix = (torch.randn(n, 48, generator=generator).to(dtype) for n in (21, 300))
    hidden[0] *= 20  # one token has nearly all of the probability
    head = to_panels(matrix) if has_tiles(dtype) else matrix
    rows = np.array([0, 0, 0, *range(21), 4, 4])
    tokens = np.arange(len(rows)) * 11 % VOCABULARY
    logits = product(hidden, matrix[:VOCABULARY]).float()
    tokens[0], tokens[5] = logits[0].argmax(), logits[rows[5]].argmax()
    found, greedy = likelihoods_of(hidden, head, VOCABULARY, rows, tokens)
    expected = logits.log_softmax(-1)[rows, tokens]
    tolerance = 2e-5 if dtype == torch.float32 else 0.02
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=tolerance, atol=tolerance)
    assert (greedy == (logits.argmax(-1).numpy()[rows] == tokens)).all()
    assert greedy[0]
    assert greedy[5]


@DTYPES
def test_of_equal_logits_the_first_is_the_likeliest(dtype, width):
    hidden, matrix = torch.zeros(2, 48, dtype=dtype), torch.zeros(300, 48, dtype=dtype)
    hidden[:, 0] = 1
    matrix[[40, 200], 0] = 2
    rows, tokens = np.array([0, 0, 1]), np.array([200, 40, 7])
    _, greedy = likelihoods_of(hidden, matrix, VOCABULARY, rows, tokens)
    assert greedy.tolist() == [False, True, False]
