"""``olmoflow tokenize preferences=…``: pairs of answers into shards for method=dpo."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olmoflow.artifact import claim
from olmoflow.commands.progress import progress_bar
from olmoflow.commands.tokenize_conversations import (
    DOWNLOAD,
    checked_template,
    fetched,
    find_rows,
    given_tokenizer,
    identity,
)
from olmoflow.commands.tokenizers import place_tokenizer, splits_of
from olmoflow.errors import UserError

if TYPE_CHECKING:
    from olmoflow.tokens.chat.template import ChatTemplate


def tokenize_preferences(config: Mapping[str, Any]) -> dict[str, Any]:
    """Render and tokenize; see ``conf/tokenize.yaml`` for the settings."""
    if config["too_long"] == "split":
        raise UserError("too_long=split: answers are compared whole; expected truncate or drop")
    template = checked_template(config)
    source = find_rows(str(config["preferences"]), "preferences")
    tokenizer = given_tokenizer(config)
    # Of an answer the last turn is learnt, whatever learn says of conversations.
    fixed = {**identity(config, template), "preferences": None, "learn": "last"}
    with claim(
        "shards",
        command="tokenize",
        config=fixed,
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


def report_preferences(result: Mapping[str, Any]) -> None:
    """Say what was written, and what was not and why."""
    for split, figures in result["splits"].items():
        print(
            f"shards {result['shards']}/{split} (template {result['template']}, tokenizer "
            f"{result['tokenizer']}): {figures['pairs']:,} pairs, {figures['tokens']:,} tokens, "
            f"{figures['target_tokens']:,} of them learnt"
        )
        for kind in ("too_long", "malformed", "underivable"):
            for reason, count in figures[kind].items():
                print(f"  {kind.replace('_', ' ')}: {count:,} × {reason}")


def _write_splits(
    config: Mapping[str, Any], template: ChatTemplate, rows: Path, tokenizer: Path, folder: Path
) -> dict[str, Any]:
    from olmoflow.tokens.pairs.shards import write_pair_shards

    splits: dict[str, Any] = {}
    for split, source in splits_of(rows).items():
        with progress_bar(f"tokenize {split}", config["runtime"]["progress"]) as advance:
            found = write_pair_shards(
                source,
                tokenizer,
                template,
                folder / split,
                sequence_length=config["sequence_length"],
                too_long=config["too_long"],
                source_name=config["source"],
                num_workers=config["runtime"]["num_workers"],
                chunk_tokens=int(float(config["chunk_tokens"])),
                max_error_rate=float(config["max_error_rate"]),
                progress=advance,
            )
        splits[split] = {
            key: dict(value.most_common()) if isinstance(value, Counter) else value
            for key, value in vars(found).items()
        }
    keys = ("pairs", "tokens", "target_tokens")
    totals = {key: sum(figures[key] for figures in splits.values()) for key in keys}
    return {"content": "pairs", "template": template.name, **totals, "splits": splits}
