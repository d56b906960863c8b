"""Curation's map operations as filters of pairs.

An operation sees the chosen side alone, as a conversation whose text is the chosen answer, so that
any filter of texts is one of chosen answers. A rejected answer may be anything: what is wrong with
it is what a model learns not to do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from olmoflow.curate.operations.operation import Operation, Outcome
from olmoflow.curate.pipeline.plan import Step, steps_of
from olmoflow.curate.schema import DOCUMENTS
from olmoflow.errors import UserError
from olmoflow.synthesize.recipe import Pair
from olmoflow.tokens.chat.conversation import Message

_BATCH = 1024


@dataclass(frozen=True)
class CuratedFilter:
    """A `Filter` of an operation.

    Args:
        operation: Filters, and changes nothing.
        label: The reason of a pair that goes, where the operation gives none.
    """

    operation: Operation
    label: str

    def __call__(self, pairs: Sequence[Pair]) -> list[str | None]:
        """Why each goes."""
        return [reason for part in _parts(pairs) for reason in self._reasons(part)]

    def _reasons(self, pairs: Sequence[Pair]) -> list[str | None]:
        outcome = self.operation(_table(pairs))
        stays = [True] * len(pairs) if outcome.keep is None else outcome.keep.tolist()
        given = _given_reasons(outcome, len(pairs))
        reasons = [None if s else g or self.label for s, g in zip(stays, given, strict=True)]
        for row, why in outcome.errors.items():
            reasons[row] = f"cannot be judged: {why}"
        return reasons


def curated_filters(nodes: Any, key: str) -> list[tuple[str, CuratedFilter]]:
    """The filters of a config, in its order, with their labels.

    Args:
        nodes: Each ``{name: …, its arguments}``, as in a pipeline of curation.
        key: Where they stand.

    Raises:
        UserError: One is none, its arguments are wrong, or it needs a whole corpus.
    """
    found = []
    for number, step in enumerate(steps_of(nodes, key)):
        if step.kind != "map":
            raise UserError(
                f"{key}[{number}]: {step.label} works on a whole corpus; expected a filter, and "
                "`olmoflow curate` for this one"
            )
        if step.settings.get("turns") in ("chosen", "rejected"):
            raise UserError(
                f"{key}[{number}].turns={step.settings['turns']}: a filter sees the chosen side "
                "alone, as a conversation; expected last for its answer"
            )
        found.append((step.label, CuratedFilter(_built(step, f"{key}[{number}]"), step.label)))
    return found


def _built(step: Step, place: str) -> Operation:
    try:
        operation: Operation = step.build()
    except ImportError as error:
        raise UserError(
            f"{place}: {step.label} needs the package {error.name}; install olmoflow[curate]"
        ) from error
    return operation


def _given_reasons(outcome: Outcome, rows: int) -> list[str | None]:
    return [None] * rows if outcome.reasons is None else list(outcome.reasons.to_pylist())


def _table(pairs: Sequence[Pair]) -> pa.Table:
    """Pairs as documents of curation."""
    columns = {name: [""] * len(pairs) for name in DOCUMENTS.names}
    columns["id"] = [pair.prompt.id for pair in pairs]
    columns["source"] = [pair.prompt.source for pair in pairs]
    columns["text"] = [_valid(pair.chosen.answer.text) for pair in pairs]
    columns["metadata"] = ["{}"] * len(pairs)
    columns["messages"] = [_chosen_turns(pair) for pair in pairs]
    return pa.table({name: pa.array(each, pa.large_string()) for name, each in columns.items()})


def _chosen_turns(pair: Pair) -> str:
    turns = (*pair.messages, Message("assistant", pair.chosen.answer.text))
    return _valid(json.dumps([turn.as_dict() for turn in turns], ensure_ascii=False))


def _valid(text: str) -> str:
    return text.encode(errors="replace").decode()


def _parts(pairs: Sequence[Pair]) -> Iterator[Sequence[Pair]]:
    for start in range(0, len(pairs), _BATCH):
        yield pairs[start : start + _BATCH]
