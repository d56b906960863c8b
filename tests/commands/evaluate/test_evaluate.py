"""Tasks of Ai2's evaluation wheel through the command, on a model of a few thousand weights."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from olmoflow.artifact import open_artifact, verify
from olmoflow.commands.main import main
from olmoflow.identity import key_of

TASKS = "tasks=[arc_easy:rc:0shot,arc_easy:bpb:0shot,lambada:greedy]"
QUIET = ["runtime.progress=false", "runtime.accelerator=cpu"]


@pytest.fixture
def trained(tiny):
    """A checkpoint series ``r``; the value is its last step as a Hugging Face folder."""
    folder = tiny.folder / "hf"
    if not folder.exists():
        tiny("train", "shards=s", *tiny.settings, "name=r", "logger=wandb")
        tiny("export", "checkpoint=r", f"target={folder}", "dtype=float32")
    return folder


def evaluate(tiny, *arguments, **options):
    return tiny("evaluate", "limit=3", *QUIET, *arguments, **options)


def test_tasks_have_scores_that_are_kept(tiny, trained):
    made = evaluate(tiny, "checkpoint=r", TASKS, "name=scores")
    assert made["suite"] == "tasks"
    assert made["score"] is None  # single tasks have no score together
    assert list(made["tasks"]) == ["arc_easy:rc:0shot", "arc_easy:bpb:0shot", "lambada:greedy"]
    row = made["tasks"]["arc_easy:bpb:0shot"]
    assert (row["metric"], row["n"], row["higher_is_better"]) == ("bits_per_byte_corr", 3, False)
    assert row["score"] > 0
    assert row["stderr"] > 0
    assert row["outcomes"]["scored"] == 3
    folder = tiny.home / "evaluation" / "scores"
    assert json.loads((folder / "metrics.json").read_text())["tasks"] == made["tasks"]
    assert len(list(folder.glob("tasks/*/predictions.jsonl"))) == 3
    before = (folder / "metrics.json").stat().st_mtime_ns
    assert evaluate(tiny, "checkpoint=r", TASKS, "name=scores") == made
    assert (folder / "metrics.json").stat().st_mtime_ns == before


COMPILER = """
import sys
from olmoflow.commands.main import main
assert main(sys.argv[1:]) == 0
print("torch._dynamo" in sys.modules, "torch" in sys.modules)
"""


def test_no_compiler_is_imported_to_score_a_model(tiny, trained):
    """PyTorch's takes longer to import than a tiny model to be scored."""
    arguments = ["evaluate", "checkpoint=r", "tasks=[lambada:greedy]", "limit=2", *QUIET]
    command = [sys.executable, "-c", COMPILER, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False True"


def test_the_native_engine_and_transformers_agree(tiny, trained):
    native = evaluate(tiny, "checkpoint=r", TASKS)
    ours = evaluate(tiny, f"checkpoint={trained}", TASKS)
    hf = evaluate(tiny, f"checkpoint={trained}", TASKS, "engine=hf")
    assert len({native["path"], ours["path"], hf["path"]}) == 3
    for task, row in native["tasks"].items():
        for other in (ours, hf):
            assert other["tasks"][task]["score"] == pytest.approx(row["score"], abs=1e-4), task


def test_a_suite_has_the_scores_of_its_parts(tiny, trained, monkeypatch):
    lab = tiny.folder / "lab"
    (lab / "suite").mkdir(parents=True, exist_ok=True)
    nested = {
        "name": "nested",
        "aggregate": "macro",
        "limit": 3,
        "children": {
            "arc": {"aggregate": "macro", "children": {"easy": "arc_easy:bpb:0shot"}},
            "lambada": {"task": "lambada:bpb", "limit": 2},
        },
    }
    (lab / "suite/nested.yaml").write_text(yaml.safe_dump(nested))
    monkeypatch.setenv("OLMOFLOW_CONFIG", str(lab))
    made = tiny("evaluate", "checkpoint=r", "suite=nested", *QUIET)
    scores = {task: row["score"] for task, row in made["tasks"].items()}
    assert made["tasks"]["lambada:bpb"]["n"] == 2
    assert made["score"] == pytest.approx(sum(scores.values()) / 2)
    assert made["parts"]["arc"]["children"]["easy"]["task"] == "arc_easy:bpb:0shot"
    assert made["parts"]["arc"]["score"] == scores["arc_easy:bpb:0shot"]
    shorter = tiny("evaluate", "checkpoint=r", "suite=nested", "limit=1", *QUIET)
    assert {row["n"] for row in shorter["tasks"].values()} == {1}


def test_only_what_is_missing_is_evaluated(tiny, trained):
    made = evaluate(tiny, "checkpoint=r@4", TASKS, "name=cut")
    folder = tiny.home / "evaluation" / "cut"
    times = {p: p.stat().st_mtime_ns for p in folder.glob("tasks/*/metrics.json")}
    # As a kill in the middle of the last task would leave it.
    (folder / "provenance.json").unlink()
    last = max(times)
    last.unlink()
    again = evaluate(tiny, "checkpoint=r@4", TASKS, "name=cut")
    assert again["tasks"] == made["tasks"]
    assert {p: p.stat().st_mtime_ns for p in times if p != last} == {
        p: t for p, t in times.items() if p != last
    }
    assert last.is_file()


def test_stored_answers_are_scored_without_the_model(tiny, trained, monkeypatch):
    made = evaluate(tiny, "checkpoint=r", TASKS, "name=answers")
    monkeypatch.setattr(
        "olmoflow.commands.evaluate.tasks.open_engine",
        lambda *_: pytest.fail("a model was asked"),
    )
    again = evaluate(tiny, "checkpoint=r", TASKS, "recompute=answers", "limit=3")
    assert again["path"] != made["path"]
    assert again["tasks"] == made["tasks"]
    tiny("evaluate", "checkpoint=r", *QUIET, "name=text")
    error = evaluate(tiny, "checkpoint=r", TASKS, "recompute=text", status=2)
    assert "recompute=text: holds no task's answers; expected an evaluation of a suite" in error
    tiny("train", "shards=s", *tiny.settings, "name=stranger", "init_seed=6")
    error = evaluate(tiny, "checkpoint=stranger", TASKS, "recompute=answers", status=2)
    assert "recompute=answers: holds answers of r@4; expected those of checkpoint=str" in error
    error = evaluate(tiny, "checkpoint=r", "tasks=[piqa:rc]", "recompute=answers", status=2)
    assert "recompute: piqa:rc has no stored answers; there are: arc_easy:bpb:0shot" in error


def test_scored_again_are_the_answers_of_the_engine_that_gave_them(tiny, trained):
    asked = evaluate(tiny, f"checkpoint={trained}", TASKS, "engine=hf", "name=asked")
    again = evaluate(tiny, f"checkpoint={trained}", TASKS, "recompute=asked")
    files = [
        Path(each["path"]) / "tasks/002-lambada-greedy/metrics.json" for each in (asked, again)
    ]
    one, other = (json.loads(file.read_text()) for file in files)
    assert one["model_config"]["engine"]["_target_"].endswith("open_hf")
    assert (one["model_hash"], one["model_config"]) == (other["model_hash"], other["model_config"])


def test_held_out_text_keeps_its_key(tiny, trained):
    """Evaluations from before there were tasks are still found."""
    made = tiny("evaluate", "checkpoint=r", *QUIET)
    assert made["suite"] == "bits_per_byte"
    request = json.loads(
        (tiny.home / "evaluation" / made["evaluation"] / "request.json").read_text()
    )
    (checkpoint, shards) = request["inputs"]
    before = {
        "suite": {"name": "bits_per_byte", "sequence_length": None, "batch_size": 8},
        "checkpoint": f"{checkpoint['key']}@4",
        "shards": None,
    }
    inputs = [_Input(**{k: i[k] for k in ("role", "key", "step")}) for i in (checkpoint, shards)]
    assert request["key"] == key_of("evaluate", before, inputs)


class _Input:
    def __init__(self, role, key, step):
        self.role, self.key, self.step = role, key, step


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["tasks=[arc_easy:rx]"], "no task arc_easy:rx; did you mean arc_easy:rc"),
        (["suite=smok"], "suite=smok: did you mean smoke?"),
        (["suite=smoke", TASKS], "stands in place of a suite; give one of tasks= and suite="),
        ([TASKS, "engine=vlm"], "engine=vlm: did you mean vllm?"),
        ([TASKS, "engine=hf"], "engine=hf: r is no Hugging Face folder; `olmoflow export"),
        ([TASKS, "limit=0"], "limit=0: expected a number of questions, at least 1"),
        ([TASKS, "seed=first"], "seed=first: expected a whole number"),
        (["limit=3"], "limit=3: suite=bits_per_byte has no such setting"),
        (["suite.sequence_length=0"], "suite.sequence_length=0: expected a number of at least 1"),
        (["suite.sequence_length=1000"], "expected at most the 512 that the model takes"),
        (["suite.batch_size=2.5"], "suite.batch_size=2.5: expected a number of at least 1"),
        (["template=think"], "template=think: suite=bits_per_byte has no such setting"),
        (["engine=vllm"], "engine: suite=bits_per_byte takes the model itself"),
        (["engine.quantize=int8"], "engine.quantize=int8: suite=bits_per_byte takes the model as"),
        ([TASKS, "checkpoint=null"], "checkpoint: missing; give checkpoint=…"),
        ([TASKS, "runtime.wandb_run=training"], "wandb_run=training: expected logger=wandb"),
        ([TASKS, "engine.max_btach=3"], "did you mean engine.max_batch?"),
    ],
)
def test_a_mistake_is_one_line(tiny, trained, arguments, expected):
    error = tiny("evaluate", "checkpoint=r", *QUIET, *arguments, status=2)
    assert expected in error
    assert len(error.splitlines()) == 1


def test_a_model_that_is_too_short_is_named_and_no_zero(tiny, trained):
    tasks = "tasks=[minerva_math_500:bpb,lambada:bpb]"
    made = evaluate(tiny, "checkpoint=r", tasks, "++engine.max_length=100")
    row = made["tasks"]["minerva_math_500:bpb"]
    assert row["score"] is None
    assert row["outcomes"] == {"too_long": 3}
    assert "no instance was answered: a continuation of" in row["error"]
    assert made["tasks"]["lambada:bpb"]["outcomes"]["truncated"] == 3


def test_why_there_is_no_score_stands_below_the_table_once(tiny, trained, capfd):
    tasks = "tasks=[minerva_math_500:bpb,minerva_math_algebra:bpb,lambada:bpb]"
    capfd.readouterr()
    asked = ["evaluate", "checkpoint=r", tasks, "++engine.max_length=100", "limit=3", *QUIET]
    assert main(asked) == 0
    said = capfd.readouterr().out.splitlines()
    (line,) = [each for each in said if each.startswith("no score of minerva_math_500:bpb")]
    assert "no instance was answered: a continuation of" in line
    assert sum(each.rstrip().endswith("bits_per_byte_corr  no score") for each in said) >= 1
    assert max(map(len, (each for each in said if "bits_per_byte" in each))) < 100


def test_another_dtype_is_another_evaluation(tiny, trained):
    tasks = "tasks=[lambada:bpb]"
    found = [
        evaluate(tiny, "checkpoint=r", tasks, *dtype)
        for dtype in ([], ["runtime.dtype=float32"], ["runtime.dtype=bfloat16"])
    ]
    scores = [each["tasks"]["lambada:bpb"]["score"] for each in found]
    assert len({each["evaluation"] for each in found}) == 3
    assert scores[0] == scores[1] != scores[2]
    files = [Path(each["path"]) / "tasks/000-lambada-bpb/metrics.json" for each in found]
    dtypes = [json.loads(file.read_text())["model_config"]["dtype"] for file in files]
    assert dtypes == ["float32", "float32", "bfloat16"]


def test_scores_are_logged_to_a_run_of_their_own(tiny, trained, wandb_records):
    wandb = ["logger=wandb", "logger.tags=[mine]", "name=logged"]
    made = evaluate(tiny, "checkpoint=r", TASKS, "seed=7", *wandb)
    (file,) = (tiny.home / "evaluation" / "logged").glob("wandb/offline-run-*/run-*.wandb")
    found = wandb_records(file)
    assert run_of(found).job_type == "evaluate"
    assert list(run_of(found).tags) == ["mine"]
    history = history_of(found)
    assert history["eval/step"] == 4
    bpb = made["tasks"]["arc_easy:bpb:0shot"]["score"]
    assert history["eval/downstream/arc_easy:bpb:0shot (bits_per_byte_corr)"] == bpb
    (table,) = file.parent.glob("files/media/table/eval/scores_*.table.json")
    rows = json.loads(table.read_text())["data"]
    assert [row[0] for row in rows] == list(made["tasks"])
    (table,) = file.parent.glob("files/media/table/eval/predictions_*.table.json")
    assert len(json.loads(table.read_text())["data"]) == 9
    assert config_of(found)["command"] == "evaluate"


def test_held_out_text_is_logged_too(tiny, trained, wandb_records):
    name = ["name=heldout", "logger=wandb", "suite.batch_size=4"]
    made = tiny("evaluate", "checkpoint=r", *QUIET, *name)
    (file,) = (tiny.home / "evaluation" / "heldout").glob("wandb/offline-run-*/run-*.wandb")
    assert history_of(wandb_records(file))["eval/suite/bits_per_byte"] == made["score"]


def test_scores_are_logged_into_the_run_of_the_training(tiny, trained, wandb_records):
    evaluate(
        *(tiny, "checkpoint=r@4", "tasks=[lambada:bpb]", "logger=wandb", "seed=8"),
        "runtime.wandb_run=training",
        "name=joined",
    )
    (file,) = (tiny.home / "evaluation" / "joined").glob("wandb/offline-run-*/run-*.wandb")
    found = wandb_records(file)
    trained_as = (tiny.home / "checkpoint" / "r" / "wandb_id.txt").read_text().strip()
    assert run_of(found).run_id == trained_as
    assert config_of(found) == {}  # what the training has said of itself stands
    tiny("train", "shards=s", *tiny.settings, "init_seed=3", "name=unlogged")
    error = evaluate(
        *(tiny, "checkpoint=unlogged", "tasks=[lambada:bpb]", "logger=wandb"),
        "runtime.wandb_run=training",
        status=2,
    )
    assert "unlogged was not trained with logger=wandb" in error


def test_a_finished_evaluation_is_logged_when_a_sweep_meets_it_again(
    tiny, trained, wandb_records, capfd
):
    asked = ["checkpoint=r", "tasks=[arc_easy:bpb,lambada:bpb]", "limit=3", "seed=9", *QUIET]
    made = tiny("evaluate", *asked, "name=before")
    folder = tiny.home / "evaluation" / "before"

    def said_in(group):
        assert main(["evaluate", *asked, "logger=wandb", f"group={group}"]) == 0
        return capfd.readouterr().err

    assert "evaluation before is reused, and logged to W&B" in said_in("swept")
    (file,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    found = wandb_records(file)
    bpb = made["tasks"]["arc_easy:bpb"]["score"]
    assert history_of(found)["eval/downstream/arc_easy:bpb (bits_per_byte_corr)"] == bpb
    assert (run_of(found).run_group, run_of(found).job_type) == ("swept", "evaluate")
    (table,) = file.parent.glob("files/media/table/eval/predictions_*.table.json")
    assert len(json.loads(table.read_text())["data"]) == 6

    assert "W&B has it already" in said_in("swept")
    assert "and logged to W&B" in said_in("another")
    files = [wandb_records(f) for f in folder.glob("wandb/offline-run-*/run-*.wandb")]
    assert {run_of(each).run_group for each in files} == {"swept", "another"}
    assert len({run_of(each).run_id for each in files}) == 1  # one run, filed anew
    verify(open_artifact(folder))  # W&B's files are no data of the evaluation


def run_of(found):
    (run,) = [r.run for r in found if r.HasField("run")][:1]
    return run


def config_of(found):
    updates = (u for r in found if r.HasField("run") for u in r.run.config.update)
    return {u.key: json.loads(u.value_json) for u in updates if u.key != "_wandb"}


def history_of(found):
    items = (item for r in found if r.HasField("history") for item in r.history.item)
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}
