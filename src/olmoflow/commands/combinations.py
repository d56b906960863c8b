"""What stage, method and variant ask of each other: which recipe, which data, what cannot be.

``conf/train.yaml`` calls ``${recipe_of:…}`` and its like in its defaults list, so a sweep over
models, stages and methods picks the published values of each by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from olmoflow.errors import UserError

POST_TRAIN, NO_METHOD, BASE = "post_train", "none", "base"
WRITE = f"stage={POST_TRAIN} variant=think|instruct method=sft|dpo"


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
    return "no published recipe for this combination (recipe=ladder fits any size)"


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
        return
    for key, value, neutral in (("method", method, NO_METHOD), ("variant", variant, BASE)):
        if value != neutral:
            raise UserError(
                f"{key}={value}: stage={stage} trains the base model; write {WRITE}, "
                f"or {key}={neutral}"
            )
