"""Evaluation while training goes on: the same training, the scores of the same model."""

import csv

import pytest

from olmoflow.commands.main import main

TASKS = "evaluation.tasks=[arc_easy:rc:0shot,lambada:bpb]"
RUN = ["evaluation.every_steps=2", "evaluation.limit=3", "evaluation.max_share=null"]
METRICS = [
    "eval/downstream/arc_easy:rc:0shot (acc_per_char)",
    "eval/downstream/lambada:bpb (bits_per_byte_corr)",
]
TIMED = "throughput/device/"


def curve(tiny, name):
    with (tiny.home / "checkpoint" / name / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def beside(what, metric):
    """The column of a score's standard error, or of its number of questions."""
    return metric.replace("eval/", f"eval/{what}/", 1)


def untimed(rows):
    """What training determines."""
    return [{k: v for k, v in row.items() if not k.startswith((TIMED, "eval/"))} for row in rows]


@pytest.fixture
def watched(tiny):
    """A run that is evaluated at every other step, and its twin that is not."""
    if not (tiny.home / "checkpoint" / "watched").exists():
        settings = ["shards=s", *tiny.settings]
        # What is evaluated is no part of a run's key, so the twin gets another home.
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("OLMOFLOW_HOME", str(tiny.home / "twin"))
            tiny("train", f"shards={tiny.home / 'shards/s'}", *tiny.settings, "name=plain")
        tiny("train", *settings, TASKS, *RUN, "name=watched")
    return tiny


def test_training_is_the_same_to_the_bit(watched):
    with (watched.home / "twin/checkpoint/plain/metrics.csv").open(newline="") as file:
        plain = list(csv.DictReader(file))
    assert untimed(curve(watched, "watched")) == untimed(plain)


def test_scores_are_those_of_the_checkpoint(watched):
    rows = {row["step"]: row for row in curve(watched, "watched")}
    assert set(rows) == {"1", "2", "3", "4"}  # a row a step, the scores in it
    assert not rows["1"].get(METRICS[0])
    assert rows["2"][METRICS[1]] != rows["4"][METRICS[1]]
    found = watched(
        *("evaluate", "checkpoint=watched", TASKS.removeprefix("evaluation."), "limit=3"),
        *("runtime.progress=false", "runtime.accelerator=cpu", "runtime.dtype=float32"),
    )
    # Training computes in bfloat16, what it is evaluated in.
    bpb = found["tasks"]["lambada:bpb"]["score"]
    assert float(rows["4"][METRICS[1]]) == pytest.approx(bpb, rel=2e-2)
    # Beside each score how sure it is, and of how many questions.
    stderr = found["tasks"]["lambada:bpb"]["stderr"]
    assert float(rows["4"][beside("stderr", METRICS[1])]) == pytest.approx(stderr, rel=0.1)
    assert [float(rows["4"][beside("questions", name)]) for name in METRICS] == [3, 3]


@pytest.mark.distributed
def test_a_sharded_model_has_the_scores_of_a_whole_one(watched):
    settings = ["shards=s", *watched.settings, "dtype=float32", TASKS, *RUN, "init_seed=5"]
    ranks = ["runtime.micro_batch_sequences=2", "parallel.ranks=2"]
    watched("train", *settings, "name=one")
    one = curve(watched, "one")
    # Another home, for how the work is shared is no part of a run's key.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OLMOFLOW_HOME", str(watched.home / "sharded"))
        sharded = [f"shards={watched.home / 'shards/s'}", *settings[1:], *ranks, "parallel=fsdp"]
        watched("train", *sharded, "name=two")
    file = watched.home / "sharded/checkpoint/two/metrics.csv"
    with file.open(newline="") as rows:
        two = list(csv.DictReader(rows))
    for ours, theirs in zip(one, two, strict=True):
        for name in (*METRICS, "train/CE loss"):
            if ours[name]:
                assert float(theirs[name]) == pytest.approx(float(ours[name]), rel=2e-4), name
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OLMOFLOW_HOME", str(watched.home / "sharded_plain"))
        plain = [each for each in sharded if not each.startswith("evaluation")]
        watched("train", *plain, "name=two")
    with (watched.home / "sharded_plain/checkpoint/two/metrics.csv").open(newline="") as rows:
        assert untimed(two) == untimed(list(csv.DictReader(rows)))


def test_a_finished_run_that_was_not_scored_says_so(tiny, capfd):
    settings = ["train", "shards=s", *tiny.settings, "init_seed=11"]
    assert main(settings) == 0
    capfd.readouterr()
    assert main([*settings, TASKS, "evaluation.every_steps=2"]) == 0
    assert "was not evaluated while it trained; to score it: olm" in capfd.readouterr().err


def test_what_costs_more_than_its_share_is_left_out(watched, capfd):
    small = ["evaluation.max_share=1e-6", "evaluation.every_steps=1", "evaluation.limit=3"]
    arguments = ["train", "shards=s", *watched.settings, TASKS, *small, "name=thrifty"]
    assert main([*arguments, "init_seed=8"]) == 0
    errors = capfd.readouterr().err
    assert "evaluation: left out at step 1; it takes about" in errors
    assert "evaluation: 4 were left out to stay within max_share=1e-06" in errors
    assert not any(row.get(METRICS[0]) for row in curve(watched, "thrifty"))


def test_what_does_not_fit_the_model_is_named(tiny, capfd):
    """Once: a task that fits in nothing, and how many contexts are cut."""
    short = ["model.max_sequence_length=32", "evaluation.tasks=[mbpp:bpb,lambada:bpb]"]
    arguments = ["train", "shards=s", *tiny.settings, *short, *RUN, "name=short", "init_seed=3"]
    assert main(arguments) == 0
    errors = capfd.readouterr().err
    assert errors.count("has no score") == 1
    assert "evaluation: mbpp:bpb has no score at step 2: no instance was answered" in errors
    assert errors.count("evaluation: 3 of 6 requests are longer than the 32 tokens") == 1
    last, metric = curve(tiny, "short")[-1], "eval/downstream/mbpp:bpb (bits_per_byte_corr)"
    assert metric not in last
    assert float(last[beside("questions", metric)]) == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["evaluation.tasks=[arc_easy:rx]"], "no task arc_easy:rx; did you mean arc_easy:rc"),
        (["evaluation=fats"], "evaluation=fats: did you mean fast?"),
        (["evaluation.tasks=[jeopardy:gen]"], "jeopardy:gen asks for text; while training"),
        ([TASKS, "log_every=3"], "every_steps=1000: expected a multiple of log_every=3"),
        ([TASKS, "evaluation.max_share=2"], "max_share=2: expected more than 0 and at most 1"),
        ([TASKS, "evaluation.limit=0"], "evaluation.limit=0: expected a number of questions"),
    ],
)
def test_a_mistake_is_one_line(tiny, arguments, expected):
    error = tiny("train", "shards=s", *tiny.settings, "init_seed=9", *arguments, status=2)
    assert expected in error
    assert len(error.splitlines()) == 1
