"""The sections of a report's page; each is empty where the run counted nothing for it.

Every chart is followed by its numbers in a table, folded in; whatever came out of documents is
escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import groupby, pairwise

from olmoflow.curate.report.charts import bin_ticks, edge_ticks, histogram
from olmoflow.curate.report.data import (
    ClusterSizes,
    Histogram,
    Mixture,
    ReportData,
    Sample,
    Step,
)
from olmoflow.curate.report.elements import bar, folded, legend, table
from olmoflow.curate.report.numbers import change, count, duration, share

_TEXT_SHOWN = 2000  # characters of a sample
_PARTS_SHOWN = 40  # of a mixture; the rest is summed up


def funnel(data: ReportData) -> str:
    """What is left after each step, of documents and of bytes."""
    if not data.steps:
        return ""
    documents = max(max(s.documents_in, s.documents_out) for s in data.steps)
    size = max(max(s.bytes_in, s.bytes_out) for s in data.steps)
    rows = "".join(_funnel_row(step, documents, size) for step in data.steps)
    numbers_table = table(
        ["step", "documents in", "out", "bytes in", "out", "tokens in", "out", "errors", "time"],
        [_numbers(step) for step in data.steps],
    )
    key = legend(("after", "documents left"), ("second", "bytes left"), ("gone", "removed"))
    numbers = folded("All numbers", numbers_table)
    return f'<div class="card">{key}<ol class="funnel">{rows}</ol>{numbers}</div>'


def _funnel_row(step: Step, documents: int, size: int) -> str:
    changed = change(step.documents_in, step.documents_out)
    in_bytes = change(step.bytes_in, step.bytes_out)
    what = f"{count(step.documents_out)} left"
    what += f", {changed} of documents" if changed != "unchanged" else ""
    what += f", {in_bytes} of bytes" if in_bytes != "unchanged" else ""
    title = f"{count(step.documents_in)} → {count(step.documents_out)} documents"
    of_bytes = f"{count(step.bytes_in, 'bytes')} → {count(step.bytes_out, 'bytes')}"
    return (
        f'<li><div class="row"><span class="name">{escape(step.name)}</span>'
        f'<span class="what">{what}</span></div>'
        + bar(step.documents_in, step.documents_out, documents, title)
        + bar(step.bytes_in, step.bytes_out, size, of_bytes, "second")
        + "</li>"
    )


def _numbers(step: Step) -> list[str]:
    counts = [f"{step.documents_in:,}", f"{step.documents_out:,}"]
    counts += [f"{step.bytes_in:,}", f"{step.bytes_out:,}"]
    counts += ["–" if n is None else f"{n:,}" for n in (step.tokens_in, step.tokens_out)]
    return [step.name, *counts, f"{step.errors:,}", duration(step.seconds)]


def times(data: ReportData) -> str:
    """The time of each step, the longest first."""
    total = sum(step.seconds for step in data.steps)
    if not total:
        return ""
    longest = max(step.seconds for step in data.steps)
    rows = "".join(
        f'<li><div class="row"><span class="name">{escape(step.name)}</span>'
        f'<span class="what">{duration(step.seconds)}, {share(step.seconds, total)}'
        f"{_pace(step)}</span></div>"
        + bar(step.seconds, step.seconds, longest, duration(step.seconds), "second")
        + "</li>"
        for step in sorted(data.steps, key=lambda step: -step.seconds)
    )
    return f'<div class="card"><ol class="funnel">{rows}</ol></div>'


def _pace(step: Step) -> str:
    return f", {count(step.bytes_in / step.seconds, 'bytes')}/s" if step.seconds > 0 else ""


def distributions(data: ReportData) -> str:
    """Histograms before and after."""
    figures = "".join(_histogram(one) for one in data.histograms)
    return f'<div class="charts">{figures}</div>' if figures else ""


def _histogram(whole: Histogram) -> str:
    one = _filled(whole) if whole.unit else whole  # a score's whole range says something
    bins = [f"{count(a, one.unit)} – {count(b, one.unit)}" for a, b in pairwise(one.edges)]
    unit = f" ({escape(one.unit)})" if one.unit else ""
    name = escape(one.name)
    head = ["from", "to", "before", *(["after"] if one.after else [])]
    rows = [
        [
            f"{a:,.6g}",
            f"{b:,.6g}",
            *(f"{column[n]:,}" for column in (one.before, one.after) if column),
        ]
        for n, (a, b) in enumerate(pairwise(one.edges))
    ]
    plot = histogram(
        f"Documents by {one.name}", edge_ticks(one.edges, one.unit), bins, one.before, one.after
    )
    keys = [("before", "before"), ("after", "after")] if one.after else [("after", "documents")]
    return (
        f'<figure class="card"><h3>{name[:1].upper()}{name[1:]}{unit}</h3>'
        f"{legend(*keys)}{plot}{folded('Numbers', table(head, rows))}</figure>"
    )


def _filled(one: Histogram) -> Histogram:
    """A histogram without the empty bins at its ends."""
    counts = [a + b for a, b in zip(one.before, one.after or one.before, strict=True)]
    filled = [n for n, number in enumerate(counts) if number]
    if not filled:
        return one
    low, high = filled[0], filled[-1] + 1
    return Histogram(
        one.name, one.unit, one.edges[low : high + 1], one.before[low:high], one.after[low:high]
    )


def clusters(data: ReportData) -> str:
    """How large the clusters of duplicates are."""
    figures = "".join(_cluster_sizes(one) for one in data.clusters if one.sizes)
    return f'<div class="charts">{figures}</div>' if figures else ""


def _cluster_sizes(one: ClusterSizes) -> str:
    documents = sum(n * size for n, size in zip(one.clusters, one.sizes, strict=True))
    names, heights = _by_power(one.sizes, one.clusters)
    # For an axis the upper bound of a bin is enough.
    ticks = bin_ticks([name.rpartition("–")[2] for name in names])
    plot = histogram(f"Clusters by size, {one.step}", ticks, names, heights, [], log=True)
    rows = [[f"{a:,}", f"{b:,}"] for a, b in zip(one.sizes, one.clusters, strict=True)]
    largest = count(max(one.sizes))
    return (
        f'<figure class="card"><h3>{escape(one.step)}</h3>'
        f"<figcaption>{count(sum(one.clusters))} clusters of {count(documents)} documents, the "
        f"largest of {largest}. Clusters by size, up to the number below a bar; logarithmic."
        f"</figcaption>{plot}"
        f"{folded('Numbers', table(['documents', 'clusters'], rows))}</figure>"
    )


def _by_power(sizes: Sequence[int], clusters: Sequence[int]) -> tuple[list[str], list[float]]:
    """Sizes in bins that double: 2, 3–4, 5–8, …"""
    bins = (max(sizes) - 1).bit_length()
    heights = [0.0] * bins
    for size, number in zip(sizes, clusters, strict=True):
        heights[(size - 1).bit_length() - 1] += number
    names = ["2"] + [f"{count(2**n + 1)}–{count(2 ** (n + 1))}" for n in range(1, bins)]
    return names, heights


def mixtures(data: ReportData) -> str:
    """Shares of the parts of mixtures before and after."""
    return "".join(_mixture(one) for one in data.mixtures)


def _mixture(one: Mixture) -> str:
    totals = sum(one.before.values()), sum(one.after.values())
    names = sorted({*one.before, *one.after}, key=lambda n: (-one.before.get(n, 0), n))
    shares = {
        name: tuple(
            amounts.get(name, 0) / total if total else 0.0
            for amounts, total in zip((one.before, one.after), totals, strict=True)
        )
        for name in names
    }
    largest = max((max(pair) for pair in shares.values()), default=0)
    rows = ""
    for name in names[:_PARTS_SHOWN]:
        before, after = shares[name]
        text = f"{share(before, 1)} → {share(after, 1)}"
        rows += (
            f'<li><div class="row"><span class="name">{escape(name or "(none)")}</span>'
            f'<span class="what">{text}</span></div>'
            + bar(before, before, largest, f"before: {share(before, 1)}", "second before")
            + bar(after, after, largest, f"after: {share(after, 1)}")
            + "</li>"
        )
    if len(names) > _PARTS_SHOWN:
        rows += f'<li class="quiet">and {count(len(names) - _PARTS_SHOWN)} more, in the table</li>'
    numbers_table = table(
        [one.name, f"{one.unit} before", "share", f"{one.unit} after", "share", "factor"],
        [
            [
                name or "(none)",
                f"{one.before.get(name, 0):,.0f}",
                share(shares[name][0], 1),
                f"{one.after.get(name, 0):,.0f}",
                share(shares[name][1], 1),
                f"{one.after.get(name, 0) / one.before[name]:.3g}" if one.before.get(name) else "–",
            ]
            for name in names
        ],
    )
    key = legend(("before", "before"), ("after", "after"))
    title = f"By {escape(one.name)}, in {escape(one.unit)}"
    return (
        f'<div class="card" style="margin-bottom:1rem"><h3>{title}</h3>{key}'
        f'<ol class="funnel">{rows}</ol>{folded("All numbers", numbers_table)}</div>'
    )


def removed(data: ReportData) -> str:
    """For each step that removed documents, why, and some of them."""
    samples = {
        step: list(some)
        for step, some in groupby(
            sorted(data.samples, key=lambda sample: sample.step), key=lambda sample: sample.step
        )
    }
    order = [step.name for step in data.steps]
    order += sorted(set(samples) - set(order))
    reasons = {step.name: step.reasons for step in data.steps}
    blocks = [
        _step_samples(name, reasons.get(name, {}), samples.get(name, []))
        for name in order
        if reasons.get(name) or samples.get(name)
    ]
    return f'<div class="card">{"".join(blocks)}</div>' if blocks else ""


def _step_samples(name: str, reasons: dict[str, int], samples: Iterable[Sample]) -> str:
    ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    numbers_table = table(["reason", "documents"], [[reason, f"{n:,}"] for reason, n in ordered])
    shown = list(samples)
    texts = "".join(_sample(sample) for sample in shown)
    said = f"{count(sum(reasons.values()))} removed, " if reasons else ""
    samples_said = "1 sample" if len(shown) == 1 else f"{len(shown)} samples"
    summary = f'{escape(name)} <span class="quiet">{said}{samples_said}</span>'
    return folded(summary, (numbers_table if reasons else "") + texts, html=True)


def _sample(sample: Sample) -> str:
    text = sample.text[:_TEXT_SHOWN]
    more = " …" if len(sample.text) > _TEXT_SHOWN else ""
    return (
        f'<div class="sample"><div class="row"><span class="name">{escape(sample.reason)}</span>'
        f'<span class="what">{escape(sample.id)} · {escape(sample.source)}</span></div>'
        f'<pre tabindex="0">{escape(text)}{more}</pre></div>'
    )


def settings(data: ReportData) -> str:
    """The pipeline as it ran."""
    if not data.settings:
        return ""
    listing = f'<pre tabindex="0">{escape(data.settings)}</pre>'
    return f'<div class="card">{folded("The resolved pipeline", listing)}</div>'
