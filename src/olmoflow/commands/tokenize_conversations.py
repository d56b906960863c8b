"""``olmoflow tokenize conversations=…``: conversations into shards that say what is learnt."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olmoflow.artifact import Input, claim, resolve
from olmoflow.commands.progress import progress_bar
from olmoflow.commands.tokenizers import make_tokenizer, place_tokenizer, splits_of
from olmoflow.errors import UserError

if TYPE_CHECKING:
    from olmoflow.tokens.chat.shards import ConversationStatistics
    from olmoflow.tokens.chat.template import ChatTemplate

# They say nothing about plain documents.
CONVERSATION_SETTINGS = (
    *("conversations", "preferences"),
    *("template", "sequence_length", "too_long", "learn"),
)
DOWNLOAD = ".download"
_CHOICES = {"too_long": (None, "truncate", "drop", "split"), "learn": ("all", "last")}


def tokenize_conversations(config: Mapping[str, Any]) -> dict[str, Any]:
    """Render and tokenize; see ``conf/tokenize.yaml`` for the settings."""
    template = checked_template(config)
    source = find_rows(str(config["conversations"]), "conversations")
    tokenizer = given_tokenizer(config)
    with claim(
        "shards",
        command="tokenize",
        config=identity(config, template),
        inputs=[source, tokenizer],
        name=config["name"],
    ) as work:
        if work.finished is None:
            folder = place_tokenizer(tokenizer, work.path)
            template.save(folder)
            rows = fetched(source, work.path / DOWNLOAD)
            work.finish(_write_splits(config, template, rows, folder, work.path))
            shutil.rmtree(work.path / DOWNLOAD, ignore_errors=True)
    assert work.finished is not None
    return {
        "shards": work.finished.name,
        "path": str(work.path),
        "tokenizer": tokenizer.name,
        **work.finished.figures,
    }


def report_conversations(result: Mapping[str, Any]) -> None:
    """Say what was written, and what was not and why."""
    for split, figures in result["splits"].items():
        share = figures["target_tokens"] / figures["tokens"]
        print(
            f"shards {result['shards']}/{split} (template {result['template']}, tokenizer "
            f"{result['tokenizer']}): {figures['conversations']:,} conversations, "
            f"{figures['tokens']:,} tokens, {figures['target_tokens']:,} of them learnt "
            f"({share:.0%})"
        )
        for kind in ("too_long", "malformed", "underivable"):
            for reason, count in figures[kind].items():
                print(f"  {kind.replace('_', ' ')}: {count:,} × {reason}")


def checked_template(config: Mapping[str, Any]) -> ChatTemplate:
    """The template that a config names, and all that depends on it alone.

    Raises:
        UserError: A setting is missing or none of its choices.
    """
    from olmoflow.tokens.chat.template import load_template, template_names

    for key, choices in _CHOICES.items():
        if config[key] not in choices:
            named = ", ".join("null" if choice is None else choice for choice in choices)
            raise UserError(f"{key}={config[key]}: expected one of {named}")
    if type(config["sequence_length"]) is not int or config["sequence_length"] < 2:
        raise UserError(
            f"sequence_length={config['sequence_length']}: expected the tokens of a sequence in "
            "training, so that conversations that are too long come to light"
        )
    if config["template"] is None:
        raise UserError(f"template: missing; expected one of {', '.join(template_names())}")
    return load_template(str(config["template"]))


def given_tokenizer(config: Mapping[str, Any]) -> Input:
    """The tokenizer of the model that is to learn.

    Raises:
        UserError: The config would train one.
    """
    if config["tokenizer"]["kind"] == "train":
        raise UserError(
            "tokenizer: a new one fits no model; give that of the model that learns: "
            "tokenizer=folder tokenizer.source=CHECKPOINT (or dolma2, dolma2_instruct)"
        )
    return make_tokenizer(config, None)


def identity(config: Mapping[str, Any], template: ChatTemplate) -> dict[str, Any]:
    """What makes the shards, apart from rows and tokenizer."""
    digest = hashlib.sha256(template.source.encode()).hexdigest()[:12]
    return {**config, "conversations": None, "tokenizer": None, "template": digest}


def find_rows(reference: str, role: str) -> Input:
    """Rows as an input: a corpus, a path, a URL or ``hf:OWNER/REPO[@REVISION][:PATTERN]``.

    Raises:
        UserError: There is nothing.
    """
    from olmoflow.curate.sources.location import files_at, is_remote, marks

    if not is_remote(reference):
        return resolve(reference, role, ["corpus"])
    return Input(role, "external", reference, marks(files_at(reference)), Path(reference))


def fetched(source: Input, folder: Path) -> Path:
    """Where an input's rows lie; those of the Hub or a URL are fetched into a folder first.

    Raises:
        UserError: A file cannot be fetched, or none holds rows.
    """
    from olmoflow.curate.sources.location import files_at, is_remote, local_copy
    from olmoflow.documents import SUFFIXES

    if not is_remote(source.name):
        return source.path
    files = [file for file in files_at(source.name) if file.name.endswith(SUFFIXES)]
    if not files:
        raise UserError(
            f"{source.role}={source.name}: expected files that end in {', '.join(SUFFIXES)}"
        )
    for file in files:
        target = folder / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            with local_copy(file, target.parent) as path:
                partial = target.with_name(f".{target.name}.partial")
                shutil.copyfile(path, partial)
                partial.rename(target)
    return folder


def _write_splits(
    config: Mapping[str, Any], template: ChatTemplate, rows: Path, tokenizer: Path, folder: Path
) -> dict[str, Any]:
    from olmoflow.tokens.chat.shards import write_conversation_shards

    splits: dict[str, Any] = {}
    for split, source in splits_of(rows).items():
        with progress_bar(f"tokenize {split}", config["runtime"]["progress"]) as advance:
            found = write_conversation_shards(
                source,
                tokenizer,
                template,
                folder / split,
                sequence_length=config["sequence_length"],
                too_long=config["too_long"],
                learn=config["learn"],
                source_name=config["source"],
                num_workers=config["runtime"]["num_workers"],
                chunk_tokens=int(float(config["chunk_tokens"])),
                max_error_rate=float(config["max_error_rate"]),
                progress=advance,
            )
        splits[split] = _figures(found)
    keys = ("conversations", "tokens", "target_tokens")
    totals = {key: sum(figures[key] for figures in splits.values()) for key in keys}
    return {"content": "conversations", "template": template.name, **totals, "splits": splits}


def _figures(found: ConversationStatistics) -> dict[str, Any]:
    return {
        key: dict(value.most_common()) if isinstance(value, Counter) else value
        for key, value in vars(found).items()
    }
