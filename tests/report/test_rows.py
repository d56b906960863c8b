"""What is one row, what its columns are, and how figures are shown."""

import pytest

from olmoflow.errors import UserError
from olmoflow.report import Failure, Run, gather
from olmoflow.report.rows import Cell
from olmoflow.report.write import markdown, shown, write_report


def run(name, overrides, metrics=None, curve=None, **config):
    flat = {"optimizer.lr": 1e-3, "init_seed": 0, "data_seed": 0, "warmup": 10, **config}
    return Run(name, overrides, flat, metrics or {"train/CE loss": 3.0}, curve)


def test_runs_that_differ_only_in_seeds_are_one_row():
    runs = [
        run(f"{lr}-{seed}", {"optimizer.lr": lr, "init_seed": str(seed)}, {"train/CE loss": loss},
            **{"optimizer.lr": float(lr), "init_seed": seed})
        for lr, seed, loss in [("8e-3", 1, 3.0), ("8e-3", 2, 4.0), ("1e-3", 1, 5.0)]
    ]  # fmt: skip
    report = gather(runs, title="t")
    assert [row.setting for row in report.rows] == [
        {"optimizer.lr": "0.001"},
        {"optimizer.lr": "0.008"},
    ]
    assert report.rows[0].cells["train/CE loss"] == Cell(5.0, None, 1)
    assert report.rows[1].cells["train/CE loss"] == Cell(3.5, pytest.approx(0.5**0.5), 2)


def test_one_setting_written_in_two_ways_is_one_row():
    runs = [
        run("a", {"optimizer.lr": "1e-3", "init_seed": "1"}, init_seed=1),
        run("b", {"optimizer.lr": "0.001", "init_seed": "2"}, init_seed=2),
        run("c", {"init_seed": "3"}, init_seed=3),
    ]
    (row,) = gather(runs, title="t").rows
    assert [each.name for each in row.runs] == ["a", "b", "c"]


def test_what_the_overrides_do_not_tell_apart_the_configs_do():
    runs = [run("a", {"experiments": "x"}, warmup=10), run("b", {"experiments": "x"}, warmup=20)]
    assert [row.setting for row in gather(runs, title="t").rows] == [
        {"warmup": "10"},
        {"warmup": "20"},
    ]
    assert gather([run("a", None, warmup=5), run("b", None)], title="t").columns == ["warmup"]


def test_a_metric_that_nobody_has_is_named():
    with pytest.raises(UserError, match=r"metrics=train/CE los: none of the runs has this metric"):
        gather([run("a", {})], title="t", metrics=["train/CE los"])


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, "–"),
        (Cell(3.14159, None, 1), "3.142"),
        (Cell(3.14159, 0.0123, 3), "3.142 ± 0.012"),
        (Cell(48210.7, 1234.5, 3), "48211 ± 1234"),
    ],
)
def test_figures_are_shown_to_the_digits_that_their_spread_leaves(cell, text):
    assert shown(cell) == text


def test_failures_are_listed_and_do_not_break_the_table(tmp_path):
    failures = [Failure("train a=1", "first line | with a bar\nand a second")]
    text = markdown(gather([run("a", {})], failures, title="t"))
    assert "| `train a=1` | first line \\| with a bar and a second |" in text
    assert "## Failed" in markdown(gather([], failures, title="t"))
    assert write_report(gather([], failures, title="t"), tmp_path, ["train/CE loss"]) == []


@pytest.mark.parametrize("rows", [1, 3, 12])
def test_plots_have_one_line_a_row(tmp_path, rows):
    runs = []
    for row in range(rows):
        for seed in (1, 2):
            curve = tmp_path / f"{row}-{seed}.csv"
            # The second seed reported at other steps too, and its last line was cut.
            steps = "".join(f"{s},{s * 512},{9 / s + row}\n" for s in range(1, 9, seed))
            curve.write_text(f"step,throughput/total tokens,train/CE loss\n{steps}9,,\n")
            overrides = {"optimizer.lr": str(row), "init_seed": str(seed)}
            config = {"optimizer.lr": row, "init_seed": seed}
            runs.append(run(curve.stem, overrides, None, curve, **config))
    report = gather(runs, title="t")
    assert len(report.rows) == rows
    (plot,) = write_report(report, tmp_path, ["train/CE loss", "no such column"])
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_rows_by_settings_of_ones_choice():
    """Runs that start from checkpoints of their own differ in more than says something."""
    runs = [
        run(f"{method}-{seed}", {"checkpoint": f"c{seed}"}, data_seed=seed,
            **{"method.name": method})
        for method in ("sft", "dpo") for seed in (1, 2)
    ]  # fmt: skip
    report = gather(runs, title="t", columns=["method"])
    assert [(row.label, len(row.runs)) for row in report.rows] == [
        ("method=dpo", 2),
        ("method=sft", 2),
    ]
    with pytest.raises(UserError, match="columns=metod"):
        gather(runs, title="t", columns=["metod"])
