"""What a run took and left: figures for the provenance, ``report.json`` and ``report.html``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from olmoflow.curate.report.data import Histogram, Mixture, ReportData, Sample
from olmoflow.curate.report.data import Step as ReportStep
from olmoflow.synthesize.prompt import Prompt, PromptCount
from olmoflow.synthesize.recipe import Pair
from olmoflow.synthesize.selection import Lengths, Step

_SHOWN_CHARACTERS = 600
_LENGTH_EDGES = [0.0, *(float(2**k) for k in range(3, 18))]
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
            "steps": {
                step.name: {"in": step.came, "out": step.left, "removed": dict(step.removed)}
                for step in self.steps
            },
            "lengths": _lengths(self.kept, self.lengths),
        }

    def report(self, title: str, created: str, facts: dict[str, str], settings: str) -> ReportData:
        """The page's data; its bytes are those of the prompts."""
        return ReportData(
            title,
            created,
            facts,
            [_report_step(step) for step in self.steps],
            _histograms(self.paired, self.kept, self.lengths),
            [],
            [
                Mixture(
                    "source",
                    "documents",
                    _counted(prompt.source for prompt in self.prompts),
                    _counted(pair.prompt.source for pair in self.kept),
                )
            ],
            [
                Sample(
                    step.name,
                    removed.reason,
                    removed.prompt.id,
                    removed.prompt.source,
                    _short(removed.shown),
                )
                for step in self.steps
                for removed in step.shown
            ],
            settings,
        )


def _report_step(step: Step) -> ReportStep:
    return ReportStep(
        step.name,
        step.came,
        step.left,
        step.came_bytes,
        step.left_bytes,
        reasons=dict(step.removed),
    )


def _lengths(pairs: Sequence[Pair], lengths: Lengths) -> dict[str, Any]:
    """Mean and quantiles of the lengths of both sides, and of their difference."""
    if not pairs:
        return {"unit": lengths.unit}
    chosen, rejected = np.array(lengths.of(pairs)).T
    sides = {"chosen": chosen, "rejected": rejected, "difference": chosen - rejected}
    return {"unit": lengths.unit, **{name: _spread(values) for name, values in sides.items()}}


def _spread(values: Any) -> dict[str, float]:
    quantiles = {"p10": 0.1, "p50": 0.5, "p90": 0.9}
    found = {name: round(float(np.quantile(values, q)), 1) for name, q in quantiles.items()}
    return {"mean": round(float(values.mean()), 1), **found}


def _histograms(paired: Sequence[Pair], kept: Sequence[Pair], lengths: Lengths) -> list[Histogram]:
    before = np.array(lengths.of(paired)).reshape(-1, 2)
    after = np.array(lengths.of(kept)).reshape(-1, 2)
    unit = lengths.unit
    return [
        _histogram("length of the chosen answer", unit, _LENGTH_EDGES, before[:, 0], after[:, 0]),
        _histogram("length of the rejected answer", unit, _LENGTH_EDGES, before[:, 1], after[:, 1]),
        _histogram(
            "chosen minus rejected",
            unit,
            _GAP_EDGES,
            before[:, 0] - before[:, 1],
            after[:, 0] - after[:, 1],
        ),
    ]


def _histogram(name: str, unit: str, edges: list[float], before: Any, after: Any) -> Histogram:
    def counts(values: Any) -> list[int]:
        clipped = np.clip(values, edges[0], edges[-1])
        return [int(n) for n in np.histogram(clipped, edges)[0]]

    return Histogram(name, unit, edges, counts(before), counts(after))


def _counted(values: Any) -> dict[str, float]:
    return {name: float(n) for name, n in Counter(values).most_common()}


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]} …"
