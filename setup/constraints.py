"""Writes constraints.txt from the environment that runs it, once the tests have passed in it.

    ./just freeze

Every package that the project or one of its extras needs, directly or not, is pinned to the version
that is installed here. To move to newer versions: `pip install --upgrade …` in the environment,
`./just test`, `./just freeze`.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS = ROOT / "constraints.txt"
PLATFORM = re.compile(r"nvidia-|cuda-|triton$")
HEADER = """\
# The exact set of versions that works together and that the tests ran with; pyproject.toml has the
# ranges. `./just setup` holds pip to it; by hand: pip install -c constraints.txt -e '.[dev]'
# Written by `./just freeze`.
#
# CUDA's libraries (nvidia-*, cuda-*, triton) are left out on purpose: torch's own metadata pins
# them for the platforms that have them, and another build of torch (CPU only, another CUDA, ROCm)
# brings others. Nothing else here is bound to a platform; a line whose package is not needed on
# yours constrains nothing.
"""


def main() -> int:
    """Write the file; returns the exit status."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = ",".join(project["optional-dependencies"])
    pins, missing = versions([f"{project['name']}[{extras}]"])
    pins.pop(project["name"])
    if missing:
        found = f"not installed here: {', '.join(sorted(missing))}"
        print(f"freeze: {found}; expected every extra: {extras}", file=sys.stderr)
        return 2
    # `just` may come from the system or from conda; then its pin stays as it is.
    pins |= versions(["rust-just"])[0] or pinned("rust-just")
    lines = [f"{name}=={version}\n" for name, version in sorted(pins.items())]
    CONSTRAINTS.write_text(HEADER + "".join(lines))
    print(f"constraints.txt: {len(lines)} packages", file=sys.stderr)
    return 0


def versions(roots: Iterable[str]) -> tuple[dict[str, str], set[str]]:
    """The installed version of everything that these requirements lead to, and what is absent.

    What a platform alone needs (`PLATFORM`) is left out, and so are local versions: `2.14.1+cpu`
    counts as `2.14.1`.
    """
    found: dict[str, str] = {}
    missing: set[str] = set()
    waiting = [Requirement(root) for root in roots]
    seen: set[str] = set()
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        key = f"{name}[{','.join(sorted(wanted.extras))}]"
        if key in seen or PLATFORM.match(name):
            continue
        seen.add(key)
        try:
            package = distribution(name)
        except PackageNotFoundError:
            missing.add(name)
            continue
        found[name] = package.version.partition("+")[0]
        needs = map(Requirement, package.requires or [])
        waiting += [need for need in needs if applies(need, wanted.extras)]
    return found, missing


def applies(requirement: Requirement, extras: Iterable[str]) -> bool:
    """Whether a requirement holds on this platform, given the extras that were asked for."""
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras))


def pinned(name: str) -> dict[str, str]:
    """A package's pin as constraints.txt has it."""
    lines = CONSTRAINTS.read_text().splitlines() if CONSTRAINTS.is_file() else []
    pins = dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    return {key: version for key, version in pins.items() if key == name}


if __name__ == "__main__":
    sys.exit(main())
