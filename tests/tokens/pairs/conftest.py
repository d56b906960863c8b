"""Shards of pairs, made once for the tests of the folder."""

import numpy as np
import pytest

from .made_pairs import PAIRS, write_pairs


@pytest.fixture(scope="session")
def pair_shards(tmp_path_factory):
    lengths = np.random.default_rng(1).integers(4, 40, (PAIRS, 2))
    return write_pairs(tmp_path_factory.mktemp("pairs") / "train", lengths)
