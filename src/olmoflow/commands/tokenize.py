"""``olmoflow tokenize``: a corpus into token shards; trains the tokenizer first if need be."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from olmoflow.artifact import Input, claim, resolve
from olmoflow.commands.checkpoints import TOKENIZER
from olmoflow.commands.progress import progress_bar
from olmoflow.errors import UserError

KINDS = ("train", "load", "cl100k")


def run(config: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Tokenize; see ``conf/tokenize.yaml`` for the settings."""
    settings = config["tokenizer"]
    if settings["kind"] not in KINDS:
        raise UserError(f"tokenizer.kind={settings['kind']}: expected one of {', '.join(KINDS)}")
    if config["mix"] is not None:
        return _tokenized_mix(config)
    if config["corpus"] is None:
        raise UserError("corpus: missing; give corpus=… (or mix=… for one of Ai2's mixes)")
    corpus = resolve(config["corpus"], "corpus", ["corpus"])
    tokenizer = make_tokenizer(config, corpus)
    with claim(
        "shards",
        command="tokenize",
        config=_identity(config),
        inputs=[corpus, tokenizer],
        name=config["name"],
    ) as work:
        if work.finished is None:
            shutil.copytree(tokenizer.path, work.path / TOKENIZER, dirs_exist_ok=True, ignore=_own)
            work.finish(_write_splits(config, corpus, work.path))
    assert work.finished is not None
    return {
        "shards": work.finished.name,
        "path": str(work.path),
        "tokenizer": tokenizer.name,
        **work.finished.figures,
    }


def _identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """What makes the shards, apart from corpus and tokenizer."""
    fixed = {**config, "corpus": None, "tokenizer": None}
    if fixed["source"] is None:
        del fixed["source"]
    return fixed


def report(result: Mapping[str, Any]) -> None:
    """Say what was written."""
    splits = ", ".join(
        f"{split} {figures['tokens']:,} tokens of {figures['documents']:,} documents"
        for split, figures in result["splits"].items()
    )
    print(f"shards {result['shards']} (tokenizer {result['tokenizer']}): {splits}")


def make_tokenizer(config: Mapping[str, Any], corpus: Input | None) -> Input:
    """The tokenizer as an artifact: trained on the corpus, read, or rebuilt from ranks."""
    settings = config["tokenizer"]
    inputs: list[Input] = []
    if settings["kind"] == "train":
        assert corpus is not None
        inputs = [corpus]
    elif settings["kind"] == "cl100k":
        inputs = [resolve(settings["ranks"], "tokenizer.ranks", [])]
    elif not str(settings["source"]).startswith("hf:"):
        found = resolve(settings["source"], "tokenizer.source", ["tokenizer"])
        if found.kind == "tokenizer":
            return found
        inputs = [found]
    identity = {"tokenizer": {**settings, "ranks": None}}
    with claim("tokenizer", command="tokenize", config=identity, inputs=inputs) as work:
        if work.finished is None:
            from olmoflow.tokens.tokenizer import load_tokenizer

            _make(settings, inputs, float(config["max_error_rate"]), work.path).save(work.path)
            work.finish({"vocab_size": load_tokenizer(work.path).vocab_size})
    made = work.finished
    assert made is not None
    return Input("tokenizer", "tokenizer", made.name, made.key, made.path)


def _make(
    settings: Mapping[str, Any], inputs: list[Input], max_error_rate: float, folder: Path
) -> Any:
    from olmoflow.documents import Intake, read_documents
    from olmoflow.tokens.bpe import train_bpe
    from olmoflow.tokens.tokenizer import load_tokenizer

    if settings["kind"] == "train":
        source = inputs[0].path
        intake = Intake(max_error_rate)
        texts = (d.text for d in read_documents(_splits(source)["train"], intake))
        try:
            return train_bpe(texts, int(settings["vocab_size"]))
        finally:
            intake.write(folder)
    if settings["kind"] == "cl100k":
        from olmoflow.tokens.dolma2 import dolma2_tokenizer

        return dolma2_tokenizer(inputs[0].path, functions=bool(settings.get("functions")))
    return load_tokenizer(inputs[0].path if inputs else settings["source"])


def _write_splits(config: Mapping[str, Any], corpus: Input, folder: Path) -> dict[str, Any]:
    from olmoflow.tokens.shards import write_shards

    figures: dict[str, Any] = {}
    only = config["source"]
    for split, source in _splits(corpus.path).items():
        with progress_bar(f"tokenize {split}", config["runtime"]["progress"]) as advance:
            found = write_shards(
                source,
                folder / TOKENIZER,
                folder / split,
                num_workers=config["runtime"]["num_workers"],
                chunk_tokens=int(float(config["chunk_tokens"])),
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

            shutil.copytree(tokenizer.path, work.path / TOKENIZER, dirs_exist_ok=True, ignore=_own)
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


def _splits(corpus: Path) -> dict[str, Path]:
    """The splits of a corpus; a user's own files are all training text."""
    if not (corpus / "train").is_dir():
        return {"train": corpus}
    return {p.name: p for p in sorted(corpus.iterdir(), reverse=True) if p.name in _SPLITS}


_SPLITS = ("train", "heldout")


def _own(_: str, names: list[str]) -> set[str]:
    """The tokenizer's files are copied, its provenance stays with it."""
    return {n for n in names if n in ("request.json", "provenance.json", ".lock", "errors.jsonl")}
