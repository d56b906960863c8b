"""``olmoflow compare``: two evaluations, or the benchmarks of several runs, beside each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olmoflow.artifact import Artifact, Input, artifacts, claim, find, resolve
from olmoflow.digests import write_json
from olmoflow.errors import UserError

if TYPE_CHECKING:
    from olmoflow.evaluate.comparison.compare import TaskComparison
    from olmoflow.evaluate.comparison.curves import Curve

COMPARISON = "comparison.json"


def run(config: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Compare; see ``conf/compare.yaml`` for the settings."""
    pair = config["a"] is not None and config["b"] is not None
    either = config["a"] is not None or config["b"] is not None
    if pair == (config["runs"] is not None) or (either and not pair):
        raise UserError("compare: give either a=NAME b=NAME or runs=[NAME,…]")
    if config["runs"] is None and config["target"] is not None:
        raise UserError("target: goes with runs=[NAME,…]")
    if config["runs"] is not None and config["metric"] is not None:
        raise UserError("metric: goes with a=NAME b=NAME; of runs every metric is shown")
    return _compare_runs(config) if config["runs"] is not None else _compare_pair(config)


def report(result: Mapping[str, Any]) -> None:
    """The comparison as a table."""
    from olmoflow.commands.compare.tables import print_noise, print_pair

    print_pair(result) if "tasks" in result else print_noise(result)
    print(f"report {result['report']}: {result['path']}")


def find_evaluation(reference: str, role: str) -> Input:
    """The evaluation of a name, or the only one of a checkpoint.

    Raises:
        UserError: Nothing answers to it, or the checkpoint has none or several.
    """
    found = resolve(reference, role, ["evaluation", "checkpoint"])
    if found.kind == "evaluation":
        return found
    if found.kind != "checkpoint":
        raise UserError(f"{role}={reference}: expected an evaluation, or a checkpoint that has one")
    known = [a for a in artifacts("evaluation") if _scored(a) == (found.key, found.step)]
    known = [a for a in known if (a.path / "tasks").is_dir()]
    name = f"{found.name}@{found.step}"
    if not known:
        raise UserError(
            f"{role}={reference}: {name} has no evaluation of a suite of tasks; run "
            f"`olmoflow evaluate checkpoint={name} suite=…` first"
        )
    if len(known) > 1:
        names = ", ".join(a.name for a in known)
        raise UserError(f"{role}={reference}: {name} has several evaluations; name one of {names}")
    (only,) = known
    return Input(role, only.kind, only.name, only.key, only.path)


def _compare_pair(config: Mapping[str, Any]) -> dict[str, Any]:
    from olmoflow.evaluate.comparison.compare import compare, read_evaluation

    sides = {role: find_evaluation(str(config[role]), role) for role in ("a", "b")}
    fixed = {**config, "a": None, "b": None}
    with claim(
        "report", command="compare", config=fixed, inputs=list(sides.values()), name=config["name"]
    ) as work:
        if work.finished is None:
            a, b = (read_evaluation(found.path, role) for role, found in sides.items())
            rows = compare(a, b, config["metric"])
            result = {
                **{role: _about(found) for role, found in sides.items()},
                "tasks": {row.task: _row(row) for row in rows},
                "only_a": [name for name in a if name not in b],
                "only_b": [name for name in b if name not in a],
                **_parts(sides["a"].path, sides["b"].path, rows),
            }
            write_json(work.path / COMPARISON, result)
            work.finish(result)
    assert work.finished is not None
    return {"report": work.finished.name, "path": str(work.path), **work.finished.figures}


def _row(row: TaskComparison) -> dict[str, Any]:
    values = asdict(row)
    paired = values.pop("paired") or {}
    del values["task"]
    if row.error is None:
        del values["error"]
    return {**values, **paired, "verdict": row.verdict}


def _parts(a: Path, b: Path, rows: Sequence[TaskComparison]) -> dict[str, Any]:
    """The suite's parts, where both evaluations are of the same suite."""
    from olmoflow.artifact import open_artifact
    from olmoflow.evaluate.comparison.parts import compare_parts, same_shape

    stored = [artifact.figures if (artifact := open_artifact(p)) else {} for p in (a, b)]
    ours, theirs = (figures.get("parts") or {} for figures in stored)
    if not ours or not same_shape(ours, theirs):
        return {}
    parts = compare_parts(ours, theirs, {row.task: row for row in rows})
    return {
        "suite": stored[0]["suite"],
        "parts": {name: part.as_dict() for name, part in parts.items()},
    }


def _about(found: Input) -> dict[str, Any]:
    about: dict[str, Any] = {"evaluation": found.name}
    for each in find(str(found.path)).inputs:
        if each.role == "checkpoint":
            about["checkpoint"] = each.name if each.step is None else f"{each.name}@{each.step}"
    return about


def _scored(evaluation: Artifact) -> tuple[str, int | None] | None:
    """Key and step of the checkpoint that an evaluation scored."""
    checkpoints = [(i.key, i.step) for i in evaluation.inputs if i.role == "checkpoint"]
    return checkpoints[0] if checkpoints else None


def _compare_runs(config: Mapping[str, Any]) -> dict[str, Any]:
    from olmoflow.evaluate.comparison.noise import decision_accuracy, signal_to_noise

    runs, target = _runs(config["runs"], "runs"), _runs(config["target"] or [], "target")
    if target and len(target) != len(runs):
        raise UserError(
            f"target: {len(target)} runs found; expected {len(runs)}, one for each of runs="
        )
    if type(config["last"]) is not int or config["last"] < 2:
        raise UserError(f"last={config['last']}: expected a number of checkpoints, at least 2")
    scores = {name: _scores(found) for name, found in runs.items()}
    curves = {name: _curves(each) for name, each in scores.items()}
    beyond = {name: _curves(_scores(found)) for name, found in target.items()}
    fixed = {**config, "runs": None, "target": None, "scores": [curves, beyond]}
    inputs = [*runs.values(), *target.values()]
    with claim(
        "report", command="compare", config=fixed, inputs=inputs, name=config["name"]
    ) as work:
        if work.finished is None:
            metrics: dict[str, Any] = {}
            for metric in _common(curves):
                found = signal_to_noise({r: c[metric] for r, c in curves.items()}, config["last"])
                metrics[metric] = asdict(found)
                if beyond and all(metric in curve for curve in beyond.values()):
                    metrics[metric]["decision_accuracy"] = decision_accuracy(
                        list(found.scores.values()),
                        [curve[metric][-1] for curve in beyond.values()],
                    )
            unequal = [m for m in _of_unequal_size(scores.values()) if m in metrics]
            names = {"runs": list(runs), "target": list(target), "last": config["last"]}
            result = {**names, "metrics": metrics, "unequal_questions": unequal}
            write_json(work.path / COMPARISON, result)
            work.finish(result)
    assert work.finished is not None
    return {"report": work.finished.name, "path": str(work.path), **work.finished.figures}


def _runs(references: Any, role: str) -> dict[str, Input]:
    if not isinstance(references, list):
        raise UserError(f"{role}={references}: expected a list of runs, such as [run1,run2]")
    found = [resolve(str(r), f"{role}[{n}]", ["checkpoint"]) for n, r in enumerate(references)]
    runs = {each.name: each for each in found}
    if len(runs) < len(found):
        twice = next(e.name for e in found if sum(o.name == e.name for o in found) > 1)
        raise UserError(f"{role}: {twice} is named twice; expected different runs")
    return runs


def _common(curves: Mapping[str, Mapping[str, list[float]]]) -> list[str]:
    first, *others = curves.values()
    common = [metric for metric in first if all(metric in other for other in others)]
    if not common:
        empty = [run for run, metrics in curves.items() if not metrics]
        what = f"{', '.join(empty)} has no scores" if empty else "they have no metric in common"
        raise UserError(
            f"runs: {what}; expected runs with evaluation.suite=… or evaluations of their steps "
            "(olmoflow evaluate -m checkpoint=RUN@STEP,…)"
        )
    return common


def _curves(scores: Mapping[str, Curve]) -> dict[str, list[float]]:
    """The scores of a run by metric, oldest first."""
    return {metric: [by[step][1] for step in sorted(by)] for metric, by in sorted(scores.items())}


def _scores(run: Input) -> dict[str, Curve]:
    """The scores of a run by metric: taken in the loop, and of evaluated steps.

    Of several of one step that of the most questions counts, or the latest of those.
    """
    from olmoflow.evaluate.comparison.curves import in_the_loop
    from olmoflow.evaluate.scores import scored

    found = in_the_loop(run.path)
    for evaluation in artifacts("evaluation"):  # oldest first
        key, step = _scored(evaluation) or (None, None)
        if key != run.key or step is None:
            continue
        for metric, row in scored(evaluation.figures).items():
            n, steps = row.get("n") or 0, found.setdefault(metric, {})
            if n >= steps.get(step, (0, 0.0))[0]:
                steps[step] = n, row["score"]
    return found


def _of_unequal_size(runs: Iterable[Mapping[str, Curve]]) -> list[str]:
    """Metrics whose scores are not all of as many questions: they scatter for that too."""
    sizes: dict[str, set[int]] = {}
    for scores in runs:
        for metric, steps in scores.items():
            sizes.setdefault(metric, set()).update(n for n, _ in steps.values() if n)
    return sorted(metric for metric, found in sizes.items() if len(found) > 1)
