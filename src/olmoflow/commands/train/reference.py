"""What a preference loss measures a model against: ``reference=`` of ``olmoflow train``.

Nothing given, it is the checkpoint that the run starts from; a checkpoint's name, that one; the
name of log-probabilities, these, if they are the starting checkpoint's and of the same shards. What
has not been scored yet is scored before the ranks start, by as many. A run of adapters needs none:
its frozen base, 4 bits and all, is the reference and answers in the same step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olmoflow.artifact import Input, open_artifact, resolve
from olmoflow.commands.config.build import build
from olmoflow.commands.score.command import (
    Scoring,
    checkpoint_config,
    make_log_probs,
    model_identity,
)
from olmoflow.errors import UserError
from olmoflow.model import Olmo3Config

# Losses of `olmoflow.train.objectives.DirectPreference` that need none.
REFERENCE_FREE = ("simpo",)


@dataclass(frozen=True)
class Reference:
    """The log-probabilities of a reference.

    Attributes:
        input: They, as an input of the run.
        scoring: How they are made; None: they are there.
    """

    input: Input
    scoring: Scoring | None = None

    def make(self, run: Path) -> None:
        """See that they are there, for the run of this folder, whose config is checked before."""
        if self.scoring is not None:
            made = make_log_probs(self.scoring, run=run)
            assert made.key == self.input.key


def find_reference(
    config: Mapping[str, Any], start: Input | None, sources: Sequence[Input]
) -> Reference | None:
    """The reference of a training run; None where its objective needs none.

    Raises:
        UserError: One is given and not needed, or needed and impossible: it is of another model or
            other shards.
    """
    given = config["reference"]
    if not _needed(config):
        if given is not None:
            raise UserError(
                f"reference={given}: method={config['method']['name']} with this loss has no "
                "reference; expected null"
            )
        return None
    if given is None and config["adapter"]["name"] != "none":
        return None  # the objective turns the adapters off
    if start is None:
        raise UserError("checkpoint: missing; a preference loss starts from a checkpoint")
    (shards,) = sources
    if "://" in shards.name:
        raise UserError(
            f"{shards.role}={shards.name}: log-probabilities are computed from local shards; "
            "expected a name or a path"
        )
    model: Olmo3Config = build(config["model"], "model")
    if given is None:
        return _to_be_scored(config, start, shards, model)
    found = resolve(given, "reference", ["logprobs", "checkpoint"])
    if found.kind == "checkpoint":
        same = (found.key, found.step) == (start.key, start.step)
        own = model if same else checkpoint_config(found)
        return _to_be_scored(config, found, shards, own)
    _check_made(found, start, shards, {"dtype": config["dtype"], "model": model_identity(model)})
    return Reference(found)


def _needed(config: Mapping[str, Any]) -> bool:
    method = config["method"]
    return method["name"] == "dpo" and method["objective"].get("loss") not in REFERENCE_FREE


def _to_be_scored(
    config: Mapping[str, Any], checkpoint: Input, shards: Input, model: Olmo3Config
) -> Reference:
    runtime = config["runtime"]
    scoring = Scoring(
        checkpoint,
        shards,
        model,
        config["dtype"],
        config["attention"],
        config["parallel"],
        config["cluster"],
        {
            "accelerator": runtime["accelerator"],
            "micro_batch_tokens": runtime["micro_batch_tokens"],
            "chunk_tokens": config["method"]["objective"].get("chunk_tokens", 1024),
            "progress": runtime["progress"],
        },
    )
    return Reference(scoring.expected(), scoring)


def _check_made(found: Input, start: Input, shards: Input, identity: Mapping[str, Any]) -> None:
    """See that log-probabilities are those of the run's start.

    Raises:
        UserError: They are of another model, other shards or another precision; says of which.
    """
    artifact = open_artifact(found.path)
    if artifact is None:
        raise UserError(
            f"reference={found.path}: expected log-probabilities (olmoflow score makes them) or a "
            "checkpoint"
        )
    made_from = {each.role: each for each in artifact.inputs}
    for role, wanted in (("checkpoint", start), ("shards", shards)):
        other = made_from[role]
        if (other.key, other.step) != (wanted.key, wanted.step):
            raise UserError(
                f"reference={found.name}: made from {role} {_named(other)}, this run has "
                f"{_named(wanted)}; expected the same, or reference=null, which makes it"
            )
    theirs, ours = (_flat(each) for each in (artifact.provenance["config"], identity))
    for key, value in ours.items():
        if theirs.get(key) != value:
            raise UserError(
                f"reference={found.name}: made with {key}={theirs.get(key)}, this run has "
                f"{value}; expected the same, or reference=null, which makes it"
            )


def _flat(identity: Mapping[str, Any]) -> dict[str, Any]:
    """`Scoring.identity` by the keys of the command line."""
    model = {f"model.{key}": value for key, value in identity["model"].items()}
    return {"dtype": identity["dtype"], **model}


def _named(found: Input) -> str:
    name = found.name if found.step is None else f"{found.name}@{found.step}"
    return f"{name} ({found.key})"
