"""``olmoflow evaluate`` of a suite of tasks; of held-out text it is `command`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from olmoflow.artifact import Claim, Input, claim, open_artifact, resolve
from olmoflow.commands.command_line.progress import progress_bar
from olmoflow.commands.evaluate.tracking import find_run, log_scores
from olmoflow.commands.inputs.checkpoints import (
    device_of,
    dtype_of,
    find_checkpoint,
    tokenizer_folder,
)
from olmoflow.commands.inputs.engines import open_engine
from olmoflow.digests import write_json
from olmoflow.errors import UserError

if TYPE_CHECKING:
    from olmoflow.evaluate.runner.run import Plan
    from olmoflow.evaluate.runner.summary import TaskSummary
    from olmoflow.evaluate.suites import Suite
    from olmoflow.tokens.tokenizer import Tokenizer

TASKS, METRICS = "tasks", "metrics.json"
# What of an engine's settings could change a score; the others are where and how fast.
_IN_KEY = ("_target_", "max_length", "quantize")
VLLM = "olmoflow.inference.vllm.VLLMEngine"


def evaluate_tasks(config: Mapping[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Evaluate a suite or single tasks; see ``conf/evaluate.yaml`` for the settings."""
    from olmoflow.evaluate.runner.run import Plan, bind
    from olmoflow.evaluate.runner.summary import hash_of

    suite = find_suite(config, overrides)
    limit = check_limit(config["limit"])
    if type(config["seed"]) is not int:
        raise UserError(f"seed={config['seed']}: expected a whole number")
    checkpoint = find_checkpoint(config["checkpoint"])
    tokenizer = find_tokenizer(checkpoint, config["template"])
    stored = find_answers(config["recompute"], checkpoint)
    into = find_run(config, checkpoint)
    leaves = bind(suite.tasks().values(), tokenizer, limit)
    identity = {
        **config,
        "shards": None,
        "suite": dict(config["suite"]) if config["tasks"] is None else None,
        "checkpoint": f"{checkpoint.key}@{checkpoint.step}",
        "recompute": stored.key if stored else None,
        "engine": {key: config["engine"].get(key) for key in _IN_KEY},
        "runtime": {**config["runtime"], "engine": config["engine"]},
        "template": tokenizer.config["chat_template"] if config["template"] is not None else None,
        # A task that is defined anew is another evaluation.
        "definitions": {leaf.key: hash_of(leaf.task.config) for leaf in leaves},
    }
    if config["template"] is None:
        del identity["template"]  # the checkpoint's own
    if config["runtime"]["dtype"] != "auto":  # who asks for one wants that one's scores
        identity["dtype"] = config["runtime"]["dtype"]
    with claim(
        "evaluation",
        command="evaluate",
        config=identity,
        inputs=[checkpoint, *([stored] if stored else [])],
        name=config["name"],
    ) as work:
        if work.finished is None:
            about = (
                about_answers(stored)
                if stored
                else about_model(checkpoint, identity["engine"], _dtype(config))
            )
            plan = Plan(leaves, work.path / TASKS, work.key, about)
            summaries = _run(config, plan, checkpoint, tokenizer, stored)
            result = result_of(suite, summaries)
            write_json(work.path / METRICS, result)
            log_scores(config, overrides, work, checkpoint.step, into, result)
            _check_crashes(summaries, work)
            work.finish(result)
        else:
            log_scores(config, overrides, work, checkpoint.step, into, work.finished.figures)
    assert work.finished is not None
    return {"evaluation": work.finished.name, "path": str(work.path), **work.finished.figures}


def _dtype(config: Mapping[str, Any]) -> str:
    """In which a model of this process computes; of a server, what was said."""
    given = config["runtime"]
    if config["engine"]["_target_"] == VLLM:
        return str(given["dtype"])
    found = dtype_of(given["dtype"], device_of(given["accelerator"]))
    return str(found).removeprefix("torch.")


def find_suite(config: Mapping[str, Any], overrides: list[str]) -> Suite:
    """The suite that ``suite=`` or ``tasks=`` names.

    Raises:
        UserError: Both are given, or a name is unknown; the message names near ones.
    """
    from olmoflow.evaluate.suites import build_suite, suite_of_tasks

    tasks = config["tasks"]
    if tasks is None:
        return build_suite(config["suite"])
    if any(o.lstrip("+~").startswith("suite=") for o in overrides):
        raise UserError(f"tasks={tasks}: stands in place of a suite; give one of tasks= and suite=")
    if not isinstance(tasks, list) or not all(isinstance(task, str) for task in tasks):
        raise UserError(f"tasks={tasks}: expected a list of names, such as [arc_easy:rc,mmlu:mc]")
    return suite_of_tasks(tasks)


def find_tokenizer(checkpoint: Input, template: str | None = None) -> Tokenizer:
    """The tokenizer that belongs to a checkpoint.

    Args:
        checkpoint: Whose.
        template: A chat template in place of its own: a published one's name, or a .jinja file.

    Raises:
        UserError: There is none, or it has not the tokens of the template.
    """
    from olmoflow.tokens.chat.template import load_template
    from olmoflow.tokens.tokenizer import load_tokenizer

    folder = tokenizer_folder(checkpoint)
    if folder is None:
        raise UserError(
            f"checkpoint={checkpoint.name}: has no tokenizer; tasks are texts, expected a "
            f"tokenizer.json in {checkpoint.path}"
        )
    tokenizer = load_tokenizer(folder)
    if template is not None:
        chosen = load_template(str(template))
        chosen.check(tokenizer)
        tokenizer.config = {**tokenizer.config, "chat_template": chosen.source}
    return tokenizer


def find_answers(reference: str | None, checkpoint: Input) -> Input | None:
    """The evaluation whose stored answers are scored again.

    Raises:
        UserError: There is none, or it asked another checkpoint.
    """
    if reference is None:
        return None
    found = resolve(reference, "recompute", ["evaluation"])
    artifact = open_artifact(found.path)
    asked = [i for i in artifact.inputs if i.role == "checkpoint"] if artifact else []
    if [(i.key, i.step) for i in asked] != [(checkpoint.key, checkpoint.step)]:
        names = ", ".join(f"{i.name}@{i.step}" for i in asked) or "none"
        raise UserError(
            f"recompute={reference}: holds answers of {names}; expected those of "
            f"checkpoint={checkpoint.name}@{checkpoint.step}"
        )
    return found


def about_answers(stored: Input) -> dict[str, Any]:
    """What an evaluation's answers say of the model that gave them.

    Raises:
        UserError: It has no answers.
    """
    from olmoflow.evaluate.runner.outputs import read_summary

    for path in sorted((stored.path / TASKS).glob(f"*/{METRICS}")):
        _, file = read_summary(path.parent)
        return {key: file[key] for key in ("model_hash", "model_config")}
    raise UserError(
        f"recompute={stored.name}: holds no task's answers; expected an evaluation of a suite of "
        "tasks"
    )


def about_model(checkpoint: Input, engine: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    """What every task's ``metrics.json`` says of the model."""
    from olmoflow.evaluate.runner.summary import hash_of

    model: dict[str, Any] = {"checkpoint": checkpoint.key, "step": checkpoint.step}
    model |= {"engine": engine, "dtype": dtype}
    return {"model_hash": hash_of(model), "model_config": {"name": checkpoint.name} | model}


def check_limit(limit: Any) -> int | None:
    """A limit of questions.

    Raises:
        UserError: It is no positive number.
    """
    if limit is not None and (type(limit) is not int or limit < 1):
        raise UserError(f"limit={limit}: expected a number of questions, at least 1")
    return limit


def result_of(suite: Suite, summaries: Mapping[str, TaskSummary]) -> dict[str, Any]:
    """What is said of a suite: its score, its parts', its tasks'."""
    whole = suite.score(summaries)
    result: dict[str, Any] = {
        "suite": suite.name,
        "score": whole.score,
        "stderr": whole.stderr,
        "n": whole.n,
        "higher_is_better": whole.higher_is_better,
        "tasks": {key: _task(summary) for key, summary in summaries.items()},
        "parts": _parts(suite, whole.as_dict()),
    }
    if whole.reason is not None:
        result["reason"] = whole.reason
    return result


def _parts(suite: Suite, node: dict[str, Any]) -> dict[str, Any]:
    """The scores of a suite's parts, with the task that each leaf is."""
    from olmoflow.evaluate.suites import Leaf

    parts: dict[str, Any] = {}
    for name, child in suite.children.items():
        part = node["children"][name]
        if isinstance(child, Leaf):
            parts[name] = {"task": child.key, **part}
        else:
            parts[name] = {**part, "children": _parts(child, part)}
    return parts


def _task(summary: TaskSummary) -> dict[str, Any]:
    row: dict[str, Any] = {
        "metric": summary.primary_metric,
        "score": summary.score,
        "stderr": summary.stderr,
        "n": summary.n,
        "higher_is_better": summary.higher_is_better,
        "outcomes": dict(summary.outcomes),
    }
    if summary.error is not None:
        row["error"] = summary.error
    return row


def _run(
    config: Mapping[str, Any],
    plan: Plan,
    checkpoint: Input,
    tokenizer: Tokenizer,
    stored: Input | None,
) -> dict[str, TaskSummary]:
    from olmoflow.evaluate.runner.answers import Answerer
    from olmoflow.evaluate.runner.run import rescore_tasks, run_tasks

    if stored is not None:
        return rescore_tasks(plan, stored.path / TASKS)
    with ExitStack() as stack:
        bars: list[Any] = []

        def advance(done: int, total: int) -> None:
            if not bars:  # whatever an engine says at its start comes before
                bar = progress_bar("evaluate", config["runtime"]["progress"])
                bars.append(stack.enter_context(bar))
            bars[0](done, total)

        def open_answerer() -> Answerer:
            engine = open_engine(config["engine"], checkpoint, config["runtime"])
            stack.callback(engine.close)
            return Answerer(engine, tokenizer, config["seed"])

        return run_tasks(plan, open_answerer, advance)


def _check_crashes(summaries: Mapping[str, TaskSummary], work: Claim) -> None:
    from olmoflow.evaluate.runner.run import crashed

    broken = [summary for summary in summaries.values() if crashed(summary)]
    if broken:
        first = broken[0]
        raise RuntimeError(
            f"{len(broken)} of {len(summaries)} tasks failed ({first.name}: {first.error}); "
            f"{work.path / METRICS} has the others, the same command tries these again"
        )
