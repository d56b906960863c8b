"""Two evaluations beside each other, and runs as judges of benchmarks, from end to end."""

import json
import statistics

import pytest

TASKS = "tasks=[arc_easy:rc:0shot,lambada:bpb]"
QUIET = ["runtime.progress=false", "runtime.accelerator=cpu", "limit=6"]


@pytest.fixture
def evaluated(tiny):
    """Evaluations ``first`` and ``last`` of two steps of ``series``; ``blank`` has none."""
    if not (tiny.home / "evaluation" / "last").exists():
        tiny("train", "shards=s", *tiny.settings, "name=series", "save.every_steps=1")
        tiny("train", "shards=s", *tiny.settings, "name=blank", "init_seed=4")
        tiny("evaluate", "checkpoint=series@1", TASKS, *QUIET, "name=first")
        tiny("evaluate", "checkpoint=series@4", TASKS, *QUIET, "name=last")
    return tiny


def predictions(tiny, evaluation, task, metric):
    (folder,) = (tiny.home / "evaluation" / evaluation / "tasks").glob(f"*{task}*")
    with (folder / "predictions.jsonl").open() as file:
        return {row["doc_id"]: row["metrics"][metric] for row in map(json.loads, file)}


def test_the_difference_is_over_the_same_questions(evaluated):
    made = evaluated("compare", "a=first", "b=last", "name=training")
    assert made["a"] == {"evaluation": "first", "checkpoint": "series@1"}
    assert made["b"] == {"evaluation": "last", "checkpoint": "series@4"}
    row = made["tasks"]["lambada:bpb"]
    metric = "bits_per_byte_corr"
    a, b = (predictions(evaluated, e, "lambada", metric) for e in ("first", "last"))
    differences = [b[n] - a[n] for n in a]
    assert (row["metric"], row["n"], row["left_out"]) == (metric, 6, 0)
    assert row["difference"] == pytest.approx(statistics.fmean(differences))
    assert row["stderr"] == pytest.approx(statistics.stdev(differences) / 6**0.5)
    assert row["low"] < row["difference"] < row["high"]
    fewer_bits = "better" if row["high"] < 0 else "worse"
    assert row["verdict"] == ("no difference" if row["low"] <= 0 <= row["high"] else fewer_bits)
    assert made["tasks"]["arc_easy:rc:0shot"]["test"] == "mcnemar"
    stored = json.loads((evaluated.home / "report" / "training" / "comparison.json").read_text())
    assert stored["tasks"] == made["tasks"]
    assert evaluated("compare", "a=first", "b=last")["path"] == made["path"]


def test_a_checkpoint_stands_for_its_evaluation(evaluated):
    by_name = evaluated("compare", "a=first", "b=last")
    assert evaluated("compare", "a=series@1", "b=series@4")["path"] == by_name["path"]
    evaluated("evaluate", "checkpoint=series@2", TASKS, *QUIET, "name=x1")
    evaluated("evaluate", "checkpoint=series@2", "tasks=[lambada:bpb]", *QUIET, "name=x2")
    error = evaluated("compare", "a=series@2", "b=last", status=2)
    assert "a=series@2: series@2 has several evaluations; name one of x1, x2" in error
    assert evaluated("compare", "a=x2", "b=last")["only_b"] == ["arc_easy:rc:0shot"]
    error = evaluated("compare", "a=series@3", "b=last", status=2)
    assert "series@3 has no evaluation of a suite of tasks; run `olmoflow evaluate" in error


def test_only_questions_that_both_were_asked_count(evaluated):
    evaluated("evaluate", "checkpoint=series@4", TASKS, *QUIET, "seed=2", "name=fewer")
    (file,) = (evaluated.home / "evaluation" / "fewer").glob("tasks/*lambada*/predictions.jsonl")
    rows = file.read_text().splitlines(keepends=True)
    file.write_text("".join(rows[2:]))
    row = evaluated("compare", "a=first", "b=fewer")["tasks"]["lambada:bpb"]
    assert (row["n"], row["left_out"]) == (4, 2)
    a, b = (predictions(evaluated, e, "lambada", row["metric"]) for e in ("first", "fewer"))
    assert row["difference"] == pytest.approx(statistics.fmean(b[n] - a[n] for n in b))


def test_another_definition_of_a_task_is_refused(evaluated, tmp_path):
    evaluated("evaluate", "checkpoint=series@3", TASKS, *QUIET, "name=changed")
    (file,) = (evaluated.home / "evaluation" / "changed").glob("tasks/*arc*/metrics.json")
    stored = json.loads(file.read_text())
    stored["task_hash"] = "0" * 16
    stored["task_config"]["num_shots"] = 5
    file.write_text(json.dumps(stored))
    error = evaluated("compare", "a=first", "b=changed", status=2)
    expected = "arc_easy:rc:0shot: not the same task in a and b (num_shots: 0 in a, 5 in b)"
    assert expected in error


def test_suites_are_compared_part_by_part(evaluated):
    parts = (
        "children: {x: {aggregate: macro, children: {c: 'arc_easy:bpb:0shot', d: 'lambada:bpb'}}}"
    )
    lab = evaluated.folder / "lab_compare" / "suite"
    lab.mkdir(parents=True, exist_ok=True)
    (lab / "pair.yaml").write_text(f"name: pair\naggregate: macro\n{parts}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OLMOFLOW_CONFIG", str(lab.parent))
        for step in (1, 4):
            evaluated(
                "evaluate", f"checkpoint=series@{step}", "suite=pair", *QUIET, f"name=p{step}"
            )
    made = evaluated("compare", "a=p1", "b=p4")
    rows, part = made["tasks"], made["parts"]["x"]
    both = [rows["arc_easy:bpb:0shot"], rows["lambada:bpb"]]
    assert made["suite"] == "pair"
    assert part["difference"] == pytest.approx(statistics.fmean(r["difference"] for r in both))
    stderr = sum(r["stderr"] ** 2 for r in both) ** 0.5 / 2
    assert part["stderr"] == pytest.approx(stderr)
    assert part["mde80"] == pytest.approx(2.8016 * stderr, rel=1e-3)


@pytest.fixture
def runs(tiny):
    """Two runs that were evaluated at each step while they trained, and two larger ones."""
    watch = ["evaluation.tasks=[lambada:bpb]", "evaluation.every_steps=1", "evaluation.limit=4"]
    for name, *more in (
        ("small1", "optimizer.lr=1e-3"),
        ("small2", "optimizer.lr=3e-2"),
        ("large1", "optimizer.lr=1e-3", "model.d_model=32"),
        ("large2", "optimizer.lr=3e-2", "model.d_model=32"),
    ):
        if not (tiny.home / "checkpoint" / name).exists():
            start = ["train", "shards=s", *tiny.settings, *watch, "evaluation.max_share=null"]
            tiny(*start, f"name={name}", *more)
    return tiny


def test_runs_tell_what_a_benchmark_is_worth(runs):
    made = runs("compare", "runs=[small1,small2]", "last=3", "target=[large1,large2]")
    row = made["metrics"]["eval/downstream/lambada:bpb (bits_per_byte_corr)"]
    assert row["checkpoints"] == {"small1": 3, "small2": 3}
    scores = row["scores"]
    spread = abs(scores["small1"] - scores["small2"]) / statistics.fmean(scores.values())
    assert row["signal"] == pytest.approx(spread)
    assert row["noise"] > 0
    assert row["ratio"] == pytest.approx(row["signal"] / row["noise"])
    assert row["decision_accuracy"] in (0.0, 1.0)
    # A step that was evaluated by itself counts like one that was evaluated in the loop.
    runs("evaluate", "checkpoint=small1@4", "tasks=[arc_easy:bpb:0shot]", *QUIET)
    runs("evaluate", "checkpoint=small2@4", "tasks=[arc_easy:bpb:0shot]", *QUIET)
    again = runs("compare", "runs=[small1,small2]", "last=3")
    metric = "eval/downstream/arc_easy:bpb:0shot (bits_per_byte_corr)"
    assert metric in again["metrics"]
    assert again["unequal_questions"] == []
    # One of fewer questions does not take its place, one of more does, and is told of.
    evaluate = ["evaluate", "checkpoint=small1@4", "tasks=[arc_easy:bpb:0shot]", *QUIET[:2]]
    runs(*evaluate, "limit=3")
    assert runs("compare", "runs=[small1,small2]", "last=3")["metrics"] == again["metrics"]
    more = runs(*evaluate, "limit=9")["tasks"]["arc_easy:bpb:0shot"]["score"]
    mixed = runs("compare", "runs=[small1,small2]", "last=3")
    assert mixed["metrics"][metric]["scores"]["small1"] == more
    assert mixed["unequal_questions"] == [metric]
    # That goes for scores from the loop too, which were of four questions.
    (looped,) = again["metrics"].keys() - {metric}
    alone = ["evaluate", "checkpoint=small1@4", "tasks=[lambada:bpb]", *QUIET[:2]]
    runs(*alone, "limit=2")
    fewer = runs("compare", "runs=[small1,small2]", "last=3")
    assert fewer["metrics"][looped] == again["metrics"][looped]
    more = runs(*alone, "limit=5")["tasks"]["lambada:bpb"]["score"]
    mixed = runs("compare", "runs=[small1,small2]", "last=3")
    assert mixed["metrics"][looped]["scores"]["small1"] == more
    assert mixed["unequal_questions"] == sorted([metric, looped])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "give either a=NAME b=NAME or runs=[NAME,…]"),
        (["a=first"], "give either a=NAME b=NAME or runs=[NAME,…]"),
        (["a=first", "b=last", "runs=[series]"], "give either a=NAME b=NAME or runs=[NAME,…]"),
        (["a=first", "b=nothing"], "b=nothing: no evaluation or checkpoint has this name"),
        (["a=first", "b=last", "metric=bits_per_bite_corr"], "has no such metric; did you mean"),
        (["runs=[blank]"], "blank has no scores; expected runs with evaluation"),
        (["runs=[blank,blank]"], "runs: blank is named twice"),
        (["runs=[series]", "last=1"], "last=1: expected a number of checkpoints, at least 2"),
        (["runs=[series]", "target=[series,blank]"], "target: 2 runs found; expected 1"),
        (["runs=[series]", "metric=acc_raw"], "metric: goes with a=NAME b=NAME"),
        (["a=first", "b=last", "target=[series]"], "target: goes with runs=[NAME,…]"),
    ],
)
def test_a_mistake_is_one_line(evaluated, arguments, expected):
    error = evaluated("compare", *arguments, status=2)
    assert expected in error
    assert len(error.splitlines()) == 1
