"""A small job for plans; any part of it can be changed."""

from dataclasses import replace

import pytest

from olmoflow.mesh import Mesh
from olmoflow.model import Olmo3Config
from olmoflow.plan.calibration import H100
from olmoflow.plan.job import Job

SMALL = Olmo3Config(
    vocab_size=512,
    d_model=64,
    n_layers=2,
    full_attention_every=2,
    n_heads=4,
    n_kv_heads=2,
    ffn_hidden_size=128,
    sliding_window=16,
    max_sequence_length=256,
)


@pytest.fixture
def make_job():
    def make(model=None, mesh=None, **changes):
        mesh = mesh or Mesh(2, 4)
        settings = {"compiled": False, "micro_batch": 2, **changes}
        batch = 128 * settings["micro_batch"] * mesh.data_ranks * 2
        return Job(replace(SMALL, **(model or {})), mesh, H100, 128, batch, batch, **settings)

    return make
