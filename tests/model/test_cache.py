"""Generation with the cache: the same logits as reading everything anew, in bounded memory."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from olmoflow.errors import UserError
from olmoflow.model import KVCache, Olmo3, Olmo3Config, initialise

WINDOW = 5
LENGTH = 24
CONFIG = Olmo3Config(
    vocab_size=64,
    d_model=16,
    n_layers=4,
    n_heads=2,
    n_kv_heads=1,
    ffn_hidden_size=32,
    sliding_window=WINDOW,
    init_std=0.2,  # so that attention is far from uniform
    max_sequence_length=64,
)


@pytest.fixture(scope="module")
def model() -> Olmo3:
    model = Olmo3(CONFIG)
    initialise(model, seed=0)
    return model


def random_ids(length: int = LENGTH) -> Tensor:
    return torch.randint(64, (2, length), generator=torch.Generator().manual_seed(0))


@settings(max_examples=40)
@given(cuts=st.sets(st.integers(1, LENGTH - 1)))
def test_any_way_to_cut_the_text_gives_the_same_logits(model, cuts):
    ids = random_ids()
    bounds = [0, *sorted(cuts), LENGTH]
    cache = KVCache(CONFIG, 2, LENGTH)
    with torch.no_grad():
        pieces = [model(ids[:, start:stop], cache=cache) for start, stop in pairwise(bounds)]
        torch.testing.assert_close(torch.cat(pieces, 1), model(ids), rtol=0, atol=1e-5)
    assert cache.length == LENGTH


def test_window_layers_store_no_more_than_their_window():
    cache = KVCache(CONFIG, 2, 64)
    assert [layer.capacity for layer in cache.layers] == [WINDOW, WINDOW, WINDOW, 64]
    assert [layer.capacity for layer in KVCache(CONFIG, 2, 3).layers] == [3] * 4


def test_bf16_cache(model):
    """Keys and values in the compute dtype: what a bf16 forward gives."""
    half = Olmo3(CONFIG, compute_dtype=torch.bfloat16)
    half.load_state_dict(model.state_dict())
    ids = random_ids()
    cache = KVCache(CONFIG, 2, LENGTH, dtype=torch.bfloat16)
    with torch.no_grad():
        pieces = [half(piece, cache=cache) for piece in ids.split([9, *[1] * 15], dim=1)]
        torch.testing.assert_close(torch.cat(pieces, 1), half(ids), rtol=0, atol=0.1)


def test_reading_past_the_end_is_named(model):
    cache = KVCache(CONFIG, 2, 8)
    model(random_ids(8), cache=cache)
    with pytest.raises(UserError) as error:
        model(random_ids(1), cache=cache)
    assert str(error.value) == "KVCache.max_length: 9 tokens found, at most 8 expected"


def test_the_longest_sequence_counts_what_was_read(model):
    short = Olmo3(replace(CONFIG, max_sequence_length=8))
    cache = KVCache(CONFIG, 2, 64)
    short(random_ids(8), cache=cache)
    with pytest.raises(UserError, match=r"^model\.max_sequence_length: a sequence of 9 tokens"):
        short(random_ids(1), cache=cache)


def test_a_cache_holds_no_packed_documents(model):
    ids = random_ids(8)
    with pytest.raises(ValueError, match="exclude each other"):
        model(ids, document_ids=torch.zeros_like(ids), cache=KVCache(CONFIG, 2, 8))
