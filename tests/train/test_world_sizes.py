"""However many ranks there are and however they share the work, the run is the same."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from olmoflow.mesh import Mesh
from olmoflow.model import Olmo3
from olmoflow.model.checkpoint import list_steps

sys.path.insert(0, str(Path(__file__).parent))

from world_sizes import SPOILT, STEPS, train

CASES = {
    "ddp": "4,1,1",
    "fsdp": "1,4,1",
    "hsdp": "2,2,1",
    "context": "2,1,2",
    "recomputed": "1,2,2",
}
COMPARED = ("train/CE loss", "train/Z loss", "optim/total grad norm", "optim/step skipped")


@pytest.fixture(scope="module")
def runs(shards, tmp_path_factory):
    """A folder with the run of one process and those of four."""
    folder = tmp_path_factory.mktemp("runs")
    train(shards, folder / "single", Mesh())
    script = Path(__file__).with_name("world_sizes.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=4"]
    cases = [f"{name}:{shape}" for name, shape in CASES.items()]
    subprocess.run([*command, script, shards, folder, *cases], check=True)
    return folder


def curve(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return [{k: float(row[k]) for k in COMPARED} for row in csv.DictReader(file)]


def weights(folder):
    (step,) = list_steps(folder)
    assert step.step == STEPS
    model = Olmo3(step.config)
    step.load_model(model)
    return dict(model.named_parameters())


@pytest.mark.distributed
@pytest.mark.parametrize("case", CASES)
def test_losses_and_weights_are_those_of_one_process(runs, case):
    expected, found = curve(runs / "single"), curve(runs / case)
    assert len(found) == STEPS
    for step, (one, many) in enumerate(zip(expected, found, strict=True)):
        for name in COMPARED:
            if name == "train/CE loss" and step == SPOILT:
                continue
            assert many[name] == pytest.approx(one[name], rel=1e-5, abs=1e-7), (step, name)
    ours = weights(runs / case)
    for name, parameter in weights(runs / "single").items():
        far = (ours[name] - parameter).abs()
        # Adam steps as far for a gradient that is all rounding as for any: a number in thousands.
        assert (far > 1e-5).sum() <= far.numel() // 10_000, name
        assert far.max() < 1e-4, name


@pytest.mark.distributed
@pytest.mark.parametrize("case", ["single", *CASES])
def test_all_ranks_sit_out_the_step_that_one_has_spoilt(runs, case):
    skipped = [row["optim/step skipped"] for row in curve(runs / case)]
    assert skipped == [float(step == SPOILT) for step in range(STEPS)]
