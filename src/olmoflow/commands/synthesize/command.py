"""``olmoflow synthesize``: conversations into preference pairs, with models that answer."""

from __future__ import annotations

import datetime
import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olmoflow import __version__
from olmoflow.artifact import Input, claim, resolve
from olmoflow.commands.command_line.progress import progress_of_steps
from olmoflow.commands.curate.pipeline import files_in
from olmoflow.commands.inputs.checkpoints import tokenizer_folder
from olmoflow.commands.inputs.tokenizers import splits_of
from olmoflow.commands.synthesize.recipes import find_roles, make_pipeline
from olmoflow.commands.synthesize.speakers import Interview, Role
from olmoflow.commands.tokenize.conversations import DOWNLOAD, fetched, find_rows
from olmoflow.errors import UserError

if TYPE_CHECKING:
    from olmoflow.synthesize.prompt import Prompt, PromptCount
    from olmoflow.synthesize.recipe import Pipeline
    from olmoflow.synthesize.selection import Filter, Lengths

_SPEAKERS = ("strong", "weak", "judge", "pool")


def run(config: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Synthesize; see ``conf/synthesize.yaml`` for the settings."""
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
    width = max(len(name) for name in result["steps"])
    for name, step in result["steps"].items():
        removed = ", ".join(f"{why}: {n:,}" for why, n in step["removed"].items())
        print(f"{name:<{width}}  {step['in']:>10,} -> {step['out']:>10,}  {removed}".rstrip())
    left_out = {k.replace("_", " "): n for k, n in result["left_out"].items() if n}
    if result["malformed"]:
        left_out["malformed (errors.jsonl)"] = result["malformed"]
    if left_out:
        print("left out: " + ", ".join(f"{name} {n:,}" for name, n in left_out.items()))
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

    speakers = {
        name: {"is": role.identity, **{k: v for k, v in role.node.items() if k in _SAMPLING}}
        for name, role in roles.items()
    }
    rest = {k: v for k, v in config.items() if k not in _SPEAKERS}
    counted = None if tokenizer is None else fingerprint(tokenizer)
    control = {**config["pipeline"]["length_control"], "tokenizer": counted}
    told = hashlib.sha256("".join(pipeline.told()).encode()).hexdigest()[:12]
    return {
        **rest,
        "conversations": None,
        "speakers": speakers,
        "pipeline": {**config["pipeline"], "length_control": control, "told": told},
    }


_SAMPLING = ("temperature", "top_p", "top_k", "max_new_tokens")


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
    from olmoflow.synthesize.rounds import run_rounds
    from olmoflow.synthesize.selection import ended, select

    lengths = _lengths(tokenizer)
    filters = _filters(config, lengths)
    count = PromptCount()
    prompts, malformed = _prompts(config, source, folder, count)
    with progress_of_steps(config["runtime"]["progress"]) as advance:
        interview = Interview(
            roles,
            [source],
            int(config["seed"]),
            float(config["max_unanswered"]),
            config["runtime"],
            advance,
        )
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
        raise UserError(_nothing_left(what.steps))
    write_pairs(kept, folder / "train", models, lengths)
    _write_report(config, what, models, folder)
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
    intake = Intake(float(config["max_error_rate"]))
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


def _filters(config: Mapping[str, Any], lengths: Lengths) -> list[tuple[str, Filter]]:
    from olmoflow.synthesize.curation import curated_filters
    from olmoflow.synthesize.selection import LengthControl, Sound

    settings = config["pipeline"]
    filters: list[tuple[str, Filter]] = [("pairs", Sound(str(settings["drop_unfinished"])))]
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


def _nothing_left(steps: Sequence[Any]) -> str:
    step = max(steps, key=lambda each: each.removed.total())
    reason, n = step.removed.most_common(1)[0]
    shown = next((each.shown for each in step.shown if each.reason == reason), "")
    beginning = " ".join(shown.split())[:200]
    return (
        f"no pair is left; the step {step.name} removed {step.removed.total()} of {step.came}, "
        f"{n} of them: {reason}{f' ({beginning})' if beginning else ''}"
    )


def _write_report(
    config: Mapping[str, Any], what: Any, models: Mapping[str, str], folder: Path
) -> None:
    from olmoflow.curate.report.page import write_page

    data = what.report(
        f"{config['pipeline']['name']}: {config['name'] or folder.name}",
        datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        {"OlmoFlow": __version__, **models},
        json.dumps(config["pipeline"], indent=1, ensure_ascii=False, default=str),
    )
    data.write(folder / "report.json")
    write_page(data, folder / "report.html")
