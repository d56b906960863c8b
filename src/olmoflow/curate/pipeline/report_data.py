"""What a report of a run draws, as plain values: the fields of ``report.json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from olmoflow.curate.pipeline.account import Account
from olmoflow.curate.pipeline.counting import SIZE_EDGES
from olmoflow.curate.pipeline.engine import CurationResult
from olmoflow.curate.pipeline.output import step_figures
from olmoflow.curate.pipeline.scores import SCORE_EDGES


def report_data(
    result: CurationResult,
    bytes_per_token: float,
    *,
    title: str,
    created: str = "",
    facts: Mapping[str, str] | None = None,
    settings: str = "",
) -> dict[str, Any]:
    """The data of a report.

    Args:
        result: Of a run.
        bytes_per_token: By which tokens are estimated.
        title: For people.
        created: ISO 8601.
        facts: Short lines for its head.
        settings: The resolved pipeline, as text.
    """
    return {
        "title": title,
        "created": created,
        "facts": dict(facts or {}),
        "steps": [_step(a, bytes_per_token) for a in result.accounts],
        "histograms": _histograms(result),
        "clusters": _clusters(result.figures),
        "mixtures": [
            {
                "name": "source",
                "unit": "bytes",
                "before": result.read.get("sources", {}),
                "after": result.written.get("sources", {}),
            }
        ],
        "samples": [
            {"step": a.label, "reason": s.reason, "id": s.id, "source": s.source, "text": s.text}
            for a in result.accounts
            for s in a.samples
        ],
        "settings": settings,
    }


def _step(account: Account, bytes_per_token: float) -> dict[str, Any]:
    figures = step_figures(account, bytes_per_token)
    words = ("words_in", "words_out")
    return {"name": account.label, **{k: v for k, v in figures.items() if k not in words}}


def _histograms(result: CurationResult) -> list[dict[str, Any]]:
    before, after = result.read["sizes"], result.written["sizes"]
    last = max((n for n, c in enumerate(map(max, before, after)) if c), default=0) + 1
    histograms = [
        {
            "name": "length",
            "unit": "bytes",
            "edges": [float(e) for e in SIZE_EDGES[: last + 1]],
            "before": before[:last],
            "after": after[:last],
        }
    ]
    written = result.written.get("scores", {})
    for name, counts in result.read["scores"].items():
        histograms.append(
            {
                "name": name,
                "unit": "",
                "edges": SCORE_EDGES,
                "before": counts,
                "after": written.get(name, [0] * len(counts)),
            }
        )
    return histograms


def _clusters(figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Sizes of clusters, where a stage says them: ``{"cluster_sizes": {size: clusters}}``."""
    found = []
    for step, about in figures.items():
        sizes = about.get("cluster_sizes")
        if isinstance(sizes, Mapping) and sizes:
            rows = sorted((int(size), int(count)) for size, count in sizes.items())
            found.append(
                {"step": step, "sizes": [s for s, _ in rows], "clusters": [c for _, c in rows]}
            )
    return found
