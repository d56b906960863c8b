"""``olmoflow synthesize``: training data made with models that answer.

Pairs of preferences are made here, of conversations; documents written anew in `rewritten`.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olmoflow.artifact import Input, claim, resolve
from olmoflow.commands.command_line.progress import progress_of_steps
from olmoflow.commands.config.numbers import COUNT, SHARE, check_each
from olmoflow.commands.curate.pipeline import files_in
from olmoflow.commands.inputs.checkpoints import tokenizer_folder
from olmoflow.commands.inputs.documents import longest_document, where_given
from olmoflow.commands.inputs.tokenizers import splits_of
from olmoflow.commands.synthesize.outcome import nothing_left, print_steps, write_report
from olmoflow.commands.synthesize.recipes import REWRITTEN, find_roles, make_pipeline
from olmoflow.commands.synthesize.rewritten import report_rewritten, run_rewritten
from olmoflow.commands.synthesize.speakers import Interview, Role, said_by
from olmoflow.commands.synthesize.special_tokens import special_tokens_of
from olmoflow.commands.tokenize.conversations import DOWNLOAD, fetched, find_rows
from olmoflow.errors import UserError

if TYPE_CHECKING:
    from olmoflow.synthesize.prompt import Prompt, PromptCount
    from olmoflow.synthesize.recipe import Pipeline
    from olmoflow.synthesize.selection import Filter, Lengths

# They are part of a work's identity as inputs, as speakers, or not at all.
_NOT_IN_IDENTITY = ("corpus", "writer", "strong", "weak", "judge", "pool")

# Settings of a pipeline that have settings of their own.
_NODES = {"length_control", "kinds", "instructions", "settings", "passages"}
_NUMBERS = {"seed": COUNT, "max_error_rate": SHARE, "max_unanswered": SHARE}


def run(config: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Synthesize; see ``conf/synthesize.yaml`` for the settings."""
    check_each(config, _NUMBERS)
    name = config["pipeline"].get("name")
    for key in _NODES & config["pipeline"].keys():
        if not isinstance(config["pipeline"][key], Mapping):
            found = config["pipeline"][key]
            raise UserError(f"pipeline.{key}={found}: expected settings, pipeline.{key}.NAME=…")
    wanted, other = ("corpus", "conversations")
    if name != REWRITTEN:
        wanted, other = other, wanted
    if config[other] is not None:
        raise UserError(
            f"{other}={config[other]}: pipeline={name} takes no {other}; expected {wanted}=…"
        )
    if config[wanted] is None:
        raise UserError(f"{wanted}: missing; give {wanted}=…")
    return run_rewritten(config) if name == REWRITTEN else _make_pairs(config)


def _make_pairs(config: dict[str, Any]) -> dict[str, Any]:
    roles = find_roles(config)
    pipeline = make_pipeline(config, roles)
    source = find_rows(str(config["conversations"]), "conversations")
    tokenizer = _tokenizer(config, roles)
    checkpoints = [role.checkpoint for role in roles.values() if role.checkpoint]
    files = files_in(config["pipeline"]["filters"], "pipeline.filters")
    with claim(
        "corpus",
        command="synthesize",
        config=_identity(config, roles, pipeline, tokenizer),
        inputs=[source, *checkpoints, *files],
        name=config["name"],
    ) as work:
        if work.finished is None:
            work.finish(_work(config, roles, pipeline, source, tokenizer, work.path))
    assert work.finished is not None
    return {"corpus": work.finished.name, "path": str(work.path), **work.finished.figures}


def report(result: Mapping[str, Any]) -> None:
    """Say what came of the prompts, step by step."""
    if "pairs" not in result:
        report_rewritten(result)
        return
    print_steps(result)
    lengths = result["lengths"]
    if "chosen" in lengths:
        chosen, rejected = lengths["chosen"]["mean"], lengths["rejected"]["mean"]
        print(f"{lengths['unit']} on average: chosen {chosen:,}, rejected {rejected:,}")
    print(f"corpus {result['corpus']}: {result['pairs']:,} pairs of {result['prompts']:,} prompts")
    print(f"what each step removed: {result['path']}/report.html")


def _identity(
    config: Mapping[str, Any],
    roles: Mapping[str, Role],
    pipeline: Pipeline,
    tokenizer: Path | None,
) -> dict[str, Any]:
    """What makes the pairs, apart from the conversations and checkpoints."""
    from olmoflow.digests import fingerprint

    rest = {k: v for k, v in where_given(config).items() if k not in _NOT_IN_IDENTITY}
    counted = None if tokenizer is None else fingerprint(tokenizer)
    control = {**config["pipeline"]["length_control"], "tokenizer": counted}
    told = hashlib.sha256("".join(pipeline.told()).encode()).hexdigest()[:12]
    return {
        **rest,
        "conversations": None,
        "speakers": said_by(roles),
        "pipeline": {**config["pipeline"], "length_control": control, "told": told},
    }


def _tokenizer(config: Mapping[str, Any], roles: Mapping[str, Role]) -> Path | None:
    """The folder of the tokenizer that counts."""
    control = config["pipeline"]["length_control"]
    if control["tokenizer"] is not None:
        key = "pipeline.length_control.tokenizer"
        return resolve(str(control["tokenizer"]), key, ["tokenizer"]).path
    for name in ("strong", "weak"):
        checkpoint = roles[name].checkpoint if name in roles else None
        if checkpoint is not None and (folder := tokenizer_folder(checkpoint)):
            return folder
    if control["max_difference"] is not None:
        raise UserError(
            "pipeline.length_control.tokenizer: missing; max_difference counts tokens, and neither "
            "strong nor weak has a checkpoint whose tokenizer could"
        )
    return None


def _work(
    config: Mapping[str, Any],
    roles: Mapping[str, Role],
    pipeline: Pipeline,
    source: Input,
    tokenizer: Path | None,
    folder: Path,
) -> dict[str, Any]:
    from olmoflow.synthesize.pair_files import write_pairs
    from olmoflow.synthesize.pair_report import Run
    from olmoflow.synthesize.prompt import PromptCount
    from olmoflow.synthesize.recipes.judged_pairs import JUDGE
    from olmoflow.synthesize.rounds import run_rounds
    from olmoflow.synthesize.selection import ended, select

    lengths = _lengths(tokenizer)
    spoke = [role for name, role in roles.items() if name != JUDGE]
    filters = _filters(config, lengths, special_tokens_of(spoke, tokenizer))
    count = PromptCount()
    prompts, malformed = _prompts(config, source, folder, count)
    with progress_of_steps(config["runtime"]["progress"]) as advance:
        interview = Interview(roles, [source], config, advance)
        try:
            ends = run_rounds([pipeline(prompt) for prompt in prompts], interview)
        finally:
            interview.close()
            pipeline.close()
    paired, recipe_steps = ended(ends, pipeline.steps)
    kept, filter_steps = select(paired, filters)
    what = Run(count, prompts, paired, kept, [*recipe_steps, *filter_steps], lengths)
    models = {name: role.model for name, role in roles.items()}
    figures = {
        **what.figures(),
        "malformed": malformed,
        "models": models,
        "rollouts": interview.transcripts,
    }
    if not kept:
        raise UserError(nothing_left("pair", what.steps))
    write_pairs(kept, folder / "train", models, lengths)
    write_report(config, what, models, folder)
    return figures


def _prompts(
    config: Mapping[str, Any], source: Input, folder: Path, count: PromptCount
) -> tuple[list[Prompt], int]:
    """The prompts, and how many rows were no conversations; those are left in the folder."""
    from olmoflow.documents import Intake
    from olmoflow.synthesize.prompt import prompts_of, read_verifiable, take
    from olmoflow.tokens.chat.conversation import read_conversations

    limit = config["limit"]
    if limit is not None and (type(limit) is not int or limit < 1):
        raise UserError(f"limit={limit}: expected a whole number, at least 1, or null")
    at = splits_of(fetched(source, folder / DOWNLOAD))["train"]
    intake = Intake(float(config["max_error_rate"]), longest_document(config, source))
    try:
        column = config["pipeline"].get("reference")
        conversations: Iterable[Any] = (
            read_conversations(at, intake)
            if column is None
            else read_verifiable(at, intake, str(column))
        )
        prompts = take(prompts_of(conversations, count), limit, int(config["seed"]), count)
    finally:
        intake.write(folder)
    shutil.rmtree(folder / DOWNLOAD, ignore_errors=True)
    if not prompts:
        raise UserError(f"conversations={source.name}: no conversation has a turn of the user")
    return prompts, len(intake.malformed)


def _lengths(tokenizer: Path | None) -> Lengths:
    from olmoflow.synthesize.selection import Lengths
    from olmoflow.tokens.tokenizer import load_tokenizer

    return Lengths(None if tokenizer is None else load_tokenizer(tokenizer))


def _filters(
    config: Mapping[str, Any], lengths: Lengths, special_tokens: Sequence[str]
) -> list[tuple[str, Filter]]:
    from olmoflow.synthesize.curation import curated_filters
    from olmoflow.synthesize.selection import LengthControl, Sound

    settings = config["pipeline"]
    sound = Sound(str(settings["drop_unfinished"]), special_tokens)
    filters: list[tuple[str, Filter]] = [("pairs", sound)]
    filters += curated_filters(settings["filters"], "pipeline.filters")
    control = settings["length_control"]
    most, sources = control["max_difference"], control["sources"]
    if most is not None:
        if type(most) is not int or most < 0:
            raise UserError(
                f"pipeline.length_control.max_difference={most}: expected tokens, at least 0, "
                "or null"
            )
        if sources is not None and not isinstance(sources, list):
            raise UserError(
                f"pipeline.length_control.sources={sources}: expected a list, such as [wildchat]"
            )
        filters.append(("length_control", LengthControl(lengths, most, sources)))
    return filters
