"""Removes what can be made again: `./just clean`, `./just clean environment`.

    clean.py caches        compiled files, caches of the tools, build outputs
    clean.py environment   these, and the environments that ./just setup, bench-peers and vllm made

Results stay in either case: artifacts/, the folders of runs and of W&B. So does an environment that
lies outside the checkout (`./just setup here=yes`).
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENTS = (
    *(".environment", ".environment.lock", ".venv", ".conda"),
    *(".peers", ".vllm", ".vllm.lock"),
)
CACHES = (".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", "build", "dist")
# By name, wherever they lie outside the environments.
NAMES = ("__pycache__",)
SUFFIXES = (".egg-info",)
# Never searched: not ours to clean, or large and without anything of the kind.
CLOSED = {".git", "artifacts", "wandb", *ENVIRONMENTS}


def main(arguments: Sequence[str]) -> int:
    """Remove what the argument names; returns the exit status."""
    what = arguments[0] if arguments else "caches"
    if len(arguments) > 1 or what not in ("caches", "environment"):
        print(f"clean: {' '.join(arguments)}: expected caches or environment", file=sys.stderr)
        return 2
    removed = [path for path in found(what) if remove(path)]
    for path in removed:
        print(f"clean: removed {path.relative_to(ROOT)}", file=sys.stderr)
    if not removed:
        print("clean: nothing to remove", file=sys.stderr)
    return 0


def found(what: str) -> Iterator[Path]:
    """Everything that is to go."""
    # The record first: cut short, the rest of an environment is not taken for a whole one.
    yield from (ROOT / name for name in (ENVIRONMENTS if what == "environment" else ()))
    yield from (ROOT / name for name in CACHES)
    for folder, inner, _ in os.walk(ROOT):
        here = Path(folder)
        if here == ROOT:
            inner[:] = [name for name in inner if name not in CLOSED]
        for name in [n for n in inner if n in NAMES or n.endswith(SUFFIXES)]:
            inner.remove(name)
            yield here / name


def remove(path: Path) -> bool:
    """Remove a file or folder; whether there was one. A link goes, not what it leads to."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)
    else:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
