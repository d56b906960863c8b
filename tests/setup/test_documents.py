"""What the documents for developers name exists: files, rooms, recipes."""

import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "olmoflow"
DOCUMENTS = ["docs/architecture.md", "CONTRIBUTING.md", "README.md"]
# Said in order not to have them; made by commands; placeholders in capitals are left out below.
NOT_FILES = {"utils.py", "helpers.py", "common.py", "base.py"}
MADE = {"provenance.json", "config.yaml", "job.json", "metrics.csv"}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_named_files_exist(document):
    names = re.findall(r"`([\w./-]+\.(?:py|yaml|yml|md|txt|toml))`", (ROOT / document).read_text())
    names = [n for n in names if not re.search(r"\b[A-Z]{3,}\b(?!\.md)", n)]
    lost = [
        name
        for name in sorted(set(names) - NOT_FILES - MADE)
        if not any((base / name).exists() for base in (ROOT, SOURCE, ROOT / "benchmarks"))
        and not list(SOURCE.rglob(name))
    ]
    assert not lost, f"{document} names files that are not there: {lost}"


def test_architecture_lists_the_rooms_that_exist():
    rows = re.findall(r"^\| (\d) \| (.+?) \|", (ROOT / "docs/architecture.md").read_text(), re.M)
    listed = {name.rstrip("/") for _, names in rows for name in re.findall(r"`(.+?)`", names)}
    there = {p.parent.name for p in SOURCE.glob("*/__init__.py")}
    there |= {p.stem for p in SOURCE.glob("*.py") if not p.stem.startswith("__")}
    assert listed == there


def recipes():
    """The recipes of the justfile, each with the comment above it."""
    lines = (ROOT / "justfile").read_text().splitlines()
    for index, line in enumerate(lines):
        if match := re.match(r"([a-z-]+)(?: [*a-z=\"]+)*:$", line):
            above = next(text for text in lines[index - 1 :: -1] if not text.startswith("["))
            yield match[1], above


def test_every_recipe_is_explained_in_a_line():
    found = dict(recipes())
    assert {"setup", "demo", "test", "test-system", "test-gpu", "lint", "bench"} <= set(found)
    found.pop("default")
    assert not [name for name, above in found.items() if not above.startswith("# ")]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_named_recipes_exist(document):
    named = set(re.findall(r"\./just ([a-z][a-z-]*)", (ROOT / document).read_text()))
    assert named <= {name for name, _ in recipes()}


@pytest.mark.parametrize("script", ["just", "setup/python", ".ci/run"])
def test_scripts_are_executable(script):
    assert os.access(ROOT / script, os.X_OK)
