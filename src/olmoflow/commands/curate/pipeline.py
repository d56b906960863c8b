"""The pipelines of ``olmoflow curate`` that are made of steps: config to engine to figures."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from olmoflow import __version__
from olmoflow.artifact import Input, resolve
from olmoflow.commands.command_line.progress import progress_of_steps
from olmoflow.errors import UserError

# What a pipeline of steps has beside them; the rest of its keys are its own, for its steps.
_ENGINE_KEYS = ("read", "heldout_fraction", "seed", "max_error_rate", "bytes_per_token")


def sources_of(config: Mapping[str, Any]) -> tuple[list[Input], list[str]]:
    """The sources as inputs, and as the locations that the engine reads.

    Raises:
        UserError: None is given, or one is not there.
    """
    from olmoflow.curate.sources.location import files_at, is_remote, marks

    given = config["source"]
    if given is None or given == []:
        name = config["pipeline"]["name"]
        raise UserError(f"source: missing; pipeline={name} needs source=PATH or source=[…]")
    references = list(given) if isinstance(given, list | tuple) else [given]
    inputs, locations = [], []
    for number, reference in enumerate(references):
        role = "source" if len(references) == 1 else f"source[{number}]"
        if isinstance(reference, str) and is_remote(reference):
            key = marks(files_at(reference))
            inputs.append(Input(role, "external", reference, key, Path(reference)))
            locations.append(reference)
            continue
        found = resolve(reference, role, ["corpus"])
        inputs.append(found)
        locations += _folders(found)
    return inputs, locations


def _folders(source: Input) -> list[str]:
    """A corpus is read by its splits: beside them lie files that are no documents."""
    splits = [source.path / name for name in ("train", "heldout")]
    there = [str(path) for path in splits if path.is_dir()]
    return there if source.kind == "corpus" and there else [str(source.path)]


def steps_and_files(config: Mapping[str, Any]) -> tuple[list[Any], list[Input]]:
    """The steps of a pipeline, and the files that they name as inputs.

    Raises:
        UserError: A file is missing, or what it says is no pipeline.
    """
    settings = config["pipeline"]
    for key in settings.get("needs", []):
        if settings[key] is None:
            raise UserError(
                f"pipeline.{key}: missing; pipeline={settings['name']} needs pipeline.{key}=…"
            )
    nodes = settings["steps"]
    if config.get("datamap") is not None:
        if settings["name"] != "datamap":
            raise UserError(f"datamap={config['datamap']}: expected pipeline=datamap with it")
        from olmoflow.curate.datamap import convert_file

        nodes = convert_file(Path(config["datamap"]), settings["files"])
    elif settings["name"] == "datamap":
        raise UserError("datamap: missing; pipeline=datamap needs datamap=FILE.yaml")
    inputs = []
    if config.get("datamap") is not None:
        inputs.append(resolve(config["datamap"], "datamap", []))
    for number, node in enumerate(nodes if isinstance(nodes, list) else []):
        inputs += files_in(node, f"steps[{number}]") if isinstance(node, Mapping) else []
    return nodes, inputs


def files_in(value: Any, key: str) -> list[Input]:
    """The files that a step names, in the steps within it as well."""
    if isinstance(value, Mapping):
        return [file for k, v in value.items() for file in files_in(v, f"{key}.{k}")]
    if isinstance(value, list):
        return [file for each in value for file in files_in(each, key)]
    there = isinstance(value, str) and not key.endswith(".name") and _is_file(value)
    return [resolve(value, key, [])] if there else []


def _is_file(value: str) -> bool:
    try:
        return Path(value).is_file()
    except OSError:  # too long for a path
        return False


def write_converted(config: Mapping[str, Any]) -> dict[str, Any]:
    """Write a pipeline of datamap-rs in our form."""
    from olmoflow.curate.datamap import to_yaml

    if config["datamap"] is None:
        raise UserError("convert: expected pipeline=datamap datamap=FILE.yaml, which it converts")
    nodes, _ = steps_and_files(config)
    path = Path(config["convert"])
    path.write_text(to_yaml(nodes, path.stem))
    return {"path": str(path), "steps": len(nodes)}


def make_pipeline(config: Mapping[str, Any], nodes: list[Any], locations: list[str]) -> Any:
    """The engine's pipeline, every step checked.

    Raises:
        UserError: It names the key that is wrong.
    """
    from olmoflow.curate.pipeline.engine import Pipeline
    from olmoflow.curate.pipeline.plan import steps_of
    from olmoflow.curate.sources.reading import Reading

    settings = config["pipeline"]
    read = {**settings["read"]}
    read["max_document_bytes"] = int(float(read["max_document_bytes"]))
    reading = Reading(**read)
    if reading.pdf == "olmocr":
        from olmoflow.curate.sources.pdf import check_olmocr

        check_olmocr()
    return Pipeline(
        tuple(steps_of(nodes)),
        tuple(locations),
        reading,
        heldout_fraction=float(settings["heldout_fraction"]),
        seed=int(settings["seed"]),
        max_error_rate=float(settings["max_error_rate"]),
        bytes_per_token=float(settings["bytes_per_token"]),
    )


def run_steps(config: Mapping[str, Any], pipeline: Any, folder: Path) -> dict[str, Any]:
    """Run the engine, leave its report in the folder as JSON and HTML, and return the figures."""
    from olmoflow.curate.pipeline.engine import run_pipeline
    from olmoflow.curate.pipeline.output import step_figures
    from olmoflow.curate.pipeline.report_data import report_data
    from olmoflow.curate.report.data import parse
    from olmoflow.curate.report.page import write_page

    runtime = config["runtime"]
    if config["runner"] not in ("native", "ray"):
        raise UserError(f"runner={config['runner']}: expected native or ray")
    with progress_of_steps(runtime["progress"]) as progress:
        result = run_pipeline(
            pipeline,
            folder,
            runner=config["runner"],
            workers=runtime["workers"],
            address=runtime["ray_address"],
            progress=progress,
        )
    rate = pipeline.bytes_per_token
    data = report_data(
        result,
        rate,
        title=f"{config['pipeline']['name']}: {config['name'] or folder.name}",
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        facts={
            "OlmoFlow": __version__,
            "Sources": ", ".join(pipeline.sources),
            "Runner": config["runner"],
            "Seconds": f"{result.seconds:,.1f}",
            "Tokens": f"estimated, {rate:g} bytes each",
            **({"Malformed": f"{result.errors:,}, see errors/"} if result.errors else {}),
            **({"Ids renamed": f"{result.duplicate_ids:,}"} if result.duplicate_ids else {}),
        },
        settings=json.dumps(config["pipeline"], indent=1, ensure_ascii=False, default=str),
    )
    text = json.dumps(data, ensure_ascii=False, indent=1)
    (folder / "report.json").write_text(text + "\n")
    write_page(parse(data), folder / "report.html")
    return {
        "documents": result.documents,
        "bytes": result.bytes,
        "malformed": result.errors,
        "duplicate_ids": result.duplicate_ids,
        "steps": {a.label: step_figures(a, rate) for a in result.accounts},
        **({"stages": result.figures} if result.figures else {}),
    }
