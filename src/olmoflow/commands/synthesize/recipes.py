"""The pipelines of ``olmoflow synthesize``: who speaks in each, and what is done for a prompt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

from olmoflow.commands.config.numbers import (
    COUNT,
    NOT_NEGATIVE,
    SHARE,
    WHOLE,
    check_each,
    check_number,
)
from olmoflow.commands.synthesize.speakers import SAMPLING, Role, find_role
from olmoflow.errors import UserError

if TYPE_CHECKING:
    from olmoflow.synthesize.recipe import Pipeline


_NUMBERS = {
    "pipeline.responses": WHOLE,
    "pipeline.from_weak": COUNT,
    "pipeline.attempts": WHOLE,
    "pipeline.min_margin": NOT_NEGATIVE,
    "pipeline.right_from": SHARE,
    "pipeline.wrong_below": SHARE,
    "pipeline.turns": WHOLE,
}


def find_roles(config: Mapping[str, Any]) -> dict[str, Role]:
    """Who speaks, by name.

    Raises:
        UserError: The pipeline is none of this command, a speaker's settings are wrong, or one
            model is strong and weak at once.
    """
    name = config["pipeline"].get("name")
    if name not in PIPELINES:
        known = ", ".join([*PIPELINES, REWRITTEN])
        raise UserError(f"pipeline={name}: expected one of {known}")
    alone = name == "verified" and not config["pipeline"]["from_weak"]
    names = ["strong"] if alone else ["strong", "weak"]
    nodes = {each: config[each] for each in names}
    if name == "judged_pairs":
        for side in ("strong", "weak"):
            for member, node in config["pool"][side].items():
                given = {k: v for k, v in config[side].items() if k in SAMPLING} | dict(node)
                nodes[f"pool.{side}.{member}"] = {"checkpoint": None, "template": None} | given
        nodes["judge"] = config["judge"]
    elif any(config["pool"].values()):
        raise UserError(f"pool: pipeline={name} asks strong and weak alone; expected no pool")
    roles = {each: find_role(each, node) for each, node in nodes.items()}
    for strong, weak in product(pool_of(roles, "strong"), pool_of(roles, "weak")):
        if roles[strong].same_as == roles[weak].same_as:
            raise UserError(
                f"{weak}: the same model as {strong} ({roles[strong].model}); expected a weaker one"
            )
    return roles


def pool_of(roles: Mapping[str, Role], side: str) -> list[str]:
    """The names of the strong or of the weak speakers."""
    return [name for name in roles if name == side or name.startswith(f"pool.{side}.")]


def make_pipeline(config: Mapping[str, Any], roles: Mapping[str, Role]) -> Pipeline:
    """What is done for each prompt.

    Raises:
        UserError: A setting of the pipeline is wrong.
    """
    check_each(config, _NUMBERS)
    return PIPELINES[config["pipeline"]["name"]](config, roles)


def _delta_learning(config: Mapping[str, Any], roles: Mapping[str, Role]) -> Pipeline:
    from olmoflow.synthesize.recipes.delta_learning import DeltaLearning

    return DeltaLearning()


def _judged_pairs(config: Mapping[str, Any], roles: Mapping[str, Role]) -> Pipeline:
    from olmoflow.synthesize.instruction import load_instruction
    from olmoflow.synthesize.recipes.judged_pairs import PREFERENCE, SCORES, JudgedPairs

    settings = config["pipeline"]
    if not isinstance(settings["aspects"], list):
        raise UserError(f"pipeline.aspects={settings['aspects']}: expected a list of names")
    if type(settings["both_orders"]) is not bool:
        raise UserError(f"pipeline.both_orders={settings['both_orders']}: expected true or false")
    return JudgedPairs(
        pool_of(roles, "strong"),
        pool_of(roles, "weak"),
        int(settings["responses"]),
        int(settings["from_weak"]),
        load_instruction(
            str(settings["instruction"]), "pipeline.instruction", [SCORES, PREFERENCE]
        ),
        [str(aspect) for aspect in settings["aspects"]],
        int(settings["attempts"]),
        bool(settings["both_orders"]),
        float(settings["min_margin"]),
        int(config["seed"]),
    )


def _multi_turn(config: Mapping[str, Any], roles: Mapping[str, Role]) -> Pipeline:
    from olmoflow.synthesize.instruction import load_instruction
    from olmoflow.synthesize.recipes.multi_turn import BLANKS, MultiTurn

    settings = config["pipeline"]
    instructions = {
        kind: load_instruction(
            str(settings["instructions"][kind]), f"pipeline.instructions.{kind}", [{blank}]
        )
        for kind, blank in BLANKS.items()
    }
    for kind, share in settings["kinds"].items():
        check_number(f"pipeline.kinds.{kind}", share, NOT_NEGATIVE)
    shares = {kind: float(share) for kind, share in settings["kinds"].items()}
    return MultiTurn(shares, instructions, int(settings["turns"]), int(config["seed"]))


def _verified(config: Mapping[str, Any], roles: Mapping[str, Role]) -> Pipeline:
    from olmoflow.synthesize.recipes.verified import Verified
    from olmoflow.verifiers import find_verifier

    settings = config["pipeline"]
    try:
        verifier = find_verifier(str(settings["verifier"]), **settings["settings"])
    except UserError as error:
        key = "pipeline" if str(error).startswith("verifier:") else "pipeline.settings"
        raise UserError(f"{key}.{error}") from error
    return Verified(
        verifier,
        int(settings["responses"]),
        int(settings["from_weak"]),
        float(settings["right_from"]),
        float(settings["wrong_below"]),
    )


PIPELINES: dict[str, Callable[[Mapping[str, Any], Mapping[str, Role]], Pipeline]] = {
    "delta_learning": _delta_learning,
    "judged_pairs": _judged_pairs,
    "multi_turn": _multi_turn,
    "verified": _verified,
}
REWRITTEN = "rewritten"
"""The pipeline that is no recipe for pairs."""
