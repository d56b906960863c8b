"""Pairs as preference rows, in the columns of the Dolci DPO sets, with what is known beside."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import zstandard

from olmoflow.synthesize.recipe import Pair, Spoken
from olmoflow.synthesize.selection import Lengths
from olmoflow.tokens.chat.conversation import Message

ROWS = 50_000


def write_pairs(
    pairs: Sequence[Pair], folder: Path, models: Mapping[str, str], lengths: Lengths
) -> None:
    """Write ``preferences-00000.jsonl.zst`` and so on.

    Args:
        pairs: In the order of the rows.
        folder: Made if it is not there.
        models: The name of every speaker's model.
        lengths: Measures the answers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, part in enumerate(_parts(pairs)):
        measured = lengths.of(part)
        rows = [
            preference_row(pair, models, lengths.unit, *both)
            for pair, both in zip(part, measured, strict=True)
        ]
        data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        packed = zstandard.ZstdCompressor(level=3).compress(data.encode(errors="replace"))
        (folder / f"preferences-{number:05d}.jsonl.zst").write_bytes(packed)


def preference_row(
    pair: Pair, models: Mapping[str, str], unit: str, chosen: int, rejected: int
) -> dict[str, Any]:
    """A pair as a row."""
    return {
        "id": pair.prompt.id,
        "source": pair.prompt.source,
        "chosen": _conversation(pair, pair.chosen),
        "rejected": _conversation(pair, pair.rejected),
        "chosen_model": models[pair.chosen.speaker],
        "rejected_model": models[pair.rejected.speaker],
        f"chosen_{unit}": chosen,
        f"rejected_{unit}": rejected,
        **({} if pair.chosen.score is None else {"chosen_score": pair.chosen.score}),
        **({} if pair.rejected.score is None else {"rejected_score": pair.rejected.score}),
        **({"metadata": _named(pair.metadata, models)} if pair.metadata else {}),
    }


def _named(metadata: Mapping[str, Any], models: Mapping[str, str]) -> dict[str, Any]:
    """The speakers of a pool by the names of their models."""
    pool = metadata.get("pool")
    return {**metadata, **({"pool": [models[name] for name in pool]} if pool else {})}


def _conversation(pair: Pair, side: Spoken) -> list[dict[str, str]]:
    turns = (*pair.messages, Message("assistant", side.answer.text))
    return [message.as_dict() for message in turns]


def _parts(pairs: Sequence[Pair]) -> Iterator[list[Pair]]:
    rest = iter(pairs)
    while part := list(islice(rest, ROWS)):
        yield part
