"""A law fitted to a swarm with what it proposes, and the page that says how far to trust it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from olmoflow.curate.mixing.domains import Domain, Mixture
from olmoflow.curate.mixing.law import Array, Law, fit_law, left_out
from olmoflow.curate.mixing.proposer import propose

PAGE, PLOT = "page.md", "fit.png"


@dataclass(frozen=True)
class Fitted:
    """What came of a swarm.

    Attributes:
        domains: What was mixed.
        mixtures: [runs, domains], what the swarm was trained on.
        scores: [runs, tasks], what it scored.
        predicted: [runs, tasks], what laws fitted without each run say of it.
        law: Fitted to all.
        prior: [domains].
        proposal: [domains].
        limits: [domains], the largest share of each.
        target_tokens: Tokens of the planned run, if they are known.
    """

    domains: Sequence[Domain]
    mixtures: Array
    scores: Array
    predicted: Array
    law: Law
    prior: Mixture
    proposal: Mixture
    limits: Mixture
    target_tokens: float | None

    @property
    def errors(self) -> Array:
        """[tasks], the mean absolute error of the left-out predictions."""
        return np.asarray(np.abs(self.predicted - self.scores).mean(axis=0))

    @property
    def correlations(self) -> Array:
        """[tasks], Pearson's r of left-out predictions and scores; NaN where either is constant."""
        pairs = zip(self.predicted.T, self.scores.T, strict=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.array([np.corrcoef(predicted, scores)[0, 1] for predicted, scores in pairs])


def fit_and_propose(
    domains: Sequence[Domain],
    mixtures: Array,
    scores: Array,
    tasks: Sequence[str],
    prior: Mixture,
    limits: Mixture,
    *,
    target_tokens: float | None,
    starts: int,
    delta: float,
    kl: float,
    seed: int,
) -> Fitted:
    """Fit a law to a swarm, test it on each run that it was not fitted to, and propose.

    Args:
        domains: What was mixed.
        mixtures: [runs, domains].
        scores: [runs, tasks], lower is better.
        tasks: Their names.
        prior: [domains].
        limits: [domains], the largest share of each.
        target_tokens: Tokens of the planned run, for the page.
        starts: Random starts of each fit.
        delta: Of the Huber loss.
        kl: What it costs to leave the prior.
        seed: Of the starts.

    Raises:
        UserError: There are fewer runs than domains, or the limits leave no mixture.
    """
    law = fit_law(mixtures, scores, tasks, starts=starts, delta=delta, seed=seed)
    # A run less than the law needs cannot be left out.
    enough = len(mixtures) > len(domains)
    predicted = left_out(mixtures, scores, tasks, seed=seed) if enough else law.predict(mixtures)
    proposal = propose(law, prior, limits, kl)
    return Fitted(domains, mixtures, scores, predicted, law, prior, proposal, limits, target_tokens)


def write_page(fitted: Fitted, folder: Path, proxies: str) -> None:
    """Write ``page.md`` and its plot; ``proxies`` says what the runs of the swarm were."""
    _draw(fitted, folder / PLOT)
    (folder / PAGE).write_text(page(fitted, proxies))


def page(fitted: Fitted, proxies: str) -> str:
    """The proposal, the law and its errors as Markdown."""
    runs, tasks = fitted.scores.shape
    lines = [
        "## The mixture",
        "",
        f"Proposed from {runs} runs over {len(fitted.domains)} domains and {tasks} tasks "
        f"({proxies}). A law holds for models such as those that it was fitted to; what it says of "
        "much larger ones is to be tried on them.",
        "",
        "| domain | tokens | prior | proposal | largest allowed | times seen |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for i, domain in enumerate(fitted.domains):
        seen = "–"
        if fitted.target_tokens is not None:
            seen = f"{fitted.proposal[i] * fitted.target_tokens / domain.usable:.2f}"
        lines.append(
            f"| {domain.name} | {domain.tokens:,.0f} | {fitted.prior[i]:.1%} "
            f"| {fitted.proposal[i]:.1%} | {fitted.limits[i]:.1%} | {seen} |"
        )
    lines += ["", "## The law", "", *_law_table(fitted), ""]
    lines += [
        "*Error* and *r* are of predictions by laws fitted without the run that they are made for; "
        "*spread* is the standard deviation of the score over the swarm, the error of a law that "
        "knows nothing of mixtures.",
        "",
        f"![fit]({PLOT})",
        "",
    ]
    return "\n".join(lines)


def _law_table(fitted: Fitted) -> list[str]:
    before, after = fitted.law.predict(np.stack([fitted.prior, fitted.proposal]))
    spread = fitted.scores.std(axis=0, ddof=1)
    lines = [
        "| task | spread | error | r | predicted, prior | predicted, proposal | difference |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for i, task in enumerate(fitted.law.tasks):
        lines.append(
            f"| {task} | {spread[i]:.4f} | {fitted.errors[i]:.4f} | {fitted.correlations[i]:.3f} "
            f"| {before[i]:.4f} | {after[i]:.4f} | {after[i] - before[i]:+.4f} |"
        )
    gain = after.mean() - before.mean()
    lines.append(f"| mean | | | | {before.mean():.4f} | {after.mean():.4f} | {gain:+.4f} |")
    return lines


def _draw(fitted: Fitted, path: Path) -> None:
    """Left-out predictions over scores, and the proportions before and after."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for i, task in enumerate(fitted.law.tasks):
        left.plot(fitted.scores[:, i], fitted.predicted[:, i], "o", markersize=4, label=task)
    ends = [fitted.scores.min(), fitted.scores.max()]
    left.plot(ends, ends, color="0.6", linewidth=1, zorder=0)
    left.set_xlabel("score of the run")
    left.set_ylabel("predicted without it")
    left.legend(frameon=False)
    places = np.arange(len(fitted.domains))
    right.barh(places + 0.2, fitted.prior, 0.38, label="prior", color="0.7")
    right.barh(places - 0.2, fitted.proposal, 0.38, label="proposal")
    right.set_yticks(places, [domain.name for domain in fitted.domains])
    right.invert_yaxis()
    right.set_xlabel("share of the tokens")
    right.legend(frameon=False)
    figure.savefig(path, dpi=120, metadata={"Software": None})
