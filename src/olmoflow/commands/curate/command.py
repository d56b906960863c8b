"""``olmoflow curate``: documents from a source into a corpus."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from olmoflow.artifact import Input, claim, resolve
from olmoflow.commands.command_line.progress import progress_bar
from olmoflow.commands.curate.pipeline import (
    make_pipeline,
    run_steps,
    sources_of,
    steps_and_files,
    write_converted,
)
from olmoflow.commands.curate.questions import (
    describe,
    print_review,
    print_steps,
    review_report,
)
from olmoflow.environment import installed_packages
from olmoflow.errors import UserError


def run(config: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Curate; see ``conf/curate.yaml`` for the settings."""
    name = config["pipeline"]["name"]
    if config["describe"] is not None:
        return describe(str(config["describe"]))
    if config["review"] is not None:
        return review_report(str(config["review"]))
    if config["convert"] is not None:
        return write_converted(config)
    if "steps" in config["pipeline"]:
        inputs, work_on = _steps(config)
    elif name in PIPELINES:
        _check_source(config)
        origin, gather = PIPELINES[name]
        source = origin(config)
        inputs, work_on = [source], lambda folder: gather(config, source, folder)
    else:
        other = config["pipeline"].get("command", "curate")
        hint = f" (this one belongs to olmoflow {other})" if other != "curate" else ""
        raise UserError(
            f"pipeline.name={name}: expected {', '.join(PIPELINES)}, or a pipeline with steps{hint}"
        )
    with claim(
        "corpus",
        command="curate",
        # Who works, and where the sources lie, changes nothing about the corpus.
        config={k: v for k, v in config.items() if k not in _NOT_IN_KEY} | {"source": None},
        inputs=inputs,
        name=config["name"],
    ) as work:
        if work.finished is None:
            work.finish(work_on(work.path))
    assert work.finished is not None
    return {
        "corpus": work.finished.name,
        "path": str(work.path),
        **work.finished.figures,
    }


_NOT_IN_KEY = ("runner", "convert", "datamap", "describe", "review")
Work = Callable[[Path], dict[str, Any]]


def _steps(config: Mapping[str, Any]) -> tuple[list[Input], Work]:
    """A pipeline of steps: everything is checked before anything is read or claimed."""
    inputs, locations = sources_of(config)
    nodes, files = steps_and_files(config)
    pipeline = make_pipeline(config, nodes, locations)
    return [*inputs, *files], lambda folder: run_steps(config, pipeline, folder)


def report(result: Mapping[str, Any]) -> None:
    """Say what was gathered, or what was asked for."""
    if "described" in result:
        print_steps(result["described"])
        return
    if "reviewed" in result:
        print_review(result["reviewed"])
        return
    if "steps" in result and "path" in result and "corpus" not in result:
        print(f"{result['path']}: {result['steps']} steps")
        return
    if "written" in result:
        _report_conversations(result)
        return
    steps = result.get("steps", {})
    width = max((len(label) for label in steps), default=0)
    for label, step in steps.items():
        print(
            f"{label:<{width}}  {step['documents_out']:>12,} documents"
            f"  {step['bytes_out'] / 1e6:>10,.1f} MB  {step['seconds']:>8,.1f} s"
        )
    splits = ", ".join(
        f"{split} {count:,} documents {result['bytes'][split] / 1e6:,.1f} MB"
        for split, count in sorted(result["documents"].items(), reverse=True)
    )
    print(f"corpus {result['corpus']}: {splits}")
    if result.get("malformed"):
        where = "errors" if steps else "errors.jsonl"
        print(f"malformed, set apart: {result['malformed']:,}; why: {result['path']}/{where}")
    if result.get("duplicate_ids"):
        print(f"ids that were taken: {result['duplicate_ids']:,}, made unique by #2, #3 …")
    if steps:
        print(f"what each step removed and why: {result['path']}/report.html")


def _report_conversations(result: Mapping[str, Any]) -> None:
    sources = ", ".join(f"{name} {count:,}" for name, count in result["sources"].items())
    print(f"corpus {result['corpus']}: {result['written']:,} conversations: {sources}")
    reasons = {
        "held_out": "held out for evaluation",
        "repeated": "questions that came before",
        "unanswered": "without an answer",
    }
    for reason, words in reasons.items():
        if result[reason]:
            counts = ", ".join(f"{name} {count:,}" for name, count in result[reason].items())
            print(f"left out, {words}: {counts}")


def _check_source(config: Mapping[str, Any]) -> None:
    """Refuse documents that nobody would read: without ``pipeline=``, the default gathers its own.

    Raises:
        UserError: A source is given to a pipeline that has its own, or a datamap to any of these.
    """
    name = config["pipeline"]["name"]
    if config["source"] is not None and name != "documents":
        raise UserError(
            f"source={config['source']}: pipeline={name} makes its own documents and reads no "
            "source; expected pipeline=documents, or a pipeline of steps"
        )
    if config["datamap"] is not None:
        raise UserError(f"datamap={config['datamap']}: expected pipeline=datamap with it")


def _python_environment(config: Mapping[str, Any]) -> Input:
    import hashlib

    packages = "\n".join([sys.version, *installed_packages()])
    key = hashlib.sha256(packages.encode()).hexdigest()[:12]
    return Input("source", "external", "python-environment", key, Path(sys.prefix))


def _installed_text(config: Mapping[str, Any], source: Input, folder: Path) -> dict[str, Any]:
    from olmoflow.curate.installed_text import gather_installed_text

    settings = config["pipeline"]
    budget = settings["max_bytes"]
    with progress_bar("gather", config["runtime"]["progress"]) as advance:
        found = gather_installed_text(
            folder,
            max_bytes=None if budget is None else int(float(budget)),
            max_bytes_of={
                source: int(float(limit))
                for source, limit in settings["max_bytes_of"].items()
                if limit is not None
            },
            heldout_fraction=float(settings["heldout_fraction"]),
            seed=int(settings["seed"]),
            docstrings_as=str(settings["docstrings_as"]),
            progress=advance,
        )
    return {
        "documents": found.documents,
        "bytes": found.bytes,
        "sources": found.sources,
        "packages": found.packages,
        "left_out": found.left_out,
    }


def _reasoning_gym(config: Mapping[str, Any]) -> Input:
    from importlib.metadata import PackageNotFoundError, version

    from olmoflow.puzzles import PACKAGE

    try:
        known = version(PACKAGE)
    except PackageNotFoundError:
        raise UserError(
            f"{PACKAGE} is not installed; expected `pip install 'olmoflow[evaluate]'`"
        ) from None
    return Input("source", "external", PACKAGE, known, Path(PACKAGE))


def _verifiable_conversations(
    config: Mapping[str, Any], source: Input, folder: Path
) -> dict[str, Any]:
    from olmoflow.curate.verifiable_conversations import Stretch, write_verifiable_conversations

    settings = config["pipeline"]
    found = write_verifiable_conversations(
        folder,
        _kinds(settings["puzzles"]),
        Stretch(int(settings["seed"]), int(settings["size"])),
        held_out=[Stretch(int(h["seed"]), int(h["size"])) for h in settings["held_out"]],
        form=str(settings["form"]),
    )
    return asdict(found)


def _kinds(given: Any) -> dict[str, Mapping[str, Any]]:
    """Kinds of puzzles with their settings.

    Raises:
        UserError: One has no name, or comes twice.
    """
    kinds: dict[str, Mapping[str, Any]] = {}
    for place, each in enumerate(given if isinstance(given, list) else [given]):
        settings = dict(each) if isinstance(each, Mapping) else {"kind": each}
        name = settings.pop("kind", None)
        if not isinstance(name, str) or name in kinds:
            raise UserError(
                f"pipeline.puzzles[{place}]={each}: expected a name of reasoning-gym's, once, or "
                "{kind: NAME, and its settings}"
            )
        kinds[name] = settings
    return kinds


def _own_documents(config: Mapping[str, Any]) -> Input:
    if config["source"] is None:
        raise UserError("source: missing; pipeline=documents needs source=PATH")
    return resolve(config["source"], "source", ["corpus"])


def _documents(config: Mapping[str, Any], source: Input, folder: Path) -> dict[str, Any]:
    from olmoflow.curate.split import split_documents

    settings = config["pipeline"]
    found = split_documents(
        source.path,
        folder,
        heldout_fraction=float(settings["heldout_fraction"]),
        max_document_bytes=int(float(settings["max_document_bytes"])),
        max_error_rate=float(settings["max_error_rate"]),
        seed=int(settings["seed"]),
    )
    return asdict(found)


PIPELINES: dict[
    str,
    tuple[
        Callable[[Mapping[str, Any]], Input],
        Callable[[Mapping[str, Any], Input, Path], dict[str, Any]],
    ],
] = {
    "installed_text": (_python_environment, _installed_text),
    "documents": (_own_documents, _documents),
    "verifiable_conversations": (_reasoning_gym, _verifiable_conversations),
}
