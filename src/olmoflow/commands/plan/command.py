"""``olmoflow plan``: what a training run would take, without its hardware."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from olmoflow.artifact import claim
from olmoflow.commands.config.adapters import build_adapter
from olmoflow.commands.config.budget import check_one_budget
from olmoflow.commands.config.build import build
from olmoflow.commands.config.combinations import check_combination
from olmoflow.commands.plan.learnt_share import learnt_share
from olmoflow.digests import write_json
from olmoflow.errors import UserError
from olmoflow.mesh import Mesh
from olmoflow.plan.calibration import FITTED, Compared, compare
from olmoflow.plan.job import Hardware, Job
from olmoflow.train.activation_checkpointing import ActivationCheckpointing

ESTIMATE = "estimate.json"
ADAMW_8BIT = "olmoflow.train.AdamW8bit"


def run(config: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Plan; see ``conf/plan.yaml`` for the settings."""
    if config["calibrate"]:
        return {"calibration": [asdict(row) for row in compare()], "constants": asdict(FITTED)}
    check_one_budget(overrides)
    job = job_of(config)
    steps = min(config["hard_stop"] or config["max_steps"], config["max_steps"])
    tokens = float(steps * job.global_batch_tokens)
    # Unlike a training run's, an estimate's identity lies in how the work is shared.
    stated = {"job": asdict(job), "tokens": tokens, "constants": asdict(FITTED)}
    with claim("estimate", command="plan", config=stated, name=config["name"]) as work:
        if work.finished is None:
            from olmoflow.plan.advice import advise
            from olmoflow.plan.estimate import estimate

            result = estimate(job, tokens)
            advice = [] if result.fits else [change.as_dict() for change in advise(result)]
            figures = {**result.as_dict(), "advice": advice}
            write_json(work.path / ESTIMATE, figures)
            work.finish(figures)
    assert work.finished is not None
    return {**work.finished.figures, "estimate": work.finished.name, "path": str(work.path)}


def job_of(config: Mapping[str, Any]) -> Job:
    """The job of a resolved config.

    Raises:
        UserError: The ranks, the batch or the activation checkpointing do not fit each other.
    """
    hardware = Hardware(**config["hardware"])
    if config["dtype"] != "bfloat16":
        raise UserError(
            f"dtype={config['dtype']}: expected bfloat16, the only one that the roofline knows"
        )
    check_combination(config)
    mesh, batch = _mesh(config, hardware), config["global_batch_tokens"]
    tokens = config["max_tokens"]
    return Job(
        build(config["model"], "model"),
        mesh,
        hardware,
        config["sequence_length"],
        batch,
        float(config["max_steps"] * batch if tokens is None else tokens),
        micro_batch=_micro_batch(config, mesh),
        compiled=config["compile"],
        checkpointing=ActivationCheckpointing(**config["runtime"]["activation_checkpointing"]),
        chunk_tokens=config["method"]["objective"].get("chunk_tokens", 1024),
        target_share=learnt_share(config),
        logits_twice=config["method"]["name"] == "dpo",
        adapter=build_adapter(config),
        optimizer="adamw_8bit" if config["optimizer"]["_target_"] == ADAMW_8BIT else "adamw",
    )


def _micro_batch(config: Mapping[str, Any], mesh: Mesh) -> int:
    """Sequences of a micro-batch; of pairs the answers, each as long as it may be.

    Few are, so a plan of DPO's time is an upper bound; its memory is that of the worst step.
    """
    if config["method"]["name"] != "dpo":
        return int(config["runtime"]["micro_batch_sequences"])
    pairs, fitting = config["global_batch_pairs"], config["runtime"]["micro_batch_tokens"]
    mesh.check_pairs(pairs)
    at_once = max(1, fitting // (2 * config["sequence_length"]))
    return 2 * math.gcd(at_once, pairs // mesh.data_ranks)


def _mesh(config: Mapping[str, Any], hardware: Hardware) -> Mesh:
    """One rank per GPU; where no parallelism is chosen, the model is sharded within each node."""
    nodes = config["nodes"]
    if isinstance(nodes, bool) or not isinstance(nodes, int) or nodes < 1:
        raise UserError(f"nodes={nodes}: expected a positive whole number")
    gpus = nodes * hardware.gpus_per_node
    if config["parallel"]["name"] == "single" and gpus > 1:
        return Mesh(nodes, hardware.gpus_per_node)
    ranks = config["parallel"]["ranks"]
    if isinstance(ranks, int) and ranks != gpus:
        per_node = hardware.gpus_per_node
        hint = f"nodes={ranks // per_node}" if ranks % per_node == 0 else "as many, or other ranks"
        raise UserError(
            f"nodes={nodes}: {per_node} GPU(s) each of hardware={hardware.name} come to {gpus}, "
            f"and parallel.ranks={ranks}; expected {hint}"
        )
    return Mesh.of(config["parallel"], gpus)


def report(result: Mapping[str, Any]) -> None:
    """The plan as tables."""
    from olmoflow.commands.plan.tables import print_calibration, print_plan

    if "calibration" in result:
        print_calibration([Compared(**row) for row in result["calibration"]], FITTED)
    else:
        print_plan(result)
