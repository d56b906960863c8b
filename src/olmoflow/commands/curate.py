"""``olmoflow curate``: documents from a source into a corpus."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from olmoflow.artifact import Input, claim, resolve
from olmoflow.environment import installed_packages
from olmoflow.errors import UserError


def run(config: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Curate; see ``conf/curate.yaml`` for the settings."""
    name = config["pipeline"]["name"]
    if name not in PIPELINES:
        raise UserError(f"pipeline.name={name}: expected one of {', '.join(PIPELINES)}")
    origin, work_on = PIPELINES[name]
    source = origin(config)
    with claim(
        "corpus",
        command="curate",
        config={**config, "source": None},
        inputs=[source],
        name=config["name"],
    ) as work:
        if work.finished is None:
            work.finish(work_on(config, source, work.path))
    assert work.finished is not None
    return {
        "corpus": work.finished.name,
        "path": str(work.path),
        **work.finished.figures,
    }


def report(result: Mapping[str, Any]) -> None:
    """Say what was gathered."""
    splits = ", ".join(
        f"{split} {count:,} documents {result['bytes'][split] / 1e6:,.1f} MB"
        for split, count in sorted(result["documents"].items(), reverse=True)
    )
    print(f"corpus {result['corpus']}: {splits}")


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
        max_error_rate=float(settings["max_error_rate"]),
        seed=int(settings["seed"]),
    )
    return {"documents": found.documents, "bytes": found.bytes, "malformed": found.malformed}


PIPELINES: dict[
    str,
    tuple[
        Callable[[Mapping[str, Any]], Input],
        Callable[[Mapping[str, Any], Input, Path], dict[str, Any]],
    ],
] = {
    "installed_text": (_python_environment, _installed_text),
    "documents": (_own_documents, _documents),
}


@contextmanager
def progress_bar(what: str, shown: bool) -> Any:
    """A bar on standard error; yields a callback (done, total)."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(bar_width=24), TextColumn("{task.percentage:.0f} %"))
    bar = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), disable=not shown)
    with bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
