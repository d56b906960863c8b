"""The names of steps and the classes behind them, imported only where a pipeline names one.

A step is of one of three kinds. A *map* operation looks at each document by itself, a *stage*
decides over all of them, and a *rearrangement* writes them into other shards.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

from olmoflow.errors import UserError

Kind = Literal["map", "stage", "rearrange"]

# name: module and class.
STAGES = {
    "exact_dedup": "olmoflow.curate.dedup.ExactDedup",
    "minhash_dedup": "olmoflow.curate.dedup.MinHashDedup",
    "substring_dedup": "olmoflow.curate.dedup.SubstringDedup",
    "decontaminate": "olmoflow.curate.decontaminate.Decontaminate",
    "vigintiles": "olmoflow.curate.quality.Vigintiles",
    "upsample": "olmoflow.curate.quality.Upsample",
    "decontaminate_prompts": "olmoflow.curate.decontaminate.prompts.DecontaminatePrompts",
    "gzip_filter": "olmoflow.curate.long_context.GzipFilter",
    "group_filter": "olmoflow.curate.partition.group_filter.GroupFilter",
    "percentile": "olmoflow.curate.partition.scores.Percentile",
    "reservoir": "olmoflow.curate.partition.scores.Reservoir",
    "count": "olmoflow.curate.partition.scores.Count",
}
REARRANGEMENTS = {
    "shuffle": "olmoflow.curate.partition.order.Shuffle",
    "reshard": "olmoflow.curate.partition.order.Reshard",
    "mix_sources": "olmoflow.curate.partition.mixture.MixSources",
    "repeat": "olmoflow.curate.partition.order.Repeat",
    "discrete_partition": "olmoflow.curate.partition.parts.DiscretePartition",
    "range_partition": "olmoflow.curate.partition.parts.RangePartition",
    "group": "olmoflow.curate.partition.parts.Group",
}
# Map operations beside those of datamap-rs.
MAPS = {
    "length_buckets": "olmoflow.curate.long_context.LengthBuckets",
    "common_words": "olmoflow.curate.long_context.CommonWords",
    "recurring_phrases": "olmoflow.curate.long_context.RecurringPhrases",
    "conversation_format_filter": "olmoflow.curate.conversations.format.ConversationFormatFilter",
    "identity_filter": "olmoflow.curate.conversations.phrases.IdentityFilter",
    "repeated_passage_filter": "olmoflow.curate.conversations.repetition.RepeatedPassageFilter",
    "script_share_filter": "olmoflow.curate.conversations.script.ScriptShareFilter",
    "turn_count_filter": "olmoflow.curate.conversations.length.TurnCountFilter",
    "length_gap_filter": "olmoflow.curate.conversations.length.LengthGapFilter",
    "on_turns": "olmoflow.curate.conversations.on_turns.OnTurns",
}
_OPERATIONS = "olmoflow.curate.operations.registry"


@dataclass(frozen=True)
class Entry:
    """A step's kind and the dotted path of its class."""

    kind: Kind
    target: str

    def load(self) -> type:
        """The class.

        Raises:
            UserError: A package that it needs is not installed.
        """
        module, _, name = self.target.rpartition(".")
        try:
            found: type = getattr(importlib.import_module(module), name)
        except ImportError as error:
            raise UserError(f"{name}: {error}; pip install 'olmoflow[curate]'") from error
        return found


def find(name: str, key: str) -> Entry:
    """What a name of a step stands for.

    Args:
        name: As the pipeline has it.
        key: Where it stands, ``pipeline.steps[0].name`` say, for the message.

    Raises:
        UserError: There is no such step.
    """
    if name in STAGES:
        return Entry("stage", STAGES[name])
    if name in REARRANGEMENTS:
        return Entry("rearrange", REARRANGEMENTS[name])
    if name in MAPS:
        return Entry("map", MAPS[name])
    operations = map_operations()
    if name in operations:
        operation = operations[name]
        return Entry("map", f"{operation.__module__}.{operation.__qualname__}")
    known = [*operations, *MAPS, *STAGES, *REARRANGEMENTS]
    close = get_close_matches(str(name), known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"expected one of {', '.join(known)}"
    raise UserError(f"{key}={name}: no such step; {hint}")


def map_operations() -> dict[str, Any]:
    """The map operations by name."""
    try:
        operations: dict[str, Any] = importlib.import_module(_OPERATIONS).OPERATIONS
    except ImportError as error:
        raise UserError(f"pipeline: {error}; pip install 'olmoflow[curate]'") from error
    return operations
