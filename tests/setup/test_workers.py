"""The processes that run the tests share the cores: more threads than cores wait for each other."""

import os

import pytest

from olmoflow.environment import usable_cores


@pytest.mark.parametrize("library", ["OMP", "MKL", "OPENBLAS", "NUMBA", "RAYON"])
def test_all_workers_together_have_no_more_threads_than_there_are_cores(library):
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    threads = int(os.environ[f"{library}_NUM_THREADS"])
    assert workers * threads <= max(workers, usable_cores())
