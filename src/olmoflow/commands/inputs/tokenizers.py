"""Tokenizers as inputs of commands: made or found, and put beside what they made."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olmoflow.artifact import Input, Kind, claim, resolve
from olmoflow.commands.config.numbers import WHOLE, check_number
from olmoflow.commands.inputs.checkpoints import TOKENIZER
from olmoflow.commands.inputs.documents import KEY, longest_document
from olmoflow.errors import UserError

if TYPE_CHECKING:
    from olmoflow.documents import Intake

KINDS = ("train", "load", "cl100k")
# What `tokenizer.source` may name besides a folder and the Hub.
SOURCES: tuple[Kind, ...] = ("tokenizer", "checkpoint", "shards")


def check_kind(settings: Mapping[str, Any]) -> None:
    """See that a tokenizer's settings are of a kind that there is.

    Raises:
        UserError: They are not.
    """
    if settings["kind"] not in KINDS:
        raise UserError(f"tokenizer.kind={settings['kind']}: expected one of {', '.join(KINDS)}")
    if settings["kind"] == "train":
        check_number("tokenizer.vocab_size", settings["vocab_size"], WHOLE)


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
        found = resolve(settings["source"], "tokenizer.source", SOURCES)
        if found.kind == "tokenizer":
            return found
        inputs = [found]
    identity: dict[str, Any] = {"tokenizer": {**settings, "ranks": None}}
    limit = longest_document(config, corpus) if corpus and settings["kind"] == "train" else None
    if limit is not None and config[KEY] is not None:
        identity[KEY] = limit  # it decides on which documents
    with claim("tokenizer", command="tokenize", config=identity, inputs=inputs) as work:
        if work.finished is None:
            from olmoflow.documents import Intake
            from olmoflow.tokens.tokenizer import load_tokenizer

            if settings["kind"] == "train" and config["runtime"]["progress"]:
                # Merging is one call into a library that does not say how far it is.
                size = f"{int(settings['vocab_size']):,}"
                print(f"training a tokenizer of {size} tokens", file=sys.stderr, flush=True)
            intake = Intake(float(config["max_error_rate"]), limit)
            _make(settings, inputs, intake, work.path).save(work.path)
            work.finish({"vocab_size": load_tokenizer(work.path).vocab_size})
    made = work.finished
    assert made is not None
    return Input("tokenizer", "tokenizer", made.name, made.key, made.path)


def _make(settings: Mapping[str, Any], inputs: list[Input], intake: Intake, folder: Path) -> Any:
    from olmoflow.documents import read_documents
    from olmoflow.tokens.bpe import train_bpe
    from olmoflow.tokens.tokenizer import load_tokenizer

    if settings["kind"] == "train":
        source = inputs[0].path
        texts = (d.text for d in read_documents(splits_of(source)["train"], intake))
        try:
            return train_bpe(texts, int(settings["vocab_size"]))
        except UserError as error:
            own = str(error).startswith("vocab_size=")
            raise UserError(f"tokenizer.{error}" if own else str(error)) from None
        finally:
            intake.write(folder)
    if settings["kind"] == "cl100k":
        from olmoflow.tokens.dolma2 import dolma2_tokenizer

        return dolma2_tokenizer(inputs[0].path, functions=bool(settings.get("functions")))
    return load_tokenizer(_folder_of(inputs[0]) if inputs else settings["source"])


def _folder_of(source: Input) -> Path:
    """Where a source has its tokenizer: shards and checkpoints have it beside the rest."""
    own = source.path / TOKENIZER
    return own if own.is_dir() else source.path


def splits_of(corpus: Path) -> dict[str, Path]:
    """The splits of a corpus; a user's own files are all training text."""
    if not (corpus / "train").is_dir():
        return {"train": corpus}
    return {p.name: p for p in sorted(corpus.iterdir(), reverse=True) if p.name in _SPLITS}


_SPLITS = ("train", "heldout")


def place_tokenizer(tokenizer: Input, folder: Path) -> Path:
    """Copy a tokenizer into an artifact's folder; gives the folder that it is in."""
    target = folder / TOKENIZER
    shutil.copytree(tokenizer.path, target, dirs_exist_ok=True, ignore=_own)
    return target


def _own(_: str, names: list[str]) -> set[str]:
    """The tokenizer's files are copied, its provenance stays with it."""
    return {n for n in names if n in ("request.json", "provenance.json", ".lock", "errors.jsonl")}
