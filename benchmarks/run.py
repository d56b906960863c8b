"""Runs one benchmark, prints its table and writes it to ``benchmarks/results/NAME.json``.

    python benchmarks/run.py train

A benchmark is a file beside this one, or a package of several cases, with ``run() -> list of
rows``; a row compares ours with one peer in one interleaved run. A ratio above 1 means that ours is
better, for speed and for memory. ``LIMITS``, where a benchmark has it, says what the figures may
not fall below.
"""

from __future__ import annotations

import sys

# Behind the standard library: a benchmark here is called like its module `tokenize`.
sys.path.sort(key=lambda path: path == __file__.rpartition("/")[0])

import datetime
import importlib.util
import json
import os
import platform
from pathlib import Path
from types import ModuleType
from typing import Any

from rich.console import Console
from rich.table import Table

from olmoflow.environment import environment_record

HERE = Path(__file__).parent
COLUMNS = ("case", "metric", "ours", "peer", "peer_name", "unit", "ratio", "ratio_min", "ratio_max")


def main() -> int:
    """Run the benchmark that the command line names."""
    files = [*HERE.glob("*.py"), *(p.parent for p in HERE.glob("*/__init__.py"))]
    names = sorted(p.stem for p in files if p.stem not in ("run", "comparison"))
    if len(sys.argv) != 2 or sys.argv[1] not in names:
        print(f"usage: run.py {{{','.join(names)}}}", file=sys.stderr)
        return 2
    name = sys.argv[1]
    module = _load(name)
    rows: list[dict[str, Any]] = module.run()
    record = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine(),
        "versions": environment_record()["versions"] | getattr(module, "VERSIONS", {}),
        "rows": rows,
        "limits": getattr(module, "LIMITS", {}),
    }
    target = HERE / "results" / f"{name}.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(record, indent=2) + "\n")
    print_table(rows)
    return 0


def print_table(rows: list[dict[str, Any]]) -> None:
    """The rows as people read them."""
    table = Table(box=None, header_style="bold")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in ("case", "peer_name") else "right")
    for row in rows:
        table.add_row(*(_text(row.get(column)) for column in COLUMNS))
    # A file has no width of its own.
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def machine() -> dict[str, Any]:
    """Processor, cores and memory."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = [s for s in cpuinfo.read_text().splitlines() if s.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"processor": model, "cores": os.cpu_count(), "memory_gib": round(memory / 2**30, 1)}


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return "" if value is None else str(value)


def _load(name: str) -> ModuleType:
    sys.path.append(str(HERE))
    file = HERE / f"{name}.py"
    file = file if file.is_file() else HERE / name / "__init__.py"
    specification = importlib.util.spec_from_file_location(name, file)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    if specification.submodule_search_locations:  # a package, whose files import each other
        sys.modules[name] = module
    specification.loader.exec_module(module)
    return module


if __name__ == "__main__":
    raise SystemExit(main())
