"""DPO is the same run for any number of ranks, after any resume, with any packing."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from olmoflow.mesh import Mesh
from olmoflow.model import Olmo3, initialise
from olmoflow.tokens import TokenShards
from olmoflow.tokens.pairs.documents import DocumentReader
from olmoflow.tokens.pairs.reference import count_targets, load_parts, write_log_probs
from olmoflow.train.scoring import Scorer, pack_rows

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tokens" / "pairs")]

from made_pairs import PAIRS, write_pairs  # noqa: E402
from pair_runs import CONFIG, STEPS, train  # noqa: E402

COMPARED = (
    *("train/preference loss", "train/reward margin", "train/log-prob rejected"),
    *("optim/total grad norm", "throughput/total tokens"),
)


@pytest.fixture(scope="module")
def scorer():
    """The model that training starts from."""
    model = Olmo3(CONFIG)
    initialise(model, 0, torch.device("cpu"))
    return Scorer(model.eval(), torch.device("cpu"), row_tokens=100, chunk_tokens=16)


@pytest.fixture(scope="module")
def prepared(scorer, tmp_path_factory):
    """Shards of pairs, and the log-probabilities of their documents."""
    folder = tmp_path_factory.mktemp("pairs")
    lengths = np.random.default_rng(1).integers(4, 40, (PAIRS, 2))
    write_pairs(folder / "train", lengths)
    shards = TokenShards.open(folder / "train")
    scorer.score(DocumentReader(shards), folder / "parts")
    log_probs = load_parts(folder / "parts", 2 * PAIRS)
    write_log_probs(folder, shards, log_probs, count_targets(shards))
    return folder


@pytest.fixture(scope="module")
def single(prepared):
    train(prepared / "train", prepared, prepared / "single", Mesh())
    return curve(prepared / "single")


def curve(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return [{k: float(row[k]) for k in COMPARED} for row in csv.DictReader(file)]


def assert_same(found, expected):
    assert len(found) == len(expected) == STEPS
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, rel=1e-5, abs=1e-5)


def test_at_first_the_policy_is_its_reference(single):
    assert single[0]["train/preference loss"] == pytest.approx(np.log(2), abs=1e-6)
    assert single[-1]["train/reward margin"] > 0.1


def test_one_pair_at_a_time_is_the_same_run(prepared, single):
    train(prepared / "train", prepared, prepared / "alone", Mesh(), packing="none")
    assert_same(curve(prepared / "alone"), single)


def test_a_run_goes_on_where_it_was_stopped(prepared, single):
    parts = prepared / "train", prepared, prepared / "resumed", Mesh()
    assert train(*parts, hard_stop=2).steps == 2
    train(*parts)
    found = curve(prepared / "resumed")
    assert found == single


@pytest.mark.distributed
def test_two_ranks_make_the_run_of_one(prepared, single):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    cases = ["ddp:2,1", "fsdp:1,2"]
    places = [prepared / "train", prepared, prepared]
    subprocess.run([*command, HERE / "pair_runs.py", *places, *cases], check=True)
    assert_same(curve(prepared / "ddp"), single)
    assert_same(curve(prepared / "fsdp"), single)


def test_scores_are_those_of_each_document_alone_and_go_on_where_they_were_cut(
    prepared, scorer, tmp_path
):
    reader = DocumentReader(TokenShards.open(prepared / "train"))
    whole = load_parts(prepared / "parts", 2 * PAIRS)
    for document in (0, 7, 59):
        row = reader.row([document])
        log_p = scorer.model(row["input_ids"])[0].log_softmax(-1)
        learnt = row["labels"][0] != -100
        picked = log_p[learnt].gather(1, row["labels"][0, learnt, None])
        assert float(picked.sum().detach()) == pytest.approx(whole[document], rel=1e-5)
    # One of two ranks has done its share and was cut; then a single one goes on.
    scorer.score(reader, tmp_path / "parts", rank=0, world=2)
    half = load_parts(tmp_path / "parts", 2 * PAIRS)
    assert 0 < np.isnan(half).sum() < 2 * PAIRS
    counted = []
    scorer.score(reader, tmp_path / "parts", progress=lambda done, rows: counted.append(rows))
    left = np.flatnonzero(np.isnan(half))
    assert counted[0] == len(pack_rows(left, reader.lengths, 100, 1))
    np.testing.assert_allclose(load_parts(tmp_path / "parts", 2 * PAIRS), whole, rtol=1e-5)
