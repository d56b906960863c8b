"""``olmoflow score``: a checkpoint's log-probability of every document of shards.

What a loss compares a model with does not change while it trains, so it is computed once, before,
and the reference model takes no memory in training. The key says which weights scored which tokens
in which precision; attention backend, ranks and packing change nothing but rounding.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from olmoflow.artifact import (
    Artifact,
    Claim,
    Input,
    Unfinished,
    claim,
    only_looking,
    resolve,
)
from olmoflow.commands.inputs.checkpoints import find_checkpoint
from olmoflow.commands.launching.launch import launch
from olmoflow.commands.train.start import step_path
from olmoflow.digests import write_json
from olmoflow.errors import UserError
from olmoflow.identity import key_of
from olmoflow.mesh import Mesh
from olmoflow.model import Olmo3Config

JOB, PARTS = "job.json", "parts"
# Of a model's config, what no log-probability depends on.
_NO_MATTER = ("init_std", "max_sequence_length")


@dataclass(frozen=True)
class Scoring:
    """What is scored by which model, and how.

    Attributes:
        checkpoint: Its weights; a step is named.
        shards: Whose ``train`` split.
        model: Its architecture, which may stretch the checkpoint's positions.
        dtype: Of activations and matrix products.
        attention: Attention backend.
        parallel: The config node.
        cluster: Likewise.
        runtime: Likewise: accelerator, micro_batch_tokens, chunk_tokens, progress.
    """

    checkpoint: Input
    shards: Input
    model: Olmo3Config
    dtype: str
    attention: str
    parallel: Mapping[str, Any]
    cluster: Mapping[str, Any]
    runtime: Mapping[str, Any]

    @property
    def identity(self) -> dict[str, Any]:
        """What changes the numbers, apart from the inputs."""
        return {"model": model_identity(self.model), "dtype": self.dtype}

    @property
    def inputs(self) -> list[Input]:
        """In the roles that the key knows, whoever asks."""
        return [replace(self.checkpoint, role="checkpoint"), replace(self.shards, role="shards")]

    def claim(self, name: str | None = None) -> AbstractContextManager[Claim]:
        """The artifact that holds the log-probabilities."""
        return claim(
            "logprobs", command="score", config=self.identity, inputs=self.inputs, name=name
        )

    def expected(self) -> Input:
        """The artifact as an input of others, whether it has been made or not."""
        try:
            with only_looking(), self.claim() as work:
                path = work.path
        except Unfinished as unfinished:
            path = unfinished.args[0]
        key = key_of("score", self.identity, self.inputs)
        return Input("reference", "logprobs", path.name, key, path)


def run(config: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Score; see ``conf/score.yaml`` for the settings."""
    checkpoint = find_checkpoint(config["checkpoint"])
    scoring = Scoring(
        checkpoint,
        resolve(config["shards"], "shards", ["shards"]),
        checkpoint_config(checkpoint),
        *(config[key] for key in ("dtype", "attention", "parallel", "cluster", "runtime")),
    )
    made = make_log_probs(scoring, config["name"])
    return {"logprobs": made.name, "path": str(made.path), **made.figures}


def report(result: Mapping[str, Any]) -> None:
    """Say what came out."""
    print(
        f"logprobs {result['logprobs']}: {result['documents']:,} documents, "
        f"{result['mean']:.4f} nats for each of {result['targets']:,} tokens"
    )


def make_log_probs(scoring: Scoring, name: str | None = None, run: Path | None = None) -> Artifact:
    """Score the shards, unless that has been done; goes on where it was cut.

    Args:
        scoring: What and how.
        name: The artifact's.
        run: The folder of the training run that waits for it, if one does: a mistake in its config
            shows before anything is scored.

    Raises:
        UserError: The shards say nothing of what is learnt, a document is too long, or the run
            cannot be built.
    """
    with scoring.claim(name) as work:
        if work.finished is None:
            _prepare(scoring, work.path, run)
            _run_ranks(scoring, work.path)
            work.finish(_collect(scoring, work.path))
    assert work.finished is not None
    return work.finished


def checkpoint_config(found: Input) -> Olmo3Config:
    """The architecture that a checkpoint holds.

    Raises:
        UserError: It is no checkpoint of ours.
    """
    file = step_path(found) / "model.json"
    if not file.is_file():
        raise UserError(
            f"{found.role}={found.path}: expected a checkpoint of ours; `olmoflow import source=…` "
            "makes one of a Hugging Face or OLMo-core folder"
        )
    return Olmo3Config.from_dict(json.loads(file.read_bytes()))


def model_identity(model: Olmo3Config) -> dict[str, Any]:
    """What of an architecture its log-probabilities depend on."""
    values = {k: v for k, v in asdict(model).items() if k not in _NO_MATTER}
    return {**values, "head_dim": model.head_width}


def _prepare(scoring: Scoring, folder: Path, run: Path | None) -> None:
    write_json(
        folder / JOB,
        {
            "checkpoint": scoring.checkpoint.record(),
            "shards": str(scoring.shards.path / "train"),
            "model": asdict(scoring.model),
            "dtype": scoring.dtype,
            "attention": scoring.attention,
            "parallel": dict(scoring.parallel),
            "runtime": dict(scoring.runtime),
            "run": None if run is None else str(run),
        },
    )


def _run_ranks(scoring: Scoring, folder: Path) -> None:
    ranks = Mesh.of(scoring.parallel, scoring.cluster["ranks"]).ranks
    # A container is entered by srun, even for one rank.
    if ranks > 1 or scoring.cluster.get("container", {}).get("image"):
        launch("olmoflow.commands.score.rank", folder, scoring.cluster, ranks)
        return
    from olmoflow.commands.score.rank import score

    score(folder)


def _collect(scoring: Scoring, folder: Path) -> dict[str, Any]:
    """What all ranks have scored as one file; returns the figures."""
    from olmoflow.tokens.pairs.reference import count_targets, load_parts, write_log_probs
    from olmoflow.tokens.reader import TokenShards

    shards = TokenShards.open(scoring.shards.path / "train")
    log_probs = load_parts(folder / PARTS, len(shards.document_starts))
    targets = count_targets(shards)
    write_log_probs(folder, shards, log_probs, targets)
    shutil.rmtree(folder / PARTS)
    total = int(targets.sum())
    mean = float(log_probs.astype(float).sum()) / max(1, total)
    return {"documents": len(log_probs), "targets": total, "mean": mean}
