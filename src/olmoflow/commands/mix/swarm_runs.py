"""What a swarm was trained on and what it scored, read from its artifacts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from olmoflow.artifact import Artifact, Input, find, open_artifact
from olmoflow.errors import UserError


def tokens_of(found: Input) -> int:
    """How many tokens shards have to train on.

    Raises:
        UserError: They are not those of an artifact.
    """
    artifact = open_artifact(found.path)
    if artifact is None:
        raise UserError(f"{found.role}={found.name}: expected shards that olmoflow tokenize made")
    return int(artifact.figures["splits"]["train"]["tokens"])


def swarm_checkpoints(config: Mapping[str, Any]) -> list[Artifact]:
    """The checkpoints that a config names, each once.

    Raises:
        UserError: There are none, or one is something else.
    """
    references = config["runs"]
    if not isinstance(references, list) or not references:
        raise UserError(f"runs={references}: rule=fitted needs the swarm's checkpoints, [NAME,…]")
    found = {}
    for reference in references:
        artifact = find(str(reference))
        if artifact.kind != "checkpoint":
            raise UserError(f"runs={reference}: is a {artifact.kind}; expected a checkpoint")
        found[artifact.key] = artifact
    return list(found.values())


def evaluations_of(runs: Sequence[Artifact]) -> list[Input]:
    """The evaluations of the runs: with more of them it is another fit."""
    from olmoflow.report.runs import collect_runs

    scores = (i for run in collect_runs(runs) for i in run.inputs if i.kind == "evaluation")
    return [Input(f"scores[{n}]", i.kind, i.name, i.key, i.path) for n, i in enumerate(scores)]


def scores_of(
    runs: Sequence[Artifact], suite: str, wanted: Sequence[str] | None
) -> tuple[list[str], Any]:
    """Names of tasks, and [runs, tasks] what each run scored.

    Args:
        runs: The checkpoints.
        suite: Of the evaluations.
        wanted: Tasks of the suite; None: all that the first run has.

    Raises:
        UserError: A run has not been scored, or lacks one of the tasks.
    """
    from olmoflow.report.runs import MACRO, collect_runs

    rows = []
    for run in collect_runs(runs):
        own = {k.partition("/")[2]: v for k, v in run.metrics.items() if k.startswith(f"{suite}/")}
        own.pop(MACRO, None)
        if not own:
            raise UserError(
                f"runs: {run.name} has no scores of several tasks of {suite}; "
                f"run olmoflow evaluate checkpoint={run.name} suite={suite} first"
            )
        rows.append((run.name, own))
    tasks = list(wanted or rows[0][1])
    for name, own in rows:
        for task in tasks:
            if task not in own:
                raise UserError(f"runs: {name} has no score of {suite}/{task}")
    return tasks, np.array([[own[task] for task in tasks] for _, own in rows])


def shares_of(run: Artifact, shards: Mapping[str, Input]) -> dict[str, float]:
    """What a run was trained on, by domain; sums to 1.

    Raises:
        UserError: It was trained on something else.
    """
    names = {found.key: name for name, found in shards.items()}
    sources = run.provenance["config"]["data"]["sources"]
    given = [source["proportion"] for source in sources]
    keys = [source["shards"] for source in sources]
    for key in keys:
        if key not in names:
            raise UserError(f"runs: {run.name} was trained on shards {key}, which are no domain")
    if None in given:
        given = [tokens_of(shards[names[key]]) for key in keys]
    shares: dict[str, float] = {}
    for key, share in zip(keys, given, strict=True):
        shares[names[key]] = shares.get(names[key], 0.0) + share / sum(given)
    return shares


def described(runs: Sequence[Artifact]) -> str:
    """What the runs of a swarm were, in words."""
    sizes = {run.figures.get("tokens") for run in runs}
    models = {
        (m["d_model"], m["n_layers"]) for m in (r.provenance["config"]["model"] for r in runs)
    }
    if len(sizes) > 1 or len(models) > 1 or None in sizes:
        return "runs of several kinds"
    ((width, depth),) = models
    return f"width {width}, {depth} layers, {sizes.pop():,} tokens each"
