"""The rungs of a ladder, read from runs or from a table: their size, tokens, compute and scores."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from olmoflow.errors import UserError

if TYPE_CHECKING:
    from olmoflow.evaluate.scaling import Rung
    from olmoflow.report import Run

T = TypeVar("T")
VARIABLES = ("parameters", "tokens", "compute")
Numbers = Mapping[str, float]
_SAME = 0.02
"""How far, as a share, numbers may be apart that are meant to be one: budgets end with a step."""


@dataclass(frozen=True)
class Wanted:
    """What is read of runs.

    Attributes:
        variables: The entries of a rung's x.
        metric: Its loss.
        accuracy: Its accuracy; None: none.
        where: What runs have to have; the others are left out.
    """

    variables: Sequence[str]
    metric: str
    accuracy: str | None = None
    where: Numbers = field(default_factory=dict)

    @property
    def scores(self) -> list[str]:
        """The metric, and the accuracy if there is one."""
        return [self.metric, *([self.accuracy] if self.accuracy else [])]


def rungs_of(runs: Sequence[Run], wanted: Wanted) -> list[Rung]:
    """Runs, from `olmoflow.report.collect_runs`, as rungs.

    Raises:
        UserError: A run lacks a score, its size or tokens are not known, or none is as wanted.
    """
    from olmoflow.evaluate.scaling import Rung

    known = {run.name: _values(run) for run in runs}
    rungs = []
    for run in _chosen(runs, [known[each.name] for each in runs], wanted.where):
        x = tuple(known[run.name][v] for v in wanted.variables)
        rungs.append(Rung(run.name, x, *(_score(run, name) for name in wanted.scores)))
    _check_told_apart([(rung, known[rung.name]) for rung in rungs], wanted.variables)
    return rungs


def rungs_in(path: Path, wanted: Wanted) -> list[Rung]:
    """The rows of a CSV file as rungs; a column ``run`` names them.

    Raises:
        UserError: It cannot be read, lacks a column, or a value is no number above 0 (an accuracy:
            at least 0).
    """
    from olmoflow.evaluate.scaling import Rung

    try:
        with path.open(newline="") as file:
            reader = csv.DictReader(file)
            columns, rows = list(reader.fieldnames or ()), list(reader)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"table={path}: cannot be read ({error}); expected a CSV file") from error
    needed = {*wanted.variables, *wanted.where}
    for name in (*wanted.variables, *wanted.scores, *wanted.where):
        if name not in columns:
            raise UserError(
                f"table={path}: has no column {name}; expected one beside {', '.join(columns)}"
            )
    # Others are read if they can be: whether a law may leave them out shows in them.
    more = [v for v in VARIABLES if v in columns and all(_parsed(row[v]) > 0 for row in rows)]
    read = [name for name in VARIABLES if name in needed or name in more]
    known = [
        {name: _number(path, line, name, row[name]) for name in read}
        for line, row in enumerate(rows, 2)
    ]
    rungs = []
    for line, row in _chosen(list(enumerate(rows, 2)), known, wanted.where):
        scores = [
            _number(path, line, name, row[name], may_be_zero=name == wanted.accuracy)
            for name in wanted.scores
        ]
        x = tuple(known[line - 2][name] for name in wanted.variables)
        rungs.append((Rung(row.get("run") or f"line {line}", x, *scores), known[line - 2]))
    _check_told_apart(rungs, wanted.variables)
    return [rung for rung, _ in rungs]


def where_of(given: Any) -> dict[str, float]:
    """The conditions of ``where=``.

    Raises:
        UserError: One is of no variable, or its value is no number above 0.
    """
    for name, value in (given or {}).items():
        if name not in VARIABLES:
            raise UserError(f"where.{name}={value}: expected {', '.join(VARIABLES)}")
        _check_positive(f"where.{name}", value)
    return {name: float(value) for name, value in (given or {}).items()}


def targets_of(predict: Any, variables: Sequence[str]) -> list[tuple[float, ...]]:
    """The settings of ``predict=``.

    Raises:
        UserError: One lacks a variable, has another, or a value is no number above 0.
    """
    targets = []
    for n, wanted in enumerate(predict or []):
        if not isinstance(wanted, Mapping) or set(wanted) != set(variables):
            raise UserError(
                f"predict[{n}]={wanted}: expected {{{', '.join(f'{v}: …' for v in variables)}}}"
            )
        for name, value in wanted.items():
            _check_positive(f"predict[{n}].{name}", value)
        targets.append(tuple(float(wanted[v]) for v in variables))
    return targets


def check_variables(variables: Any) -> tuple[str, ...]:
    """The variables of the law.

    Raises:
        UserError: They are none that there is a law of.
    """
    known = (["parameters", "tokens"], *([name] for name in VARIABLES))
    if variables not in known:
        listed = " or ".join(f"[{', '.join(each)}]" for each in known)
        raise UserError(f"variables={variables}: expected {listed}")
    return tuple(variables)


def _check_positive(key: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise UserError(f"{key}={value}: expected a number above 0")


def _chosen(items: Sequence[T], known: Sequence[Numbers], where: Numbers) -> list[T]:
    """The items whose numbers are as wanted."""
    chosen = [
        item
        for item, numbers in zip(items, known, strict=True)
        if all(math.isclose(numbers[name], value, rel_tol=_SAME) for name, value in where.items())
    ]
    if items and not chosen:
        name = next(iter(where))
        there = ", ".join(f"{v:,.0f}" for v in sorted({numbers[name] for numbers in known}))
        raise UserError(f"where.{name}={where[name]:g}: no run has it; there are {there}")
    return chosen


def _check_told_apart(rungs: Sequence[tuple[Rung, Numbers]], variables: Sequence[str]) -> None:
    """Refuse a law of size or tokens alone of runs that differ in the other, if that is known."""
    if len(variables) > 1 or variables[0] == "compute":
        return
    (name,) = variables
    other = "tokens" if name == "parameters" else "parameters"
    first: dict[float, tuple[Rung, Numbers]] = {}
    for rung, numbers in rungs:
        if other not in numbers:
            continue
        one, its = first.setdefault(numbers[name], (rung, numbers))
        if not math.isclose(its[other], numbers[other], rel_tol=_SAME):
            raise UserError(
                f"variables=[{name}]: {one.name} and {rung.name} have the same {name}, and "
                f"{its[other]:,.0f} and {numbers[other]:,.0f} {other}, of which such a law knows "
                f"nothing; expected where={{{other}: …}}, or variables=[parameters,tokens]"
            )


def _values(run: Run) -> dict[str, float]:
    from olmoflow.model import Olmo3Config

    shape = {k.removeprefix("model."): v for k, v in run.config.items() if k.startswith("model.")}
    # RoPE's extension has no parameters.
    shape = {k: v for k, v in shape.items() if k != "_target_" and not k.startswith("yarn")}
    if not shape:
        raise UserError(
            f"runs: {run.name} does not say its model's size; expected runs of olmoflow train "
            "(table= takes others)"
        )
    if run.config.get("checkpoint") is not None and not run.config.get("carry_trainer"):
        raise UserError(
            f"runs: {run.name} began from another checkpoint, so its tokens are not all that it "
            "has seen; expected runs from scratch"
        )
    model = Olmo3Config.from_dict(shape)
    tokens = run.metrics.get("tokens")
    if tokens is None:  # a step before the last
        tokens = float(run.config["step"]) * float(run.config["global_batch_tokens"])
    compute = tokens * model.flops_per_token(int(run.config["sequence_length"]))
    values = {"parameters": float(model.num_non_embedding_parameters), "tokens": float(tokens)}
    return {**values, "compute": float(compute)}


def _score(run: Run, name: str) -> float:
    if name in run.metrics:
        return run.metrics[name]
    close = get_close_matches(name, run.metrics, n=1)
    hint = f"did you mean {close[0]}?" if close else "is it evaluated?"
    raise UserError(f"metric={name}: {run.name} has no such score; {hint}")


def _number(
    path: Path, line: int, name: str, text: str | None, *, may_be_zero: bool = False
) -> float:
    value = _parsed(text)
    if not (math.isfinite(value) and (value > 0 or (may_be_zero and value == 0))):
        expected = "a number of at least 0" if may_be_zero else "a number above 0"
        raise UserError(f"table={path}: line {line}, {name}={text}: expected {expected}")
    return value


def _parsed(text: str | None) -> float:
    """The number; NaN where it is none."""
    try:
        return float(text or "")
    except ValueError:
        return math.nan
