"""``olmoflow tokenize conversations=…`` or ``preferences=…``: shards that say what is learnt."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from olmoflow.artifact import Input, claim, resolve
from olmoflow.commands.command_line.progress import progress_bar
from olmoflow.commands.inputs.checkpoints import TOKENIZER
from olmoflow.commands.inputs.documents import longest_document, where_given
from olmoflow.commands.inputs.tokenizers import make_tokenizer, place_tokenizer, splits_of
from olmoflow.errors import UserError

if TYPE_CHECKING:
    from olmoflow.tokens.chat.rows import RowStatistics
    from olmoflow.tokens.chat.template import ChatTemplate

Rows = Literal["conversations", "preferences"]
# They say nothing about plain documents.
CONVERSATION_SETTINGS = (
    *("conversations", "preferences"),
    *("template", "sequence_length", "too_long", "learn"),
)
# They say nothing about rows: of documents, of a mix, or when reading stops. The rows and the
# tokenizer are inputs.
_NOT_OF_ROWS = frozenset(
    {"corpus", "mix", "base_url", "max_bytes", "seed", "max_error_rate"}
    | {"conversations", "preferences", "tokenizer"}
)
DOWNLOAD = ".download"
_CHOICES = {"too_long": (None, "truncate", "drop", "split"), "learn": ("all", "last")}


def tokenize_rows(config: Mapping[str, Any], what: Rows) -> dict[str, Any]:
    """Render and tokenize the rows that ``what`` names; see ``conf/tokenize.yaml``."""
    if what == "preferences" and config["too_long"] == "split":
        raise UserError("too_long=split: answers are compared whole; expected truncate or drop")
    template = _checked_template(config)
    if what == "preferences":  # of an answer the last turn is learnt, whatever learn says
        config = {**config, "learn": "last"}
    source = find_rows(str(config[what]), what)
    tokenizer = _given_tokenizer(config)
    with claim(
        "shards",
        command="tokenize",
        config=_identity(config, template),
        inputs=[source, tokenizer],
        name=config["name"],
    ) as work:
        if work.finished is None:
            folder = place_tokenizer(tokenizer, work.path)
            template.save(folder)
            rows = fetched(source, work.path / DOWNLOAD)
            longest = longest_document(config, source)
            work.finish(_write_splits(config, what, template, rows, work.path, longest))
            shutil.rmtree(work.path / DOWNLOAD, ignore_errors=True)
    assert work.finished is not None
    return {
        "shards": work.finished.name,
        "path": str(work.path),
        "tokenizer": tokenizer.name,
        **work.finished.figures,
    }


def report_rows(result: Mapping[str, Any]) -> None:
    """Say what was written, and what was not and why."""
    content = result["content"]
    for split, figures in result["splits"].items():
        share = figures["target_tokens"] / figures["tokens"]
        print(
            f"shards {result['shards']}/{split} (template {result['template']}, tokenizer "
            f"{result['tokenizer']}): {figures[content]:,} {content}, "
            f"{figures['tokens']:,} tokens, {figures['target_tokens']:,} of them learnt"
            + (f" ({share:.0%})" if content == "conversations" else "")
        )
        for kind in ("too_long", "malformed", "underivable"):
            for reason, count in figures[kind].items():
                print(f"  {kind.replace('_', ' ')}: {count:,} × {reason}")


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


def _checked_template(config: Mapping[str, Any]) -> ChatTemplate:
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


def _given_tokenizer(config: Mapping[str, Any]) -> Input:
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


def _identity(config: Mapping[str, Any], template: ChatTemplate) -> dict[str, Any]:
    """What makes the shards, apart from rows and tokenizer."""
    digest = hashlib.sha256(template.source.encode()).hexdigest()[:12]
    kept = {key: value for key, value in where_given(config).items() if key not in _NOT_OF_ROWS}
    return {**kept, "template": digest}


def _write_splits(
    config: Mapping[str, Any],
    what: Rows,
    template: ChatTemplate,
    rows: Path,
    folder: Path,
    longest: int | None,
) -> dict[str, Any]:
    write, content = _writer(what)
    splits: dict[str, Any] = {}
    for split, source in splits_of(rows).items():
        with progress_bar(f"tokenize {split}", config["runtime"]["progress"]) as advance:
            found = write(
                source,
                folder / TOKENIZER,
                template,
                folder / split,
                sequence_length=config["sequence_length"],
                too_long=config["too_long"],
                learn=config["learn"],
                source_name=config["source"],
                num_workers=config["runtime"]["num_workers"],
                chunk_tokens=int(float(config["chunk_tokens"])),
                max_document_bytes=longest,
                max_error_rate=float(config["max_error_rate"]),
                progress=advance,
            )
        splits[split] = _figures(found, content)
    keys = (content, "tokens", "target_tokens")
    totals = {key: sum(figures[key] for figures in splits.values()) for key in keys}
    return {"content": content, "template": template.name, **totals, "splits": splits}


def _writer(what: Rows) -> tuple[Callable[..., RowStatistics], str]:
    """What writes the rows, and what their shards hold, which also names the figure of rows."""
    from olmoflow.tokens.chat.shards import write_conversation_shards
    from olmoflow.tokens.pairs.shards import write_pair_shards

    if what == "preferences":
        return write_pair_shards, "pairs"
    return write_conversation_shards, "conversations"


def _figures(found: RowStatistics, content: str) -> dict[str, Any]:
    figures = {
        key: dict(value.most_common()) if isinstance(value, Counter) else value
        for key, value in vars(found).items()
    }
    return {content: figures.pop("rows"), **figures}
