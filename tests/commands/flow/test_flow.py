"""Flows: order, branches beside each other, failure, sweeps, and what is submitted."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import yaml

from olmoflow.commands.flow import command as flow
from olmoflow.commands.flow.steps import parse_steps
from olmoflow.errors import UserError

STEPS = {
    "corpus": {"command": "curate", "overrides": {"pipeline": "documents"}},
    "shards": {"command": "tokenize", "inputs": {"corpus": "corpus"}},
    "runs": {
        "command": "train",
        "inputs": {"shards": "shards"},
        "overrides": {"optimizer.betas": [0.9, 0.99]},
        "sweep": {"optimizer.lr": [1e-3, 1e-2], "init_seed": [1, 2]},
    },
    "soup": {"command": "merge", "inputs": {"checkpoints": ["runs"]}},
    "scores": {"command": "evaluate", "inputs": {"checkpoint": "runs"}},
    "report": {"command": "report", "inputs": {"group": "runs"}, "after": ["scores"]},
}


def finished(*names):
    jobs = [{"status": "finished", "result": {"checkpoint": name}} for name in names]
    return {"group": "g", "jobs": [*jobs, {"status": "failed", "error": "no"}]}


def test_a_sweep_fans_out_gathers_and_hands_on_its_group():
    steps = {step.name: step for step in parse_steps(STEPS)}
    results = {"shards": {"shards": "s"}, "runs": finished("a", "b"), "scores": {}}
    command, flag, *arguments, group = steps["runs"].arguments(results, "f")
    assert [command, flag] == ["train", "-m"]
    assert arguments == [
        *["shards=s", "optimizer.betas=[0.9,0.99]", "optimizer.lr=0.001,0.01", "init_seed=1,2"]
    ]
    assert group.startswith("group=f-runs-")
    assert steps["soup"].arguments(results) == ["merge", "checkpoints=[a,b]"]
    assert steps["scores"].arguments(results)[:3] == ["evaluate", "-m", "checkpoint=a,b"]
    assert steps["report"].arguments(results) == ["report", "group=g"]
    assert steps["report"].needs == {"runs", "scores"}


def test_several_of_a_kind_from_one_command_are_like_a_sweep(capsys):
    nodes = {
        "swarm": {"command": "mix", "overrides": {"rule": "swarm", "swarm.runs": 2}},
        "runs": {
            "command": "train",
            "inputs": {"mixture": "swarm"},
            "sweep": {"init_seed": [1, 2]},
        },
        "fit": {"command": "mix", "inputs": {"runs": ["runs"]}, "overrides": {"rule": "fitted"}},
        "last": {"command": "train", "inputs": {"mixture": "fit"}},
    }
    steps = {step.name: step for step in parse_steps(nodes)}
    made = {"mixture": "m", "mixtures": ["m/000", "m/001"]}
    line = steps["runs"].arguments({"swarm": made}, "f")
    assert line[:-1] == ["train", "-m", "mixture=m/000,m/001", "init_seed=1,2"]
    # A key without a letter stays a name.
    assert steps["fit"].arguments({"runs": finished("123456789012", "a1")})[1:] == [
        *['runs=["123456789012",a1]', "rule=fitted"]
    ]
    config = {"jobs": 1, "dry_run": True, "output": "text", "cluster": {"name": "slurm"}}
    overrides = ["flow=f", "cluster=slurm", "dry_run=true"]
    flow.run({**config, "flow": {"steps": nodes}}, overrides)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("$")]
    name = lines[0].partition("name=")[2].split()[0]
    assert [
        f"mixture={name}/{m} " in line for m, line in zip(["000", "001"], lines[1:5:2], strict=True)
    ] == [*[True, True]]
    assert [line.count("/prior ") + line.count("/proposal ") for line in lines[-2:]] == [1, 1]
    del nodes["swarm"]["overrides"]["swarm.runs"]
    with pytest.raises(UserError, match=r"swarm\.runs=None: expected a number under cluster=slurm"):
        flow.run({**config, "flow": {"steps": nodes}}, overrides)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"command": "trian"}, "flow.steps.x.command=trian: no such command"),
        ({"command": "train", "input": {}}, "flow.steps.x.input: expected one of after, command"),
        ({"command": "train", "inputs": {"shards": "y"}}, "flow.steps.x.inputs.shards=y: no earl"),
        ({"command": "train", "after": ["y"]}, "flow.steps.x.after=y: no earlier step"),
        ({"command": "train", "sweep": {"a": 1}}, "flow.steps.x.sweep.a=1: expected a list"),
    ],
)
def test_mistakes_are_named(node, message):
    with pytest.raises(UserError, match=message.replace("[", r"\[")):
        parse_steps({"x": node})


def test_under_slurm_every_job_is_named_and_waits_for_what_it_needs(capsys):
    config = {"jobs": 1, "dry_run": True, "output": "text", "cluster": {"name": "slurm"}}
    overrides = ["flow=f", "cluster=slurm", "cluster.partition=gpu", "dry_run=true"]
    assert flow.run({**config, "flow": {"steps": STEPS}}, overrides) == {"submitted": []}
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("$")]
    corpus, shards, *runs, soup = lines[:7]
    scores, report = lines[7:-1], lines[-1]
    names = [line.partition("name=")[2].split()[0] for line in lines]
    assert len(set(names)) == len(lines) == 12
    assert all("cluster=slurm cluster.partition=gpu" in line for line in lines)
    assert "cluster.after" not in corpus
    assert f"corpus={names[0]}" in shards
    assert "'cluster.after=[<corpus>]'" in shards
    assert [f"shards={names[1]}" in line for line in runs] == [True] * 4
    assert [line.partition("group=")[2].split()[0] for line in runs] == [
        report.partition("group=")[2].split()[0]
    ] * 4
    assert f"checkpoints=[{','.join(names[2:6])}]" in soup
    assert [
        f"checkpoint={name} " in line for name, line in zip(names[2:6], scores, strict=True)
    ] == [True] * 4
    assert "<runs>" in report
    assert "<scores>" in report


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A flow of two branches, one of which fails, run twice."""
    folder = tmp_path_factory.mktemp("flow")
    (folder / "text.jsonl").write_text(
        "\n".join(json.dumps({"text": f"{n} some words to split"}) for n in range(40))
    )
    source = {"pipeline": "documents", "source": str(folder / "text.jsonl")}
    steps = {
        "good": {"command": "curate", "overrides": source},
        "bad": {"command": "curate", "overrides": {**source, "source": "nowhere"}},
        "lost": {"command": "tokenize", "inputs": {"corpus": "bad"}},
        "shards": {
            "command": "tokenize",
            "inputs": {"corpus": "good"},
            "overrides": {"tokenizer.vocab_size": 300},
        },
    }
    (folder / "lab" / "flow").mkdir(parents=True)
    (folder / "lab" / "flow" / "branches.yaml").write_text(yaml.safe_dump({"steps": steps}))
    environment = {
        **os.environ,
        "OLMOFLOW_HOME": str(folder / "artifacts"),
        "OLMOFLOW_CONFIG": str(folder / "lab"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "olmoflow", "flow", "flow=branches", "jobs=2"],
        capture_output=True,
        text=True,
        env=environment,
        cwd=folder,
    )
    return folder, done


def test_a_failing_step_stops_only_what_depends_on_it(ran):
    folder, done = ran
    assert done.returncode == 2
    assert (
        done.stderr.strip()
        .splitlines()[-1]
        .startswith("olmoflow: flow: step bad ended with status 2, so lost did not run; ")
    )
    assert "bad | olmoflow: source=nowhere" in done.stderr
    (shards,) = (folder / "artifacts" / "shards").iterdir()
    assert (shards / "provenance.json").is_file()
    assert "corpus" in done.stdout
    assert "shards" in done.stdout


def test_a_flow_that_is_interrupted_says_so_once(chat_server, tmp_path):
    chat_server.say = lambda body: time.sleep(1) or body["model"]
    (tmp_path / "prompts.jsonl").write_text(
        "".join(
            json.dumps({"messages": [{"role": "user", "content": f"question {n}"}]}) + "\n"
            for n in range(200)
        )
    )
    settings = {"conversations": "prompts.jsonl", "strong.engine.concurrency": 1}
    settings |= {"pipeline.length_control.max_difference": None}
    for role in ("strong", "weak"):
        settings |= {f"engine@{role}.engine": "openai", f"{role}.engine.url": chat_server.url}
        settings |= {f"{role}.engine.model": role}
    steps = {"pairs": {"command": "synthesize", "overrides": settings}}
    (tmp_path / "lab" / "flow").mkdir(parents=True)
    (tmp_path / "lab" / "flow" / "one.yaml").write_text(yaml.safe_dump({"steps": steps}))
    environment = {**os.environ, "OLMOFLOW_CONFIG": "lab", "OLMOFLOW_HOME": "artifacts"}
    process = subprocess.Popen(
        [sys.executable, "-m", "olmoflow", "flow", "flow=one"],
        **{"stderr": subprocess.PIPE, "text": True, "env": environment, "cwd": tmp_path},
        start_new_session=True,
    )
    while len(chat_server.asked) < 2:
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    said = process.communicate()[1]
    assert process.returncode == 130
    assert [line for line in said.splitlines() if "interrupted" in line] == [
        "olmoflow: interrupted; the same command resumes"
    ]


def test_an_input_may_be_a_training_step_of_what_a_step_made():
    nodes = {
        "run": {"command": "train"},
        "pairs": {
            "command": "generate",
            "inputs": {"strong.checkpoint": "run", "weak.checkpoint": "run@20"},
        },
    }
    _, pairs = parse_steps(nodes)
    assert pairs.needs == {"run"}
    line = pairs.arguments({"run": {"checkpoint": "12"}})
    assert line == ["generate", 'strong.checkpoint="12"', "weak.checkpoint=12@20"]
