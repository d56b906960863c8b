"""``olmoflow tokenize``: a corpus into token shards; trains the tokenizer first if need be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from olmoflow.artifact import Input, claim, resolve
from olmoflow.commands.command_line.progress import progress_bar
from olmoflow.commands.config.numbers import COUNT, POSITIVE, SHARE, WHOLE, check_each
from olmoflow.commands.inputs.checkpoints import TOKENIZER
from olmoflow.commands.inputs.documents import KEY, longest_document
from olmoflow.commands.inputs.tokenizers import (
    check_kind,
    make_tokenizer,
    place_tokenizer,
    splits_of,
)
from olmoflow.commands.tokenize.conversations import (
    CONVERSATION_SETTINGS,
    report_rows,
    tokenize_rows,
)
from olmoflow.errors import UserError

# What is tokenized: one of these is given.
WHAT = ("corpus", "conversations", "preferences", "mix")
_NUMBERS = {
    "chunk_tokens": WHOLE,
    "max_bytes": f"{POSITIVE} or null",
    "seed": COUNT,
    "max_error_rate": SHARE,
    "runtime.num_workers": f"{WHOLE} or null",
}
# They say nothing about a corpus: of a mix, or when reading stops.
_NOT_OF_CORPUS = frozenset({"mix", "base_url", "max_bytes", "seed", "max_error_rate"})


def run(config: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Tokenize; see ``conf/tokenize.yaml`` for the settings."""
    check_kind(config["tokenizer"])
    check_each(config, _NUMBERS)
    given = [name for name in WHAT if config[name] is not None]
    if not given:
        raise UserError(
            "corpus: missing; give corpus=… (or conversations=…, preferences=…, or mix=… for one "
            "of Ai2's mixes)"
        )
    if len(given) > 1:
        raise UserError(f"{given[0]} and {given[1]} are both given; expected one of them")
    if given[0] in ("corpus", "mix"):
        _refuse_settings_of_conversations(config, given[0])
    if given == ["mix"]:
        return _tokenized_mix(config)
    if given == ["conversations"]:
        return tokenize_rows(config, "conversations")
    if given == ["preferences"]:
        return tokenize_rows(config, "preferences")
    corpus = resolve(config["corpus"], "corpus", ["corpus"])
    tokenizer = make_tokenizer(config, corpus)
    with claim(
        "shards",
        command="tokenize",
        config=_corpus_identity(config),
        inputs=[corpus, tokenizer],
        name=config["name"],
    ) as work:
        if work.finished is None:
            place_tokenizer(tokenizer, work.path)
            work.finish(_write_splits(config, corpus, work.path))
    assert work.finished is not None
    return {
        "shards": work.finished.name,
        "path": str(work.path),
        "tokenizer": tokenizer.name,
        **work.finished.figures,
    }


def _refuse_settings_of_conversations(config: Mapping[str, Any], what: str) -> None:
    for key in ("template", "sequence_length", "too_long"):
        if config[key] is not None:
            raise UserError(
                f"{key}={config[key]}: of conversations and preferences only; {what}= is plain "
                f"text, expected conversations=… or no {key}"
            )


def _corpus_identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """What makes shards of a corpus, apart from it and the tokenizer."""
    return {k: v for k, v in _identity(config).items() if k not in _NOT_OF_CORPUS}


def _identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """What makes the shards, apart from corpus and tokenizer."""
    fixed = {**config, "corpus": None, "tokenizer": None}
    for key in CONVERSATION_SETTINGS:
        fixed.pop(key, None)  # say nothing about plain documents
    for key in ("source", KEY):
        if fixed[key] is None:
            del fixed[key]
    return fixed


def report(result: Mapping[str, Any]) -> None:
    """Say what was written."""
    if result.get("content") in ("conversations", "pairs"):
        report_rows(result)
        return
    splits = ", ".join(
        f"{split} {figures['tokens']:,} tokens of {figures['documents']:,} documents"
        for split, figures in result["splits"].items()
    )
    print(f"shards {result['shards']} (tokenizer {result['tokenizer']}): {splits}")


def _write_splits(config: Mapping[str, Any], corpus: Input, folder: Path) -> dict[str, Any]:
    from olmoflow.tokens.shards import write_shards

    figures: dict[str, Any] = {}
    only = config["source"]
    for split, source in splits_of(corpus.path).items():
        with progress_bar(f"tokenize {split}", config["runtime"]["progress"]) as advance:
            found = write_shards(
                source,
                folder / TOKENIZER,
                folder / split,
                num_workers=config["runtime"]["num_workers"],
                chunk_tokens=int(float(config["chunk_tokens"])),
                max_document_bytes=longest_document(config, corpus),
                max_error_rate=float(config["max_error_rate"]),
                source_name=only,
                progress=advance,
            )
        figures[split] = {
            "documents": found.documents,
            "tokens": found.tokens,
            "bytes": found.bytes,
            "malformed": found.malformed,
        }
    total = sum(f["tokens"] for f in figures.values())
    return {"tokens": total, "splits": figures, **({"source": only} if only else {})}


def _tokenized_mix(config: Mapping[str, Any]) -> dict[str, Any]:
    """One of Ai2's mixes, which are published as token arrays."""
    from olmoflow.tokens.npy import convert_npy_mix

    mix = str(config["mix"])
    if config["max_bytes"] is None:
        raise UserError(f"max_bytes: missing; {mix} is terabytes, say how much of it to fetch")
    if config[KEY] is not None:
        raise UserError(f"{KEY}={config[KEY]}: of text only; {mix} is tokenized already")
    if config["tokenizer"]["kind"] == "train":
        raise UserError(f"tokenizer: {mix} is tokenized already; give tokenizer=dolma2, its own")
    tokenizer = make_tokenizer(config, None)
    source = Input("mix", "external", mix, mix, Path(mix))
    with claim(
        "shards",
        command="tokenize",
        config=_identity(config),
        inputs=[source, tokenizer],
        name=config["name"],
    ) as work:
        if work.finished is None:
            from olmoflow.tokens.tokenizer import load_tokenizer

            place_tokenizer(tokenizer, work.path)
            with progress_bar(f"fetch {mix}", config["runtime"]["progress"]) as advance:
                found = convert_npy_mix(
                    mix,
                    work.path / "train",
                    base_url=config["base_url"],
                    tokenizer=load_tokenizer(work.path / TOKENIZER),
                    max_bytes=int(float(config["max_bytes"])),
                    chunk_tokens=int(float(config["chunk_tokens"])),
                    seed=int(config["seed"]),
                    progress=advance,
                )
            split = {"documents": found.documents, "tokens": found.tokens, "bytes": found.bytes}
            work.finish({"tokens": found.tokens, "splits": {"train": split}})
    assert work.finished is not None
    return {
        "shards": work.finished.name,
        "path": str(work.path),
        "tokenizer": tokenizer.name,
        **work.finished.figures,
    }
