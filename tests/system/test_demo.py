"""`./just demo` with less text and fewer steps: real text to a speaking model, then all reused."""

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# A whole run of `./just` with its own environment; the recipe may bring that up to date first.
pytestmark = pytest.mark.system
SMALLER = [
    "++flow.steps.corpus.overrides={pipeline.max_bytes: 2e6}",
    "++flow.steps.checkpoint.overrides={max_tokens: 40960}",
]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("demo")


def just_demo(home, *overrides):
    return subprocess.run(
        [str(ROOT / "just"), "demo", *SMALLER, *overrides],
        capture_output=True,
        text=True,
        cwd=home,
        env={**os.environ, "OLMOFLOW_HOME": str(home / "artifacts")},
    )


@pytest.fixture(scope="module")
def first(home):
    done = just_demo(home)
    assert done.returncode == 0, done.stderr
    return done


def test_it_says_what_it_does_and_what_came_out(first):
    for step in range(1, 7):
        assert f"[{step}/6]" in first.stderr
    for expected in ("corpus", "shards", "checkpoint", "this model, all", "gzip", "unigram"):
        assert expected in first.stdout
    assert "What to try next" in first.stdout


def test_again_it_reuses_what_is_finished(home, first):
    made = {path: path.stat().st_mtime_ns for path in home.rglob("provenance.json")}
    assert len(made) == 5  # corpus, tokenizer, shards, checkpoint, evaluation
    again = just_demo(home, "output=json")
    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in home.rglob("provenance.json")} == made
    (line,) = again.stdout.splitlines()
    steps = json.loads(line)["steps"]
    assert steps["checkpoint"]["tokens"] == 40_960
    assert steps["checkpoint"]["final"]["train/CE loss"] < 8.9  # that of guessing is ln 8192 = 9.01
    for sample in ("code", "prose"):
        assert steps[sample]["text"]
        assert steps[sample]["text"] in first.stdout


def test_nothing_is_left_outside_the_artifacts(home, first):
    assert [path.name for path in home.iterdir()] == ["artifacts"]
