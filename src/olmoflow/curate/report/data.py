"""The data of a report of curation: ``report.json`` as typed values.

The engine writes it as it works, `page.render` draws it. Everything is plain numbers and text, so a
script can read the file as well. A list may be empty: the page leaves out what a run did not count.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from olmoflow.errors import UserError


@dataclass
class Step:
    """What came into a step and what left it.

    Attributes:
        name: As the pipeline names it; unique in the run.
        documents_in: Documents before it.
        documents_out: Documents after it; more than before where it repeats some.
        bytes_in: UTF-8 bytes of their text before it.
        bytes_out: UTF-8 bytes of their text after it.
        seconds: Time of it; of operations that share a pass, its part of the pass.
        tokens_in: Tokens before it; None: not counted.
        tokens_out: Tokens after it; None: not counted.
        errors: Documents that it could not work on.
        reasons: How many documents it removed for which reason.
    """

    name: str
    documents_in: int
    documents_out: int
    bytes_in: int
    bytes_out: int
    seconds: float = 0.0
    tokens_in: int | None = None
    tokens_out: int | None = None
    errors: int = 0
    reasons: dict[str, int] = field(default_factory=dict)


@dataclass
class Histogram:
    """How a number is spread over the documents, before the run and after it.

    Attributes:
        name: What the number is, as a heading: ``length``, ``quality``.
        unit: Its unit, ``bytes`` for example; empty if it has none.
        edges: [bins + 1], rising; a bin has its lower edge, the last bin both. All bins are drawn
            equally wide, so edges may rise by a factor.
        before: [bins], documents of the sources.
        after: [bins], documents of the corpus that came out; empty: not counted.
    """

    name: str
    unit: str
    edges: list[float]
    before: list[int]
    after: list[int] = field(default_factory=list)


@dataclass
class ClusterSizes:
    """How many clusters of duplicates had which size.

    Attributes:
        step: The step that found them.
        sizes: Documents in a cluster, rising, each at least 2.
        clusters: As many numbers: the clusters of that size.
    """

    step: str
    sizes: list[int]
    clusters: list[int]


@dataclass
class Mixture:
    """What the documents are made of, before the run and after it.

    Attributes:
        name: What the parts are: ``source``, ``topic``, ``language``.
        unit: What is counted: ``bytes``, ``tokens`` or ``documents``.
        before: Amount by part.
        after: Amount by part in the corpus that came out.
    """

    name: str
    unit: str
    before: dict[str, float]
    after: dict[str, float]


@dataclass
class Sample:
    """A document that a step removed.

    Attributes:
        step: The step's name.
        reason: Why.
        id: Of the document.
        source: Of the document.
        text: Its beginning, or the part that the reason is about.
    """

    step: str
    reason: str
    id: str
    source: str
    text: str


@dataclass
class ReportData:
    """A run of curation.

    Attributes:
        title: What the run was, for people: the pipeline's name and the corpus's.
        created: When it ended, ISO 8601.
        facts: Short lines for the head of the page: version, runner, sources, seconds …
        steps: In the order in which they ran.
        histograms: Any number.
        clusters: One for each step that looked for duplicates.
        mixtures: Any number.
        samples: A few for each step.
        settings: The resolved pipeline, as YAML or JSON text.
    """

    title: str
    created: str = ""
    facts: dict[str, str] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    histograms: list[Histogram] = field(default_factory=list)
    clusters: list[ClusterSizes] = field(default_factory=list)
    mixtures: list[Mixture] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    settings: str = ""

    def write(self, path: Path) -> None:
        """Write ``report.json``."""
        path.write_text(
            json.dumps(asdict(self), ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
        )


def read(path: Path) -> ReportData:
    """Read a ``report.json``.

    Raises:
        UserError: It is not one; the message names the field.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: {error}; expected a report.json") from error
    return parse(value, f"{path}: report")


def parse(value: Mapping[str, Any], place: str = "report") -> ReportData:
    """Plain values, as ``report.json`` has them, as a report.

    Args:
        value: As from JSON.
        place: What a message calls it.

    Raises:
        UserError: It is no report; the message names the field.
    """
    data: ReportData = _typed(value, ReportData, place)
    for histogram in data.histograms:
        _check(f"{place}: histogram {histogram.name}", histogram)
    return data


def _check(place: str, histogram: Histogram) -> None:
    bins = len(histogram.edges) - 1
    if len(histogram.before) != bins or len(histogram.after) not in (0, bins):
        found = f"{len(histogram.before)} and {len(histogram.after)}"
        raise UserError(f"{place}: {found} counts; expected one for each of {bins} bins")
    if any(a >= b for a, b in zip(histogram.edges, histogram.edges[1:], strict=False)):
        raise UserError(f"{place}: edges {histogram.edges}; expected them to rise")


def _typed(value: Any, kind: Any, place: str) -> Any:
    """The value as a type made of the dataclasses above, or an error with its place."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return None if value is None else _typed(value, arguments[0], place)
    if origin is list and isinstance(value, list):
        return [_typed(item, arguments[0], f"{place}[{n}]") for n, item in enumerate(value)]
    if origin is dict and isinstance(value, Mapping):
        return {k: _typed(item, arguments[1], f"{place}.{k}") for k, item in value.items()}
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(kind, type) and isinstance(value, kind) and not isinstance(value, bool):
        return value
    if not hasattr(kind, "__dataclass_fields__") or not isinstance(value, Mapping):
        name = getattr(kind, "__name__", str(kind)) if origin is None else str(kind)
        raise UserError(f"{place}: found {type(value).__name__}, expected {name}")
    hints = get_type_hints(kind)
    if unknown := sorted(set(value) - set(hints)):
        raise UserError(f"{place}.{unknown[0]}: no such field; expected {', '.join(hints)}")
    for one in fields(kind):
        needed = one.default is MISSING and one.default_factory is MISSING
        if needed and one.name not in value:
            raise UserError(f"{place}.{one.name}: missing")
    return kind(**{k: _typed(item, hints[k], f"{place}.{k}") for k, item in value.items()})
