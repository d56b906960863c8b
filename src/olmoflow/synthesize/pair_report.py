"""What a run took and left: figures for the provenance, ``report.json`` and ``report.html``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from olmoflow.curate.report.data import Histogram, ReportData
from olmoflow.synthesize.prompt import Prompt, PromptCount
from olmoflow.synthesize.recipe import Pair
from olmoflow.synthesize.selection import Lengths, Step
from olmoflow.synthesize.step_report import (
    Heading,
    histogram,
    length_histogram,
    page,
    sources,
    spread,
    steps_figures,
)

_GAP_EDGES = [-(2.0**k) for k in range(16, 4, -2)] + [0.0] + [2.0**k for k in range(6, 18, 2)]


@dataclass(frozen=True)
class Run:
    """What happened.

    Attributes:
        count: What became of the conversations.
        prompts: That were asked.
        paired: Pairs before any filter.
        kept: Pairs that were written.
        steps: In their order.
        lengths: Measures.
    """

    count: PromptCount
    prompts: Sequence[Prompt]
    paired: Sequence[Pair]
    kept: Sequence[Pair]
    steps: Sequence[Step]
    lengths: Lengths

    def figures(self) -> dict[str, Any]:
        """The headline figures."""
        return {
            "conversations": self.count.conversations,
            "left_out": {
                "no_user_turn": self.count.no_user,
                "duplicate_prompts": self.count.duplicates,
                "over_limit": self.count.over_limit,
            },
            "prompts": len(self.prompts),
            "pairs": len(self.kept),
            "steps": steps_figures(self.steps),
            "lengths": _lengths(self.kept, self.lengths),
        }

    def report(self, heading: Heading) -> ReportData:
        """The page's data; its bytes are those of the prompts."""
        asked = Counter(prompt.source for prompt in self.prompts)
        kept = Counter(pair.prompt.source for pair in self.kept)
        drawn = _histograms(self.paired, self.kept, self.lengths)
        return page(heading, self.steps, drawn, sources("documents", asked, kept))


def _lengths(pairs: Sequence[Pair], lengths: Lengths) -> dict[str, Any]:
    """Mean and quantiles of the lengths of both sides, and of their difference."""
    if not pairs:
        return {"unit": lengths.unit}
    chosen, rejected = np.array(lengths.of(pairs)).T
    sides = {"chosen": chosen, "rejected": rejected, "difference": chosen - rejected}
    return {"unit": lengths.unit, **{name: spread(values) for name, values in sides.items()}}


def _histograms(paired: Sequence[Pair], kept: Sequence[Pair], lengths: Lengths) -> list[Histogram]:
    before = np.array(lengths.of(paired)).reshape(-1, 2)
    after = np.array(lengths.of(kept)).reshape(-1, 2)
    unit = lengths.unit
    return [
        length_histogram("length of the chosen answer", unit, before[:, 0], after[:, 0]),
        length_histogram("length of the rejected answer", unit, before[:, 1], after[:, 1]),
        histogram(
            "chosen minus rejected",
            unit,
            _GAP_EDGES,
            before[:, 0] - before[:, 1],
            after[:, 0] - after[:, 1],
        ),
    ]
