"""The page of a run in the form of curation's report, for pairs and for rewritten documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from olmoflow.curate.report.data import Histogram, Mixture, ReportData, Sample
from olmoflow.curate.report.data import Step as ReportStep
from olmoflow.synthesize.selection import Step

_SHOWN_CHARACTERS = 600
_LENGTH_EDGES = [0.0, *(float(2**k) for k in range(3, 18))]


@dataclass(frozen=True)
class Heading:
    """What the page says of the run as a whole.

    Attributes:
        title: Of the page.
        created: When.
        facts: By what it was made.
        settings: Of the pipeline, as text.
    """

    title: str
    created: str
    facts: Mapping[str, str]
    settings: str


def page(
    heading: Heading, steps: Sequence[Step], histograms: Sequence[Histogram], mixture: Mixture
) -> ReportData:
    """The page's data."""
    return ReportData(
        heading.title,
        heading.created,
        dict(heading.facts),
        [_drawn(step) for step in steps],
        list(histograms),
        [],
        [mixture],
        _samples(steps),
        heading.settings,
    )


def sources(unit: str, before: Counter[str], after: Counter[str]) -> Mixture:
    """How much of each source came and was left, the largest first."""
    came, left = ({k: float(n) for k, n in counts.most_common()} for counts in (before, after))
    return Mixture("source", unit, came, left)


def steps_figures(steps: Sequence[Step]) -> dict[str, Any]:
    """What came into each step, what left it, and why the rest did not."""
    return {
        step.name: {"in": step.came, "out": step.left, "removed": dict(step.removed)}
        for step in steps
    }


def spread(values: Any) -> dict[str, float]:
    """Mean and quantiles."""
    quantiles = {"p10": 0.1, "p50": 0.5, "p90": 0.9}
    found = {name: round(float(np.quantile(values, q)), 1) for name, q in quantiles.items()}
    return {"mean": round(float(np.mean(values)), 1), **found}


def length_histogram(name: str, unit: str, before: Any, after: Any) -> Histogram:
    """How lengths are spread, in powers of two."""
    return histogram(name, unit, _LENGTH_EDGES, before, after)


def histogram(name: str, unit: str, edges: list[float], before: Any, after: Any) -> Histogram:
    """How values are spread; what lies outside counts at the edge."""

    def counts(values: Any) -> list[int]:
        clipped = np.clip(values, edges[0], edges[-1])
        return [int(n) for n in np.histogram(clipped, edges)[0]]

    return Histogram(name, unit, edges, counts(before), counts(after))


def _drawn(step: Step) -> ReportStep:
    return ReportStep(
        step.name,
        step.came,
        step.left,
        step.came_bytes,
        step.left_bytes,
        reasons=dict(step.removed),
    )


def _samples(steps: Sequence[Step]) -> list[Sample]:
    """Some of what each step removed."""
    shown = [(step.name, removed) for step in steps for removed in step.shown]
    return [
        Sample(name, each.reason, each.prompt.id, each.prompt.source, _short(each.shown))
        for name, each in shown
    ]


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]} …"
