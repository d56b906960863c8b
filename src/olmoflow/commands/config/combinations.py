"""What stage, method and variant ask of each other: which recipe, which data, what cannot be.

``conf/train.yaml`` calls ``${recipe_of:…}`` and its like in its defaults list, so a sweep over
models, stages and methods picks the published values of each by itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from olmoflow.artifact import Input, open_artifact
from olmoflow.errors import UserError
from olmoflow.mesh import Mesh
from olmoflow.tokens.format import INDEX
from olmoflow.tokens.remote import Remote

POST_TRAIN, NO_METHOD, BASE = "post_train", "none", "base"
WRITE = f"stage={POST_TRAIN} variant=think|instruct method=sft|dpo"
# What a method reads, and how it is made.
_CONTENT = {
    "sft": ("conversations", "olmoflow tokenize conversations=…"),
    "dpo": ("pairs", "olmoflow tokenize preferences=…"),
}


def recipe_of(model: str, stage: str, variant: str, method: str) -> str:
    """``MODEL/STAGE`` for a base stage and ``MODEL/VARIANT_METHOD`` for post-training."""
    if stage == POST_TRAIN and method != NO_METHOD:
        return f"{model}/{variant}_{method}"
    return f"{model}/{stage}"


def data_of(method: str) -> str:
    """The file of ``conf/data`` that reads ``shards=NAME``: tokens, or pairs of answers."""
    return "local_pairs" if method == "dpo" else "local"


def optimizer_of(method: str) -> str:
    """The file of ``conf/optimizer``: Ai2's DPO ran in another trainer, with torch's own AdamW."""
    return "adamw" if method == "dpo" else "skip_step_adamw"


def why_no_recipe(recipe: str) -> str:
    """What to write where ``conf/recipe`` has no such file."""
    last = recipe.rpartition("/")[2]
    if last == POST_TRAIN:
        return f"stage={POST_TRAIN} takes a method and a variant: write {WRITE}"
    if last.startswith(f"{BASE}_"):
        return f"stage={POST_TRAIN} makes a variant of the base model: write {WRITE}"
    method = last.rpartition("_")[2]
    if method in _CONTENT:
        return (
            "no published recipe for this combination (another's will do, such as "
            f"recipe=olmo3_7b/think_{method}, with a learning rate of your own)"
        )
    return "no published recipe for this combination (recipe=ladder fits any size)"


def nearest_recipes(recipe: str, known: Sequence[str]) -> list[str]:
    """Of the recipes there are, those of the same model; else of the same kind, or method."""
    model, _, kind = recipe.rpartition("/")
    methods = tuple(f"_{m}" for m in _CONTENT if kind == POST_TRAIN or kind.endswith(f"_{m}"))
    return (
        [each for each in known if model and each.startswith(f"{model}/")]
        or [each for each in known if each.endswith(f"/{kind}")]
        or [each for each in known if each.endswith(methods)]
        or list(known)
    )


def check_combination(config: Mapping[str, Any]) -> None:
    """See that stage, method and variant belong together.

    Raises:
        UserError: They do not; says what to write.
    """
    stage, method, variant = (config[key]["name"] for key in ("stage", "method", "variant"))
    if stage == POST_TRAIN:
        if method == NO_METHOD:
            raise UserError(f"method={NO_METHOD}: stage={POST_TRAIN} takes one; write {WRITE}")
        if variant == BASE:
            raise UserError(f"variant={BASE}: stage={POST_TRAIN} makes another; write {WRITE}")
        if method == "dpo" and config.get("mixture"):
            raise UserError(f"mixture={config['mixture']}: method=dpo reads shards=NAME of pairs")
        return
    for key, value, neutral in (("method", method, NO_METHOD), ("variant", variant, BASE)):
        if value != neutral:
            raise UserError(
                f"{key}={value}: stage={stage} trains the base model; write {WRITE}, "
                f"or {key}={neutral}"
            )


def check_batch(config: Mapping[str, Any], mesh: Mesh) -> None:
    """See that the ranks can share a step.

    Raises:
        UserError: The batch cannot be cut so.
    """
    if config["method"]["name"] == "dpo":
        mesh.check_pairs(config["global_batch_pairs"])
        return
    mesh.check_batch(
        global_batch_tokens=config["global_batch_tokens"],
        sequence_length=config["sequence_length"],
        micro_batch_sequences=config["runtime"]["micro_batch_sequences"],
    )


def shard_nodes(data: Mapping[str, Any]) -> list[Any]:
    """The nodes of ``data`` whose ``shards`` are read: its sources, or itself where it has none."""
    return list(data["sources"]) if "sources" in data else [data]


def check_content(method: str, sources: Sequence[Input]) -> None:
    """See that the shards hold what the method learns from.

    Plain documents say nothing of what is to be learnt, and SFT would learn all of them.

    Raises:
        UserError: They hold something else; says how to make what is wanted.
    """
    if method not in _CONTENT:
        return
    wanted, how = _CONTENT[method]
    for source in sources:
        found = _content(source)
        if found != wanted:
            raise UserError(
                f"{source.role}={source.name}: holds {found}; method={method} expects {wanted} "
                f"({how})"
            )


def check_lengths(config: Mapping[str, Any], sources: Sequence[Input]) -> None:
    """See that conversations and answers are no longer than a sequence.

    What becomes of longer ones was chosen when the shards were made, for their ``sequence_length``.
    In shorter sequences, packing would cut conversations that were not to be cut; of pairs, it
    would show only after the reference has scored them.

    Raises:
        UserError: One is longer, and the shards were not made with ``too_long=split``.
    """
    length = config["sequence_length"]
    if config["method"]["name"] not in _CONTENT or config["data"].get("packing") == "concatenate":
        return
    for source in sources:
        artifact = None if "://" in source.name else open_artifact(source.path)
        made = artifact.provenance["config"] if artifact else {}
        if made.get("too_long") == "split" or made.get("sequence_length", 0) <= length:
            continue
        longest = _longest(source)
        if longest > length:
            raise UserError(
                f"sequence_length={length}: {source.role}={source.name} was made for "
                f"{made['sequence_length']} and holds documents of up to {longest} tokens; "
                f"expected at least as many, or shards tokenized with sequence_length={length}"
            )


def _longest(source: Input) -> int:
    """Tokens of the longest document."""
    import numpy as np

    from olmoflow.tokens.reader import TokenShards

    shards = TokenShards.open(source.path / "train")
    return int(np.diff(shards.document_starts, append=len(shards)).max())


def _content(source: Input) -> str:
    if "://" in source.name:
        index = Remote(source.name).read(INDEX)
    else:
        index = (source.path / "train" / INDEX).read_bytes()
    return str(json.loads(index).get("content", "documents"))
