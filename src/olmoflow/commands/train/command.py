"""``olmoflow train``: shards into a checkpoint series.

This module resolves the inputs, claims the artifact and starts the ranks; what a rank does is
`olmoflow.commands.train.rank`. The resolved config goes through the run folder, so that one process
and a thousand start in the same way.
"""

from __future__ import annotations

import copy
import hashlib
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from olmoflow.artifact import Artifact, Claim, Input, claim, resolve
from olmoflow.commands.config.adapters import check_adapter
from olmoflow.commands.config.budget import check_one_budget
from olmoflow.commands.config.combinations import (
    check_batch,
    check_combination,
    check_content,
    check_lengths,
    shard_nodes,
)
from olmoflow.commands.config.numbers import check_numbers
from olmoflow.commands.inputs.checkpoints import TOKENIZER, find_checkpoint
from olmoflow.commands.inputs.mixtures import find_mixture
from olmoflow.commands.launching.launch import OutOfTime, launch
from olmoflow.commands.main import config_root
from olmoflow.commands.train.reference import Reference, find_reference
from olmoflow.commands.train.start import check_start, check_tokenizers, take_over
from olmoflow.commands.train.tracking import log_finished
from olmoflow.digests import write_json
from olmoflow.environment import git_diff, installed_packages, slurm_record
from olmoflow.errors import UserError
from olmoflow.mesh import Mesh
from olmoflow.tokens.format import DIGESTS, INDEX
from olmoflow.tokens.remote import Remote
from olmoflow.tokens.tokenizer import CHAT_TEMPLATE
from olmoflow.tokens.tokenizer import CONFIG as TOKENIZER_CONFIG
from olmoflow.tokens.tokenizer import TOKENIZER as TOKENIZER_FILE

CONFIG, JOB = "config.yaml", "job.json"


def run(config: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Train; see ``conf/train.yaml`` for the settings."""
    check_one_budget(overrides)
    check_combination(config)
    check_numbers(config)
    mesh = Mesh.of(config["parallel"], config["cluster"]["ranks"])
    check_batch(config, mesh)
    mixture = find_mixture(config["mixture"]) if config.get("mixture") else None
    if mixture:
        if config["shards"]:
            raise UserError(
                f"shards={config['shards']}: a mixture= names its own; give one of both"
            )
        config = {**config, "data": {**config["data"], "sources": mixture.sources}}
    sources = find_sources(config)
    check_content(config["method"]["name"], sources)
    check_lengths(config, sources)
    start = find_checkpoint(config["checkpoint"]) if config["checkpoint"] else None
    check_start(config, start)
    check_tokenizers(start, sources)
    check_adapter(config, start, mesh)
    reference = find_reference(config, start, sources)
    inputs = [*sources, *([start] if start else []), *(mixture.inputs if mixture else [])]
    inputs += [reference.input] if reference else []
    with claim(
        "checkpoint",
        command="train",
        config=pinned(config, sources, start),
        inputs=inputs,
        name=config["name"],
    ) as work:
        if work.finished is None:
            prepare_run(work, config, overrides, sources, start, reference)
            outcome = _run_ranks(work.path, mesh, config["cluster"])
            if outcome["stopped"] == "out_of_time":
                raise OutOfTime(outcome["steps"])
            if outcome["stopped"] == "signal":
                raise KeyboardInterrupt
            if outcome["stopped"] == "cancelled":
                raise UserError(
                    f"{work.name}: cancelled at step {outcome['steps']} by the W&B tag "
                    f"{outcome['tag']}; without the tag, the same command resumes"
                )
            work.finish(
                {
                    "steps": outcome["steps"],
                    "tokens": outcome["tokens"],
                    **outcome["final"],
                }
            )
        else:
            _say_what_was_not_scored(config, work.finished)
            log_finished(config, overrides, work.finished)
    assert work.finished is not None
    figures = dict(work.finished.figures)
    return {
        "checkpoint": work.finished.name,
        "run_dir": str(work.path),
        "steps": figures.pop("steps"),
        "tokens": figures.pop("tokens"),
        "final": figures,
    }


def report(result: Mapping[str, Any]) -> None:
    """Say what came out."""
    final = result["final"]
    loss = final.get("train/CE loss", final.get("train/preference loss"))
    shown = "" if loss is None else f", training loss {loss:.3f}"
    print(
        f"checkpoint {result['checkpoint']}: {result['steps']:,} steps, "
        f"{result['tokens']:,} tokens{shown}"
    )


def _say_what_was_not_scored(config: Mapping[str, Any], finished: Artifact) -> None:
    """Evaluation is no part of a run's key, so the run that is reused may have had another."""
    node = config.get("evaluation") or {}
    asked = node.get("suite") is not None or node.get("tasks") is not None
    if asked and not any(name.startswith("eval/") for name in finished.figures):
        print(
            f"{finished.name} is finished already and was not evaluated while it trained; to score "
            f"it: olmoflow evaluate checkpoint={finished.name}",
            file=sys.stderr,
        )


def find_sources(config: Mapping[str, Any]) -> list[Input]:
    """Resolve the shards of every source of ``data``.

    Raises:
        UserError: None are named, or one does not exist.
    """
    found = []
    several = "sources" in config["data"]
    for index, source in enumerate(shard_nodes(config["data"])):
        reference = source["shards"]
        if reference is None:
            raise UserError("shards: missing; give shards=NAME (olmoflow list kind=shards)")
        place = f"data.sources[{index}].shards" if several else "data.shards"
        role = "shards" if reference == config["shards"] else place
        if "://" in reference:
            # The record of digests stands for the tokens: other content is another key.
            key = hashlib.sha256(Remote(reference).read(DIGESTS)).hexdigest()[:12]
            found.append(Input(role, "external", reference, key, Path(reference)))
        else:
            found.append(_resolved(reference, role))
            if not (found[-1].path / "train" / INDEX).is_file():
                raise UserError(
                    f"{role}={reference}: no token shards in {found[-1].path}; expected a folder "
                    f"with train/{INDEX}, as olmoflow tokenize leaves it"
                )
    return found


def _resolved(reference: str, role: str) -> Input:
    """Shards by name; of the published ones that are not here, which file says how they come."""
    try:
        return resolve(reference, role, ["shards"])
    except UserError:
        published = config_root() / "conf" / "data" / f"{reference}.yaml"
        if role == "shards" or not published.is_file():
            raise
        raise UserError(
            f"{role}={reference}: these shards are not here yet; {published} begins with the "
            "command that fetches them"
        ) from None


def pinned(config: Mapping[str, Any], sources: list[Input], start: Input | None) -> dict[str, Any]:
    """The config with every reference replaced by what it stands for, for the key."""
    fixed = copy.deepcopy(dict(config))
    for node, found in zip(shard_nodes(fixed["data"]), sources, strict=True):
        node["shards"] = found.key
    fixed["shards"] = None
    fixed["checkpoint"] = f"{start.key}@{start.step}" if start else None
    # What these say stands in the sources and inputs.
    fixed.pop("mixture", None)
    fixed.pop("reference", None)
    if fixed["adapter"]["name"] == "none":
        fixed.pop("adapter")
    return fixed


def prepare_run(
    work: Claim,
    config: Mapping[str, Any],
    overrides: list[str],
    sources: list[Input],
    start: Input | None,
    reference: Reference | None = None,
) -> None:
    """Leave in the run folder what the ranks read and what a reader may ask later."""
    folder = work.path
    _copy_tokenizer(sources[0], folder / TOKENIZER)
    (folder / CONFIG).write_text(yaml.safe_dump(dict(config), sort_keys=False))
    if reference:
        reference.make(folder)
    write_json(
        folder / JOB,
        {
            "sources": [s.name if "://" in s.name else str(s.path) for s in sources],
            "checkpoint": start.record() if start else None,
            "reference": str(reference.input.path) if reference else None,
            "overrides": overrides,
            "name": work.name,
        },
    )
    if start and config["carry_trainer"]:
        take_over(start, folder)
    if slurm := slurm_record():
        write_json(folder / "slurm.json", slurm)
    (folder / "packages.txt").write_text("\n".join(installed_packages()) + "\n")
    (folder / "git.diff").write_text(git_diff())


def _copy_tokenizer(source: Input, target: Path) -> None:
    """Keep the tokenizer that stands beside the split with the weights, if one does."""
    if "://" not in source.name:
        if (source.path / TOKENIZER).is_dir():
            shutil.copytree(source.path / TOKENIZER, target, dirs_exist_ok=True)
        return
    remote = Remote(f"{source.name.rstrip('/').rpartition('/')[0]}/{TOKENIZER}")
    for name in (TOKENIZER_FILE, TOKENIZER_CONFIG, CHAT_TEMPLATE):
        try:
            content = remote.read(name)
        except UserError:
            return  # shards of somebody's own, without a tokenizer; or of plain documents
        target.mkdir(exist_ok=True)
        (target / name).write_bytes(content)


def _run_ranks(folder: Path, mesh: Mesh, cluster: Mapping[str, Any]) -> Any:
    # A container is entered by srun, even for one rank.
    if mesh.ranks > 1 or cluster.get("container", {}).get("image"):
        return launch("olmoflow.commands.train.rank", folder, cluster, mesh.ranks)
    from olmoflow.commands.train.rank import train

    return train(folder)
