"""What a run of ``olmoflow synthesize`` leaves beside its corpus, whatever it made."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from olmoflow import __version__

if TYPE_CHECKING:
    from olmoflow.curate.report.data import ReportData
    from olmoflow.synthesize.selection import Step
    from olmoflow.synthesize.step_report import Heading


class Reported(Protocol):
    """What can be drawn as a page."""

    def report(self, heading: Heading) -> ReportData:
        """The page's data."""
        ...


def write_report(
    config: Mapping[str, Any], what: Reported, models: Mapping[str, str], folder: Path
) -> None:
    """Write ``report.json`` and ``report.html``."""
    from olmoflow.curate.report.page import write_page
    from olmoflow.synthesize.step_report import Heading

    heading = Heading(
        f"{config['pipeline']['name']}: {config['name'] or folder.name}",
        datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        {"OlmoFlow": __version__, **models},
        json.dumps(config["pipeline"], indent=1, ensure_ascii=False, default=str),
    )
    data = what.report(heading)
    data.write(folder / "report.json")
    write_page(data, folder / "report.html")


def nothing_left(what: str, steps: Sequence[Step]) -> str:
    """The message of a run that leaves nothing: which step removed the most, and why."""
    step = max(steps, key=lambda each: each.removed.total())
    reason, n = step.removed.most_common(1)[0]
    shown = next((each.shown for each in step.shown if each.reason == reason), "")
    # A model may say what a terminal would obey.
    shown = "".join(each if each.isprintable() else " " for each in shown)
    beginning = " ".join(shown.split())[:200]
    return (
        f"no {what} is left; the step {step.name} removed {step.removed.total()} of {step.came}, "
        f"{n} of them: {reason}{f' ({beginning})' if beginning else ''}"
    )


def print_steps(result: Mapping[str, Any]) -> None:
    """Say what each step removed, and what came into none."""
    width = max(len(name) for name in result["steps"])
    for name, step in result["steps"].items():
        removed = ", ".join(f"{why}: {n:,}" for why, n in step["removed"].items())
        print(f"{name:<{width}}  {step['in']:>10,} -> {step['out']:>10,}  {removed}".rstrip())
    left_out = {k.replace("_", " "): n for k, n in result["left_out"].items() if n}
    if result["malformed"]:
        left_out["malformed (errors.jsonl)"] = result["malformed"]
    if left_out:
        print("left out: " + ", ".join(f"{name} {n:,}" for name, n in left_out.items()))
