"""What becomes of errors in ranks."""

import json
import os
import time

import pytest

from olmoflow.commands.launching.launch import _first_error, launch
from olmoflow.errors import UserError

RANK = """
from olmoflow.commands.launching.launch import run_rank
from olmoflow.errors import UserError

def work(folder):
    raise UserError("chunk-0-1.bin: damaged")

if __name__ == "__main__":
    run_rank(work)
"""


@pytest.mark.distributed
def test_a_mistake_that_a_rank_finds_is_the_users(tmp_path, monkeypatch):
    (tmp_path / "rank_of_test.py").write_text(RANK)
    before = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{before}")
    with pytest.raises(UserError) as error:
        launch("rank_of_test", tmp_path, {"name": "local"}, 2)
    assert str(error.value) == "chunk-0-1.bin: damaged"


def test_of_errors_in_the_same_second_the_first_is_the_cause(tmp_path):
    now = time.time()
    for rank, (seconds, message) in enumerate(
        [(0.3, "RuntimeError: connection closed by peer"), (0.1, "ValueError: the cause")]
    ):
        file = tmp_path / f"rank-{rank}-error.json"
        record = {"message": message, "extraInfo": {"timestamp": str(int(now))}}
        file.write_text(json.dumps({"message": record}))
        os.utime(file, (now + seconds, now + seconds))
    assert _first_error(tmp_path, since=now) == "ValueError: the cause"
