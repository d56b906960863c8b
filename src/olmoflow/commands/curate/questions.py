"""What ``olmoflow curate`` only answers: what steps there are, what a decontamination found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

# Characters of an example's texts that are printed.
_SHOWN = 300


def describe(name: str) -> dict[str, Any]:
    """What a step does and takes; of ``all`` each, in a line.

    Raises:
        UserError: There is no such step.
    """
    from olmoflow.curate.pipeline import reference

    if name == "all":
        return {"described": {n: reference.summary(n) for n in reference.names()}}
    return {"described": reference.page(name)}


def print_steps(described: Mapping[str, Any]) -> None:
    """Print what `describe` found."""
    if "arguments" not in described:
        width = max(map(len, described))
        print("\n".join(f"{name:<{width}}  {text}" for name, text in described.items()))
        return
    arguments = "".join(f", {k}: {json.dumps(v)}" for k, v in described["arguments"].items())
    print(f"{{name: {described['name']}{arguments}}}".replace('"???"', "???"))
    print(f"\n{described['kind']}\n\n{described['text']}")


def review_report(folder: str) -> dict[str, Any]:
    """The matches of a decontamination's report, summed up by evaluation set.

    Raises:
        UserError: There is no report.
    """
    from olmoflow.curate.decontaminate.review import read_report, review

    return {"reviewed": [asdict(one) for one in review(read_report(Path(folder)))]}


def print_review(sets: list[dict[str, Any]]) -> None:
    """Print what `review_report` found, with the best examples of each set."""
    if not sets:
        print("no match")
        return
    width = max(len(one["key"]) for one in sets)
    print(f"{'':<{width}}  {'matches':>8}  {'documents':>9}  {'questions':>9}  mean score  perfect")
    for one in sets:
        print(
            f"{one['key']:<{width}}  {one['matches']:>8,}  {one['documents']:>9,}  "
            f"{one['questions']:>9,}  {one['mean_score']:>10.3f}  {one['perfect']:>7,}"
        )
    for one in sets:
        for match in one["top"]:
            place = f"{match['training_file']}:{match['training_line']}"
            print(f"\n{one['key']}  score {match['contamination_score']:.3f}  {place}")
            for name, key in (
                ("question", "eval_question_text"),
                ("text", "training_overlap_text"),
            ):
                if text := match.get(key):
                    print(f"  {name:<8}  {' '.join(str(text).split())[:_SHOWN]}")
