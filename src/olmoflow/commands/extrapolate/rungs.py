"""The rungs of a ladder, read from runs or from a table: their size, tokens, compute and scores."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olmoflow.errors import UserError

if TYPE_CHECKING:
    from olmoflow.evaluate.scaling import Rung
    from olmoflow.report import Run

VARIABLES = ("parameters", "tokens", "compute")


def rungs_of(
    runs: Sequence[Run], variables: Sequence[str], metric: str, accuracy: str | None
) -> list[Rung]:
    """Runs as rungs.

    Args:
        runs: From `olmoflow.report.collect_runs`.
        variables: The entries of a rung's x.
        metric: Its loss.
        accuracy: Its accuracy; None: none.

    Raises:
        UserError: A run lacks a score, or its size or tokens are not known.
    """
    from olmoflow.evaluate.scaling import Rung

    rungs = []
    for run in runs:
        values = _values(run, variables)
        scores = [_score(run, name) for name in (metric, accuracy) if name]
        rungs.append(Rung(run.name, tuple(values[v] for v in variables), *scores))
    return rungs


def rungs_in(path: Path, variables: Sequence[str], metric: str, accuracy: str | None) -> list[Rung]:
    """The rows of a CSV file as rungs; a column ``run`` names them.

    Raises:
        UserError: It cannot be read, lacks a column, or a value is no number above 0 (an accuracy:
            at least 0).
    """
    from olmoflow.evaluate.scaling import Rung

    scores = [name for name in (metric, accuracy) if name]
    try:
        with path.open(newline="") as file:
            reader = csv.DictReader(file)
            columns, rows = list(reader.fieldnames or ()), list(reader)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"table={path}: cannot be read ({error}); expected a CSV file") from error
    for name in (*variables, *scores):
        if name not in columns:
            raise UserError(
                f"table={path}: has no column {name}; expected one beside {', '.join(columns)}"
            )
    rungs = []
    for line, row in enumerate(rows, 2):
        numbers = [
            _number(path, line, name, row[name], may_be_zero=name == accuracy)
            for name in (*variables, *scores)
        ]
        x, values = tuple(numbers[: len(variables)]), numbers[len(variables) :]
        rungs.append(Rung(row.get("run") or f"line {line}", x, *values))
    return rungs


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
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                raise UserError(f"predict[{n}].{name}={value}: expected a number above 0")
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


def _values(run: Run, variables: Sequence[str]) -> dict[str, float]:
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


def _number(path: Path, line: int, name: str, text: str | None, *, may_be_zero: bool) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and (value > 0 or (may_be_zero and value == 0))):
        expected = "a number of at least 0" if may_be_zero else "a number above 0"
        raise UserError(f"table={path}: line {line}, {name}={text}: expected {expected}")
    return value
