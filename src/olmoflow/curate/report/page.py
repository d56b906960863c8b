"""A report of curation as one HTML page that needs no file beside itself and no network."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from pathlib import Path

from olmoflow.curate.report import sections
from olmoflow.curate.report.data import ReportData
from olmoflow.curate.report.numbers import change, count, duration
from olmoflow.curate.report.style import CSS


def write_page(data: ReportData, path: Path) -> None:
    """Write the page of a report."""
    path.write_text(render(data), encoding="utf-8")


def render(data: ReportData) -> str:
    """The page of a report, as HTML."""
    parts = [(name, title, make(data)) for name, title, make in _SECTIONS]
    shown = [(name, title, body) for name, title, body in parts if body]
    links = "".join(f'<a href="#{name}">{title}</a>' for name, title, _ in shown)
    bodies = "\n".join(
        f'<section aria-labelledby="{name}"><h2 id="{name}">{title}</h2>\n{body}</section>'
        for name, title, body in shown
    )
    title = escape(data.title)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{CSS}</style>\n</head>\n<body>\n<header>\n"
        f'<h1>{title}</h1>\n<p class="quiet">{escape(data.created)}</p>\n'
        f'<nav aria-label="Sections">{links}</nav>\n</header>\n<main>\n{_head(data)}\n'
        f"{bodies}\n</main>\n</body>\n</html>\n"
    )


def _head(data: ReportData) -> str:
    """The whole run in four numbers, and its facts."""
    tiles = []
    if data.steps:
        first, last = data.steps[0], data.steps[-1]
        tiles = [
            _tile("documents", first.documents_in, last.documents_out),
            _tile("bytes", first.bytes_in, last.bytes_out, "bytes"),
        ]
        if first.tokens_in is not None and last.tokens_out is not None:
            tiles.append(_tile("tokens", first.tokens_in, last.tokens_out))
        seconds = sum(step.seconds for step in data.steps)
        if seconds:  # a synthesis measures none
            tiles.append(
                f'<div class="tile"><span class="quiet">time in steps</span>'
                f"<strong>{duration(seconds)}</strong>"
                f'<span class="quiet">{len(data.steps)} steps</span></div>'
            )
    facts = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in data.facts.items())
    listed = f'<dl class="facts">{facts}</dl>' if facts else ""
    return f'<div class="tiles" style="margin-top:1.4rem">{"".join(tiles)}</div>{listed}'


def _tile(name: str, before: float, after: float, unit: str = "") -> str:
    return (
        f'<div class="tile"><span class="quiet">{name}</span><strong>{count(after, unit)}</strong>'
        f'<span class="quiet">of {count(before, unit)}, {change(before, after)}</span></div>'
    )


_SECTIONS: tuple[tuple[str, str, Callable[[ReportData], str]], ...] = (
    ("funnel", "Funnel", sections.funnel),
    ("time", "Time", sections.times),
    ("distributions", "Distributions", sections.distributions),
    ("clusters", "Duplicates", sections.clusters),
    ("mixture", "Mixture", sections.mixtures),
    ("removed", "What was removed", sections.removed),
    ("settings", "Settings", sections.settings),
)
