"""The floors of docs/architecture.md and the house rules that a reader relies on."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "olmoflow"
# A room imports only from floors below its own; a new room is given its floor here.
FLOORS = [
    {
        *("__init__", "artifact", "digests", "documents", "environment", "errors", "mesh"),
        *("compiled", "evaluation_data", "identity", "lineage", "puzzles", "series"),
    },
    {"model"},
    {"tokens", "curate"},
    {"train", "inference", "verifiers"},
    {"posttrain", "synthesize", "evaluate", "trace", "plan", "report"},
    {"commands", "web"},
    {"__main__"},
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# Tests that belong to no room.
APART = {"parity", "setup", "system", "benchmarks"}
MODULES = sorted(SOURCE.rglob("*.py"))


def room_of(path):
    return path.relative_to(SOURCE).with_suffix("").parts[0]


def imports(path):
    """Each absolute name that a module imports, anywhere in it, with its line."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = ["olmoflow", *path.relative_to(SOURCE).parent.parts]
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *filter(None, [node.module])])
            yield from ((f"{module}.{alias.name}", node.lineno) for alias in node.names)


def crossings(path):
    """The imports that lead into another room: its name, the parts of what is named, the line."""
    for name, line in imports(path):
        parts = name.split(".")
        if parts[0] == "olmoflow" and len(parts) > 1:
            room = parts[1] if parts[1] in FLOOR else "__init__"
            if room != room_of(path):
                yield room, parts[2:], line


def test_every_room_has_a_floor():
    assert {room_of(path) for path in MODULES} <= set(FLOOR)


def test_rooms_import_only_from_floors_below():
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {room_of(path)} imports {room}"
        for path in MODULES
        for room, _, line in crossings(path)
        # Floor 0 is one room in several files.
        if FLOOR[room] >= FLOOR[room_of(path)] and FLOOR[room_of(path)] > 0
    ]
    wrong += [
        f"{path.relative_to(ROOT)}:{line}: floor 0 imports {room}"
        for path in MODULES
        for room, _, line in crossings(path)
        if FLOOR[room_of(path)] == 0 and FLOOR[room] > 0
    ]
    assert not wrong, "\n".join(wrong)


def test_no_room_imports_private_names_of_another():
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {room}.{'.'.join(names)}"
        for path in MODULES
        for room, names, line in crossings(path)
        if any(name.startswith("_") and not name.startswith("__") for name in names)
    ]
    assert not wrong, "\n".join(wrong)


def test_model_can_be_lifted_out():
    """Someone takes model/ alone: neither the trainer nor the config system comes with it."""
    strangers = {"lightning", "pytorch_lightning", "hydra", "omegaconf", "litdata", "wandb"}
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in (SOURCE / "model").rglob("*.py")
        for name, line in imports(path)
        if name.split(".")[0] in strangers
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "module",
    [
        *("artifact", "commands.main", "commands.list_", "commands.flow.command"),
        *("commands.launching.launch", "commands.train.command"),
    ],
)
def test_what_waits_or_only_looks_imports_no_torch(module):
    """Help and lists come at once, and the parent of many ranks takes no memory of its own."""
    code = f"import sys, olmoflow.{module}; print({{'torch', 'lightning'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def python_files():
    for folder in ("src", "tests", "setup", "benchmarks"):
        yield from (path for path in (ROOT / folder).rglob("*.py"))


def test_files_stay_readable():
    long = {
        str(path.relative_to(ROOT)): lines
        for path in python_files()
        if (lines := len(path.read_text().splitlines())) > 500
    }
    assert not long, f"over 500 lines, asking to be two files: {long}"


def test_functions_live_with_the_thing_that_they_are_about():
    dumping_grounds = {"utils", "util", "helpers", "helper", "common", "base", "misc"}
    found = [str(path.relative_to(ROOT)) for path in python_files() if path.stem in dumping_grounds]
    assert not found, found


def test_tests_mirror_the_source():
    tested = {
        path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")
    }
    lost = [f for f in tested if f.parts[:1] and f.parts[0] not in APART]
    lost = [str(folder) for folder in lost if not (SOURCE / folder).is_dir()]
    assert not lost, f"tests/ folders without a folder of that name in src/olmoflow: {lost}"
    rooms = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    untested = rooms - {folder.parts[0] for folder in tested if folder.parts}
    assert not untested, f"rooms without tests: {sorted(untested)}"


def test_every_module_says_what_it_is_about():
    silent = [
        str(path.relative_to(ROOT))
        for path in python_files()
        if path.read_text().strip() and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert not silent, silent
