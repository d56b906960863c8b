"""Artifacts: keys before the work, reuse, resume, refusal, lineage, damage."""

import json
import os

import pytest

from olmoflow import artifact
from olmoflow.artifact import claim, find, resolve, verify
from olmoflow.errors import UserError
from olmoflow.identity import key_of
from olmoflow.lineage import lineage


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("OLMOFLOW_HOME", str(tmp_path / "artifacts"))


def make(kind="corpus", command="curate", config=None, inputs=(), name=None, text="data"):
    with claim(kind, command=command, config=config or {"a": 1}, inputs=inputs, name=name) as work:
        if work.finished is None:
            (work.path / "data.txt").write_text(text)
            work.finish({"documents": 3})
    return work


def test_same_key_is_reused_and_another_config_is_another_artifact():
    first, again, other = make(), make(text="not written"), make(config={"a": 2})
    assert again.finished == first.finished
    assert (first.path / "data.txt").read_text() == "data"
    assert other.key != first.key


def test_settings_of_launcher_logging_and_output_do_not_change_the_key():
    plain = key_of("train", {"lr": 1}, [])
    for setting in ("name", "output", "logger", "cluster", "parallel", "runtime", "save"):
        assert key_of("train", {"lr": 1, setting: "x"}, []) == plain
    assert key_of("train", {"lr": 2}, []) != plain


def test_input_keys_change_the_key():
    corpus_a, corpus_b = make(config={"a": 1}), make(config={"a": 2})
    inputs = [resolve(c.key, "corpus", ["corpus"]) for c in (corpus_a, corpus_b)]
    keys = {make("shards", "tokenize", inputs=[i]).key for i in inputs}
    assert len(keys) == 2


def test_unfinished_work_is_resumed_and_not_listed():
    with claim("corpus", command="curate", config={"a": 1}) as work:
        (work.path / "half.txt").write_text("half")
    assert artifact.artifacts() == []
    with claim("corpus", command="curate", config={"a": 1}) as again:
        assert again.resumed
        assert (again.path / "half.txt").is_file()


def test_name_of_another_kind_says_which_kind_it_is():
    make(name="mine")
    with pytest.raises(UserError, match="shards=mine: this is the name of a corpus; expected shar"):
        resolve("mine", "shards", ["shards"])


def test_name_of_another_key_is_refused_with_the_difference():
    make(name="mine", config={"lr": 1, "steps": 5})
    with pytest.raises(UserError, match=r"name=mine: .*lr: 1 -> 2"):
        make(name="mine", config={"lr": 2, "steps": 5})


def test_a_new_name_for_finished_work_costs_nothing():
    first = make(config={"a": 1})
    second = make(config={"a": 1}, name="better_name", text="not written")
    assert second.finished.key == first.key
    assert resolve("better_name", "corpus", ["corpus"]).key == first.key
    assert len(artifact.artifacts("corpus")) == 1


def test_two_processes_cannot_work_on_one_artifact():
    def both():
        with (
            claim("corpus", command="curate", config={}),
            claim("corpus", command="curate", config={}),
        ):
            pass

    with pytest.raises(UserError, match="is at work on it"):
        both()


@pytest.mark.parametrize("same", [True, False])
def test_work_that_another_process_did_in_between_is_seen(monkeypatch, same):
    """Between the look at the folder and its lock another process makes and finishes it."""
    locked, one = artifact._locked, {"seed": 1}

    def later(path):
        monkeypatch.setattr(artifact, "_locked", locked)
        with claim("corpus", command="curate", config=one, name="c") as work:
            work.finish({"documents": 7})
        return locked(path)

    monkeypatch.setattr(artifact, "_locked", later)
    config = one if same else {"seed": 2}
    if same:
        with claim("corpus", command="curate", config=config, name="c") as work:
            assert work.finished.figures == {"documents": 7}
        return
    with (
        pytest.raises(UserError, match="name=c: corpus c exists with another config"),
        claim("corpus", command="curate", config=config, name="c"),
    ):
        pass
    assert find("c").figures == {"documents": 7}


def test_resolve_takes_names_keys_paths_latest_and_steps(tmp_path):
    older, newer = make(name="older"), make(config={"a": 2}, name="newer")
    # Of the same second, or not; and never of the same moment, as a clock of milliseconds has it.
    later = (older.path / "provenance.json").stat().st_mtime + 0.1
    os.utime(newer.path / "provenance.json", (later, later))
    assert resolve("older", "corpus", ["corpus"]).key == older.key
    assert resolve(str(newer.path), "corpus", ["corpus"]).key == newer.key
    assert resolve("latest", "corpus", ["corpus"]).key == newer.key
    (tmp_path / "mine.jsonl").write_text("{}")
    assert resolve(str(tmp_path / "mine.jsonl"), "corpus", ["corpus"]).kind == "external"


def test_checkpoints_resolve_to_a_step_even_while_the_run_goes_on():
    with claim("checkpoint", command="train", config={}, name="run") as work:
        for step in (10, 20):
            (work.path / "steps" / f"step-{step:08d}").mkdir(parents=True)
        (work.path / "steps" / "step-00000030.partial").mkdir()
    assert resolve("run", "checkpoint", ["checkpoint"]).step == 20
    assert resolve("run@10", "checkpoint", ["checkpoint"]).step == 10
    with pytest.raises(UserError, match=r"run@30: no such step; there are 10, 20"):
        resolve("run@30", "checkpoint", ["checkpoint"])


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("crpus", "did you mean corpus_a"),
        ("zzz", "there are: corpus_a"),
        ("corpus_a@x", "expected a step number"),
        ("corpus_a@3", "a corpus has no steps"),
    ],
)
def test_unknown_references_are_explained(reference, message):
    make(name="corpus_a")
    with pytest.raises(UserError, match=message):
        resolve(reference, "corpus", ["corpus"])


def test_unfinished_inputs_are_named():
    with claim("corpus", command="curate", config={}, name="half"):
        pass
    with pytest.raises(UserError, match="this corpus is unfinished"):
        resolve("half", "corpus", ["corpus"])


def test_lineage_leads_back_to_the_first_input(tmp_path):
    (tmp_path / "raw.jsonl").write_text("{}")
    corpus = make(inputs=[resolve(str(tmp_path / "raw.jsonl"), "source", [])], name="c")
    shards = make("shards", "tokenize", inputs=[resolve("c", "corpus", ["corpus"])], name="s")
    (node,) = lineage(shards.finished)
    assert (node.input.name, node.input.key) == ("c", corpus.key)
    assert node.parents[0].input.name == "raw.jsonl"


def test_verify_names_the_damaged_file():
    work = make()
    verify(find(work.key))
    (work.path / "data.txt").write_text("other")
    with pytest.raises(UserError, match=r"data\.txt: damaged"):
        verify(find(work.key))


def test_provenance_records_what_ran():
    provenance = json.loads((make().path / "provenance.json").read_text())
    assert {"key", "command", "config", "inputs", "figures", "git", "versions", "digests"} <= set(
        provenance
    )
    assert provenance["versions"]["torch"]


@pytest.mark.parametrize("name", ["a/b", "..", "latest", " x"])
def test_names_are_folder_names(name):
    with pytest.raises(UserError, match="expected letters"):
        make(name=name)


def test_a_mistake_takes_no_name():
    with (
        pytest.raises(UserError, match="d_model"),
        claim("checkpoint", command="train", config={"lr": "fast"}, name="run"),
    ):
        raise UserError("d_model: wrong")
    with claim("checkpoint", command="train", config={"lr": 1e-3}, name="run") as work:
        assert not work.resumed


def test_a_mistake_leaves_no_empty_folder(tmp_path):
    with pytest.raises(UserError), claim("report", command="report", config={}, name="r") as work:
        raise UserError("runs: wrong")
    assert not work.path.exists()
    with (  # noqa: PT012 - the mistake ends the claim
        pytest.raises(UserError),
        claim("report", command="report", config={}, name="r") as work,
    ):
        (work.path / "errors.jsonl").write_text("what was wrong")
        raise UserError("runs: wrong")
    assert (work.path / "errors.jsonl").is_file()


def test_a_run_that_has_steps_keeps_its_name_whatever_goes_wrong():
    with (  # noqa: PT012 - the mistake ends the claim
        pytest.raises(UserError, match="disk"),
        claim("checkpoint", command="train", config={"lr": 1e-3}, name="run") as work,
    ):
        (work.path / "steps" / "step-5").mkdir(parents=True)
        raise UserError("disk full")
    with claim("checkpoint", command="train", config={"lr": 1e-3}, name="run") as work:
        assert work.resumed


def test_a_path_may_hold_an_at_sign(tmp_path):
    (tmp_path / "a@b").mkdir()
    (tmp_path / "a@b" / "x.jsonl").write_text("{}")
    assert resolve(str(tmp_path / "a@b"), "corpus", ["corpus"]).path == tmp_path / "a@b"


def test_latest_is_the_newest_of_any_kind():
    make(name="c")
    newest = make("shards", "tokenize", name="s")
    assert find("latest").path == newest.path
