"""What a run of rewriting took and left: figures for the provenance and the report."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from olmoflow.curate.report.data import ReportData
from olmoflow.synthesize.passages import Passage, PassageCount
from olmoflow.synthesize.recipe import Removed
from olmoflow.synthesize.rewriting import STEPS
from olmoflow.synthesize.selection import Step
from olmoflow.synthesize.step_report import (
    Heading,
    length_histogram,
    page,
    sources,
    spread,
    steps_figures,
)


@dataclass
class RewriteRun:
    """What happened, counted passage by passage.

    Args:
        count: What became of the documents that were read.
    """

    count: PassageCount
    steps: list[Step] = field(default_factory=lambda: [Step(name) for name in STEPS])
    _before: array[int] = field(default_factory=lambda: array("q"))
    _after: array[int] = field(default_factory=lambda: array("q"))
    _bytes_before: Counter[str] = field(default_factory=Counter)
    _bytes_after: Counter[str] = field(default_factory=Counter)

    def add(self, passage: Passage, end: Mapping[str, Any] | Removed) -> None:
        """Count a passage and what came of it."""
        size = len(passage.text.encode())
        self._before.append(len(passage.text))
        self._bytes_before[passage.document.source] += size
        for step in self.steps:
            step.came += 1
            step.came_bytes += size
            if isinstance(end, Removed) and end.step == step.name:
                step.remove(end)
                return
        assert not isinstance(end, Removed)
        self._after.append(len(end["text"]))
        self._bytes_after[end["source"]] += len(end["text"].encode())

    @property
    def kept(self) -> int:
        """Documents that were made."""
        return len(self._after)

    def figures(self) -> dict[str, Any]:
        """The headline figures."""
        lengths = {"passages": self._before, "rewrites": self._after}
        return {
            "read": self.count.documents,
            "passages": len(self._before),
            "left_out": {
                "short_passages": self.count.short,
                "duplicate_passages": self.count.duplicates,
                "over_limit": self.count.over_limit,
            },
            "documents": {"train": self.kept},
            "bytes": {"train": self._bytes_after.total()},
            "steps": steps_figures(self.steps),
            "lengths": {
                "unit": "characters",
                **{name: spread(values) for name, values in lengths.items() if values},
            },
        }

    def report(self, heading: Heading) -> ReportData:
        """The page's data; the bytes of its steps are those of the passages."""
        drawn = length_histogram("length", "characters", self._before, self._after)
        mixture = sources("bytes", self._bytes_before, self._bytes_after)
        return page(heading, self.steps, [drawn], mixture)
