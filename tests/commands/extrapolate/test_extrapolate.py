"""Runs and tables into laws, held-out runs beside their predictions, and what is no ladder."""

import csv
import json

import numpy as np
import pytest

from olmoflow.commands.command_line.hydra_app import compose, plain_config
from olmoflow.commands.main import main
from olmoflow.evaluate.scaling import PowerLaw, Sigmoid
from olmoflow.model import Olmo3Config

LAW = PowerLaw(("parameters", "tokens"), 0.45, (60.0, 90.0), (0.3, 0.28))
CURVE = Sigmoid(0.7, 0.65, -9.0, 0.25)
QUICK = ["fit.resamples=5", "fit.starts=3"]


@pytest.fixture
def table(tiny):
    path = tiny.folder / "ladder.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["run", "parameters", "tokens", "compute", "bpb", "accuracy", "percent"])
        for n in (190e6, 371e6, 758e6, 1279e6):
            for m in (1, 2, 5, 10):
                loss = float(LAW.predict(np.array([[n, 20 * n * m]]))[0])
                right = float(CURVE.predict(np.array([loss]))[0])
                compute = 6 * n * 20 * n * m
                writer.writerow([f"{n}x{m}", n, 20 * n * m, compute, loss, right, right * 100])
    return path


def test_a_table_becomes_a_law_and_a_prediction(tiny, table):
    target = tiny.folder / "experiments" / "mine"
    made = tiny(
        *["extrapolate", f"table={table}", "metric=bpb", "accuracy=accuracy", "name=law", *QUICK],
        *["predict=[{parameters: 6.9e9, tokens: 3.9e12}]", "fit.anchor=null", f"target={target}"],
    )
    values = made["law"]["values"]
    assert [values[s] for s in "EAαBβ"] == pytest.approx([0.45, 60, 0.3, 90, 0.28], rel=1e-3)
    assert made["sigmoid"] == pytest.approx(vars(CURVE), rel=1e-3)
    (found,) = made["predictions"]
    truth = LAW.predict(np.array([[6.9e9, 3.9e12]]))
    assert (found["parameters"], found["tokens"]) == (6.9e9, 3.9e12)
    assert found["loss"]["predicted"] == pytest.approx(float(truth[0]), rel=1e-4)
    assert found["accuracy"]["predicted"] == pytest.approx(float(CURVE.predict(truth)[0]), rel=1e-3)
    assert found["loss"]["measured"] is found["loss"]["error"] is None
    files = {"law.png", "accuracy.png", "predictions.png", "runs.csv", "README.md"}
    assert {p.name for p in target.iterdir()} == files
    assert (target / "README.md").read_text() == (
        tiny.home / "report" / "law" / "report.md"
    ).read_text()
    with (target / "runs.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 16
    again = ["extrapolate", f"table={table}", "metric=bpb", "accuracy=accuracy", *QUICK]
    again += ["predict=[{parameters: 6.9e9, tokens: 3.9e12}]", "fit.anchor=null"]
    assert tiny(*again)["report"] == "law"  # the same work, not done again


def test_a_law_of_compute(tiny, table):
    made = tiny(
        *["extrapolate", f"table={table}", "metric=bpb", "variables=[compute]", *QUICK],
        "predict=[{compute: 1.6e23}]",
    )
    assert made["law"]["formula"] == "L = E + A/C^α"
    assert made["predictions"][0]["loss"]["predicted"] < 0.6


def test_a_law_of_size_alone_is_of_runs_with_equal_tokens(tiny):
    """Budgets end with a step, so what is nearly equal is."""
    law = PowerLaw(("parameters",), 0.45, (60.0,), (0.3,))
    sizes = (190e6, 371e6, 758e6, 1279e6)
    path = tiny.folder / "budgets.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["run", "parameters", "tokens", "bpb"])
        for place, n in enumerate(sizes):
            loss = float(law.predict(np.array([[n]]))[0])
            writer.writerow([f"{n}", n, 40e9 * (1 + 0.004 * place), loss])
            writer.writerow([f"{n} less", n, 20e9, 1.2 * loss])
    (alone := tiny.folder / "no_tokens.csv").write_text(
        "\n".join(
            ",".join((parameters, score))
            for _, parameters, tokens, score in csv.reader(path.read_text().splitlines())
            if tokens != "20000000000.0"
        )
    )
    law_of = ["extrapolate", "metric=bpb", "variables=[parameters]", *QUICK]
    assert tiny(*law_of, f"table={alone}")["runs"] == 4  # nothing is known of their tokens
    arguments = [*law_of, f"table={path}"]
    assert (
        "and 20,000,000,000 tokens, of which such a law knows nothing; expected where={tokens: …}"
        in (tiny(*arguments, status=2))
    )
    made = tiny(*arguments, "where={tokens: 40e9}", "predict=[{parameters: 6.9e9}]")
    assert made["runs"] == 4
    found = made["predictions"][0]["loss"]["predicted"]
    assert found == pytest.approx(float(law.predict(np.array([[6.9e9]]))[0]), rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["metric=bpb", "where={tokens: 5}"],
            "where.tokens=5: no run has it; there are 3,800,000,000, 7,420,000,000",
        ),
        (["metric=bpb", "where={size: 5}"], "where.size=5: expected parameters, tokens, compute"),
        (["metric=bpb", "where={tokens: no}"], "where.tokens=no: expected a number above 0"),
        ([], "table=TABLE: has no column bits_per_byte; expected one beside run, parameters"),
        (["metric=bpb", "accuracy=percent"], "expected shares between 0 and 1"),
        (
            ["metric=bpb", "variables=[tokens, parameters]"],
            "variables=['tokens', 'parameters']: expected [parameters, tokens] or [parameters]",
        ),
        (
            ["metric=bpb", "predict=[{parameters: 7e9}]"],
            "predict[0]={'parameters': 7000000000.0}: expected {parameters: …, tokens: …}",
        ),
        (
            ["metric=bpb", "predict=[{parameters: 7e9, tokens: no}]"],
            "predict[0].tokens=no: expected a number above 0",
        ),
        (["metric=bpb", "runs=[a]"], "table: give one of group=, runs= and table="),
        (["metric=bpb", "held_out=[no*]"], "held_out=no*: no finished checkpoint or evaluation"),
        (["metric=bpb", "+fit.start=3"], "fit.start: Settings has no such argument; did you mean"),
        (["metric=bpb", "fit.delta=small"], "fit.delta='small': input should be a valid number"),
        (["metric=bpb", "fit.starts=0"], "fit.starts=0: expected more than 0"),
        (["metric=run"], "table=TABLE: line 2, run=190000000.0x1: expected a number"),
    ],
)
def test_mistakes_in_a_table(tiny, table, arguments, message):
    found = tiny("extrapolate", f"table={table}", *QUICK, *arguments, status=2)
    assert message.replace("TABLE", str(table)) in found


@pytest.mark.parametrize("column", [1, 2, 4])
def test_zeros_in_a_table(tiny, table, column):
    """Of a size, tokens or a loss of 0 there is no logarithm; an accuracy may be 0."""
    lines = table.read_text().splitlines()
    cells = lines[3].split(",")
    name, cells[column] = lines[0].split(",")[column], "0"
    path = tiny.folder / "zeros.csv"
    path.write_text("\n".join([*lines[:3], ",".join(cells), *lines[4:]]) + "\n")
    message = tiny("extrapolate", f"table={path}", "metric=bpb", *QUICK, status=2)
    assert f"line 4, {name}=0: expected a number above 0" in message


def test_too_small_a_table(tiny, table):
    path = tiny.folder / "small.csv"
    path.write_text("\n".join(table.read_text().splitlines()[:4]) + "\n")
    message = tiny("extrapolate", f"table={path}", "metric=bpb", *QUICK, status=2)
    assert "runs of 3 different parameters and tokens for a law of 5 parameters" in message


def test_no_table(tiny):
    message = tiny("extrapolate", "table=none.csv", "metric=bpb", status=2)
    assert message == "olmoflow: table=none.csv: no such file; expected a CSV file"


def test_runs_that_are_no_rungs(tiny):
    small = [*tiny.settings, "max_tokens=512"]
    first = tiny("train", "shards=s", *small, "name=first", "group=rungs")["checkpoint"]
    more = tiny("train", "shards=s", *small, f"checkpoint={first}", "name=more")["checkpoint"]
    loss = "metric=train/CE loss"
    assert "first has no such score; is it evaluated?" in tiny(
        "extrapolate", "runs=[first]", "metric=bits_per_byte", status=2
    )
    assert "did you mean train/CE loss?" in tiny(
        "extrapolate", "runs=[first]", "metric=train/CE los", status=2
    )
    assert f"{more} began from another checkpoint" in tiny(
        "extrapolate", f"runs=[{first},{more}]", loss, status=2
    )
    assert "held_out=first: is one of the fitted runs as well" in tiny(
        "extrapolate", "runs=[first]", "held_out=[first]", loss, status=2
    )
    for _ in range(2):  # what reads a group does not become one of its jobs
        assert "runs of 1 different parameters and tokens for a law of 5" in tiny(
            "extrapolate", "group=rungs", loss, status=2
        )
    tiny("train", "shards=s", *small, "dtype=float8", "group=rungs", status=2)
    assert "dtype=float8 failed (dtype=float8: expected" in tiny(
        "extrapolate", "group=rungs", loss, status=2
    )


def test_the_ladder_predicts_its_next_size_from_end_to_end(tmp_path, monkeypatch, capfd):
    """The flow made smaller: three sizes, budgets of a few thousand tokens."""
    monkeypatch.setenv("OLMOFLOW_HOME", str(tmp_path / "artifacts"))
    monkeypatch.chdir(tmp_path)
    steps = "flow.steps"
    rung = (
        "{recipe: ladder, model.vocab_size: 320, sequence_length: 64, "
        "global_batch_tokens: 512, warmup: 1, dtype: float32, log_every: 1}"
    )
    sizes = "model: [ladder/33k, ladder/62k, ladder/99k], max_tokens: [1024, 2048, 4096]"
    one = "model: [ladder/33k], max_tokens: [1024]"
    arguments = [
        *["flow", "flow=ladder", "output=json"],
        f"++{steps}.corpus.overrides={{pipeline: installed_text, pipeline.max_bytes: 2e5, "
        "pipeline.heldout_fraction: 0.2}",
        f"++{steps}.shards.overrides={{tokenizer.vocab_size: 320}}",
        *(f"++{steps}.{name}.overrides={rung}" for name in ("rungs", "again")),
        f"++{steps}.rungs.sweep={{{sizes}, init_seed: [1]}}",
        f"++{steps}.again.sweep={{{one}, init_seed: [2]}}",
        f"++{steps}.target.overrides={{model: ladder/197k, max_tokens: 4096, {rung[1:]}",
        f"++{steps}.prediction.overrides={{fit.resamples: 3, fit.starts: 3, "
        "predict: [{parameters: 163632, tokens: 4096}]}",
        f"++{steps}.report.overrides={{fit.resamples: 3, fit.starts: 3}}",
        f"++{steps}.prediction_by_size.overrides={{fit.resamples: 3, fit.starts: 3, "
        "variables: [parameters], where: {tokens: 4096}, predict: [{parameters: 163632}]}",
        f"++{steps}.report_by_size.overrides={{fit.resamples: 3, fit.starts: 3, "
        "variables: [parameters], where: {tokens: 4096}}",
    ]
    assert main(arguments) == 0
    done = json.loads(capfd.readouterr().out)["steps"]
    before, report = done["prediction"], done["report"]
    assert report["runs"] == before["runs"] == 10
    assert report["law"] == before["law"]
    (foretold,), (found,) = before["predictions"], report["predictions"]
    assert foretold["loss"]["measured"] is None
    assert found["loss"]["predicted"] == foretold["loss"]["predicted"]
    assert (found["parameters"], found["tokens"]) == (163_632, 4096)
    scores = [job["result"]["score"] for job in done["target_scores"]["jobs"]]
    measured = sum(scores) / 2
    assert found["loss"]["measured"] == pytest.approx(measured)
    assert found["loss"]["error"] == pytest.approx(found["loss"]["predicted"] / measured - 1)
    (by_size,) = done["prediction_by_size"]["predictions"]
    (found_by_size,) = done["report_by_size"]["predictions"]
    assert done["report_by_size"]["runs"] == 3  # those with the target's tokens
    assert by_size["loss"]["predicted"] == found_by_size["loss"]["predicted"]
    assert found_by_size["loss"]["measured"] == pytest.approx(measured)
    text = (tmp_path / "artifacts" / "report" / report["report"] / "report.md").read_text()
    assert f"| 164k | 4.1k | {found['loss']['predicted']:.4f} |" in text


def test_the_flow_predicts_the_size_that_it_trains():
    """The prediction is made before the model exists, so the flow's file says its size."""
    flow = plain_config(compose("flow", ["flow=ladder"]))["flow"]["steps"]
    (wanted,) = flow["prediction"]["overrides"]["predict"]
    target = flow["target"]["overrides"]
    model = plain_config(compose("train", [f"model={target['model']}", "recipe=ladder"]))["model"]
    shape = Olmo3Config.from_dict({k: v for k, v in model.items() if k != "_target_"})
    assert wanted == {
        "parameters": shape.num_non_embedding_parameters,
        "tokens": target["max_tokens"],
    }
    (by_size,) = flow["prediction_by_size"]["overrides"]["predict"]
    assert by_size == {"parameters": wanted["parameters"]}
    for step in ("prediction_by_size", "report_by_size"):
        assert flow[step]["overrides"]["where"] == {"tokens": target["max_tokens"]}
    assert model["vocab_size"] == flow["shards"]["overrides"]["tokenizer.vocab_size"]
