"""What ./just setup makes: the packages that it names, the places that it does and does not touch.

Conda, and pip's work in an environment, are stood in for by small scripts that record how they are
called; one test makes a real environment from nothing, offline.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
import rattler
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PLATFORM = re.compile(r"nvidia-|cuda-|triton$")

# Records its arguments, and makes what the real one would make: a Python with pip.
CONDA = """#!/bin/sh
echo "{name} $*" >>"$RECORDED"
while [ "$1" != --prefix ]; do shift; done
mkdir -p "$2/bin" "$2/conda-meta"
cp "$(dirname "$0")/recording-python" "$2/bin/python"
"""
# The Python of an environment: fits, runs our own files, and records what pip is asked to do.
PYTHON = f"""#!/bin/sh
case "$*" in
"-c "*) exit 0 ;;
"-m pip "*) echo "python $*" >>"$RECORDED" ;;
*) exec "{sys.executable}" "$@" ;;
esac
case "$*" in *rust-just) cp "$(dirname "$RECORDED")/new-just" "$(dirname "$0")/just" ;; esac
"""
JUST = """#!/bin/sh
if [ "$1" = --version ]; then echo "just {version}"; else echo "just $*" >>"$RECORDED"; fi
"""


def pins():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def pinned_versions():
    return {canonicalize_name(pin.name): next(iter(pin.specifier)).version for pin in pins()}


def all_requirements():
    extras = PROJECT["optional-dependencies"].values()
    return [Requirement(line) for line in sum(extras, PROJECT["dependencies"])]


def conda_dependencies():
    return yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]


def test_conda_supplies_python_pip_just_and_git_only():
    specs = [rattler.MatchSpec(line) for line in conda_dependencies() if isinstance(line, str)]
    assert [spec.name.normalized for spec in specs] == ["python", "pip", "just", "git"]


def test_conda_and_pip_allow_the_same_pythons():
    conda = rattler.VersionSpec(rattler.MatchSpec(conda_dependencies()[0]).version)
    pip = SpecifierSet(PROJECT["requires-python"])
    for version in [f"3.{minor}.{patch}" for minor in range(8, 17) for patch in (0, 7)]:
        assert conda.matches(rattler.Version(version)) == pip.contains(version), version


def test_pip_section_installs_the_project_held_to_the_constraints():
    *_, last = conda_dependencies()
    assert last == {"pip": ["--constraint constraints.txt", "--editable .[dev]"]}
    assert "dev" in PROJECT["optional-dependencies"]


def test_every_range_holds_the_pinned_version():
    versions = pinned_versions()
    for wanted in all_requirements():
        if wanted.name != PROJECT["name"]:
            assert wanted.specifier.contains(versions[canonicalize_name(wanted.name)]), str(wanted)


def test_malicious_releases_of_lightning_are_refused():
    wanted = next(r for r in all_requirements() if r.name == "lightning")
    assert not [v for v in ("2.6.2", "2.6.3") if wanted.specifier.contains(v)]
    assert Version(pinned_versions()["lightning"]) >= Version("2.6.4")


def test_constraints_are_exact_and_fit_every_platform():
    for pin in pins():
        (specifier,) = pin.specifier
        assert specifier.operator == "==", str(pin)
        assert not Version(specifier.version).local, str(pin)
        assert pin.url is None, str(pin)
        assert not PLATFORM.match(pin.name), str(pin)


def test_constraints_name_everything_that_gets_installed():
    """What is left open changes under our feet: follow the requirements to their ends."""
    waiting = [(PROJECT["name"], tuple(PROJECT["optional-dependencies"]))]
    seen, unpinned, known = set(waiting), set(), pinned_versions()
    while waiting:
        name, extras = waiting.pop()
        for requirement in map(Requirement, distribution(name).requires or []):
            needed, marker = canonicalize_name(requirement.name), requirement.marker
            wanted = not marker or any(marker.evaluate({"extra": e}) for e in ("", *extras))
            entry = (needed, tuple(sorted(requirement.extras)))
            if not wanted or entry in seen or PLATFORM.match(needed):
                continue
            seen.add(entry)
            unpinned |= {needed} - set(known) - {PROJECT["name"]}
            # Optional extras need not be installed for the tests; their pins are looked at above.
            if needed not in unpinned and installed(needed):
                waiting.append(entry)
    assert not unpinned


def installed(name):
    try:
        return bool(distribution(name))
    except ModuleNotFoundError:
        return False


@pytest.fixture
def checkout(tmp_path):
    """The files that set-up needs, in a checkout of their own whose project needs nothing."""
    root = tmp_path / "check out"  # a space in the path, as people have
    left_out = shutil.ignore_patterns("__pycache__", "data-packages.txt")
    shutil.copytree(ROOT / "setup", root / "setup", ignore=left_out)
    for name in ("just", "justfile", "environment.yml", "constraints.txt"):
        shutil.copy(ROOT / name, root / name)
    (root / "pyproject.toml").write_text(
        "[project]\nname = 'olmoflow'\nversion = '0'\noptional-dependencies.dev = []\n"
        "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"
    )
    (root / "backend.py").write_text(BACKEND)
    for proof in ("lightning", "litdata", "torchvision"):
        (root / f"{proof}.py").touch()
    return root


BACKEND = """
import zipfile

def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    info, name = "olmoflow-0.dist-info", "olmoflow-0-py3-none-any.whl"
    with zipfile.ZipFile(f"{wheel_directory}/{name}", "w") as wheel:
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: olmoflow\\nVersion: 0\\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", "")
        wheel.writestr("olmoflow_is_here.py", "")
    return name
"""


@pytest.fixture
def tools(tmp_path):
    """A folder of programs that stands for PATH: a Python, and the system's own tools."""
    folder = tmp_path / "tools"
    folder.mkdir()
    (folder / "python3").symlink_to(sys._base_executable)
    for tool in ("sh", "dirname", "cat", "cp", "mkdir", "git", "env"):
        (folder / tool).symlink_to(shutil.which(tool))
    return folder


@pytest.fixture
def venv(checkout):
    """A `.venv` that is there before set-up starts."""
    program(checkout / ".venv" / "bin", "python", PYTHON)
    return checkout / ".venv"


def program(folder, name, text):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)
    return path


def call(checkout, tools, *command, **environment):
    outside = ("VIRTUAL_ENV", "CONDA_PREFIX", "OLMOFLOW_PYTHON", "OLMOFLOW_TORCH")
    inherited = {key: value for key, value in os.environ.items() if key not in outside}
    return subprocess.run(
        command,
        cwd=checkout,
        capture_output=True,
        text=True,
        env={
            **inherited,
            "PATH": str(tools),
            "PIP_NO_INDEX": "1",
            "RECORDED": str(tools / "recorded"),
            **environment,
        },
    )


def setup(checkout, tools, *options, **environment):
    command = ("setup/python", "--any", "setup/environment.py", *(options or ["make"]))
    return call(checkout, tools, *command, **environment)


def recorded(tools):
    file = tools / "recorded"
    return file.read_text().splitlines() if file.exists() else []


def files_of(folder):
    return {p: p.stat().st_mtime_ns for p in folder.rglob("*") if "__pycache__" not in p.parts}


def test_without_conda_a_venv_is_made_once_and_recipes_run_in_it(checkout, tools):
    made = setup(checkout, tools)
    assert made.returncode == 0, made.stderr
    assert ".venv is ready" in made.stderr
    assert list((checkout / ".venv").rglob("olmoflow_is_here.*.pyc"))
    again = setup(checkout, tools)
    assert again.stderr == "setup: .venv is up to date\n"
    inside = call(checkout, tools, "setup/python", "-c", "import sys; print(sys.prefix)")
    assert inside.stdout.strip() == str(checkout / ".venv")
    assert inside.stderr == ""


def test_a_changed_pyproject_brings_the_environment_up_to_date(checkout, tools, venv):
    setup(checkout, tools)
    assert len(recorded(tools)) == 1
    with (checkout / "pyproject.toml").open("a") as file:
        file.write("# another range\n")
    inside = call(checkout, tools, "setup/python", "setup/clean.py", "what")
    assert inside.stderr.endswith("clean: what: expected caches or environment\n")
    assert len(recorded(tools)) == 2


def test_another_build_of_torch_replaces_the_first(checkout, tools, venv):
    """pip counts 2.14.1 and 2.14.1+cpu as the same and would keep what it has."""
    setup(checkout, tools)
    assert setup(checkout, tools, "make", "torch=cpu").returncode == 0
    actions = [line.split()[3] for line in recorded(tools)]
    assert actions == ["install", "uninstall", "install"]
    assert setup(checkout, tools).stderr == "setup: .venv is up to date\n"


def test_missing_constraints_leave_the_versions_to_pip(checkout, tools, venv):
    (checkout / "constraints.txt").unlink()
    assert setup(checkout, tools).returncode == 0
    assert "--constraint" not in recorded(tools)[0]


def test_evaluation_data_come_pinned_and_without_what_they_require(checkout, tools, venv):
    packages = checkout / "setup" / "data-packages.txt"
    shutil.copy(ROOT / "setup" / "data-packages.txt", packages)
    lines = [line for line in packages.read_text().splitlines() if not line.startswith("#")]
    for wanted in map(Requirement, lines):
        assert [specifier.operator for specifier in wanted.specifier] == ["=="], str(wanted)
        assert wanted.specifier.contains(distribution(wanted.name).version), str(wanted)
    assert setup(checkout, tools).returncode == 0
    project, data = recorded(tools)
    assert project.endswith("--editable .[dev]")
    assert data.endswith(f"--no-deps --requirement {packages}")
    packages.write_text("another-one==1\n")
    setup(checkout, tools)
    assert len(recorded(tools)) == 4


@pytest.mark.parametrize("name", ["conda", "mamba", "micromamba"])
def test_with_conda_a_new_environment_is_made_from_environment_yml(checkout, tools, name):
    program(tools, name, CONDA.format(name=name))
    program(tools, "recording-python", PYTHON)
    made = setup(checkout, tools)
    assert made.returncode == 0, made.stderr
    create, install = recorded(tools)
    specs = " ".join(line for line in conda_dependencies() if isinstance(line, str))
    assert create == (
        f"{name} create --yes --prefix {checkout}/.conda --override-channels "
        f"--channel conda-forge {specs}"
    )
    assert install.startswith("python -m pip install ")
    assert install.endswith(f"--constraint {checkout}/constraints.txt --editable .[dev]")
    assert not (checkout / ".venv").exists()


def test_conda_can_be_declined_and_that_is_remembered(checkout, tools, venv):
    program(tools, "conda", CONDA.format(name="conda"))
    assert setup(checkout, tools, "make", "conda=no").returncode == 0
    assert setup(checkout, tools).stderr == "setup: .venv is up to date\n"
    assert not (checkout / ".conda").exists()


def test_an_active_environment_is_left_alone_unless_named(checkout, tools, venv, tmp_path):
    active = tmp_path / "active"
    program(active / "bin", "python", PYTHON)
    before = files_of(active)
    outside = {"VIRTUAL_ENV": str(active), "CONDA_PREFIX": str(active)}
    assert setup(checkout, tools, **outside).returncode == 0
    assert (checkout / ".environment").read_text().startswith(".venv\n")
    assert files_of(active) == before
    assert setup(checkout, tools, "make", "here=yes", **outside).returncode == 0
    assert (checkout / ".environment").read_text().startswith(f"{active}\n")


def test_a_venv_of_the_users_own_is_left_alone_while_it_is_active(checkout, tools, venv):
    made = setup(checkout, tools, VIRTUAL_ENV=str(venv))
    assert made.returncode == 2
    assert made.stderr.startswith("setup: .venv is active and was not made by ./just setup;")
    assert recorded(tools) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["make", "conda=yes"], "conda=yes: no micromamba, mamba or conda on PATH"),
        (["make", "here=yes"], "here=yes: no environment is active"),
        (["make", "torch=gpu"], "torch=gpu: expected torch=default|cpu, conda=yes|no"),
        (["build"], "build: expected make, ready or just"),
    ],
)
def test_mistakes_are_told_in_one_line(checkout, tools, options, message):
    done = setup(checkout, tools, *options)
    assert done.returncode == 2
    assert done.stderr.startswith(f"setup: {message}")
    assert done.stderr.count("\n") == 1
    assert not (checkout / ".venv").exists()


def test_an_unfit_python_is_named(checkout, tools):
    program(tools, "python3.10", "#!/bin/sh\nexit 1\n")
    done = setup(checkout, tools, OLMOFLOW_PYTHON=str(tools / "python3.10"))
    assert done.returncode == 2
    assert "python3.10 is not Python 3.11, 3.12 or 3.13" in done.stderr


def test_the_wrapper_takes_a_just_that_is_there(checkout, tools):
    program(tools, "just", JUST.format(version="1.40.0"))
    done = call(checkout, tools, str(checkout / "just"), "test", "-k", "a b")
    assert done.returncode == 0, done.stderr
    options = f"--justfile {checkout}/justfile --working-directory {checkout}"
    assert recorded(tools) == [f"just {options} test -k a b"]
    assert not (checkout / ".venv").exists()


def test_the_wrapper_puts_a_just_into_the_environment_where_none_fits(checkout, tools, venv):
    program(tools, "just", JUST.format(version="1.20.0"))  # too old
    program(tools, "new-just", JUST.format(version="1.59.0"))
    done = call(checkout, tools, str(checkout / "just"), "test")
    assert done.returncode == 0, done.stderr
    install, run = recorded(tools)
    assert install.endswith("rust-just")
    assert run.endswith(f"--working-directory {checkout} test")
    assert (venv / "bin" / "just").is_file()


def test_the_wrapper_puts_just_where_setup_is_told_to_go(checkout, tools, venv):
    program(tools, "new-just", JUST.format(version="1.59.0"))
    program(tools, "conda", CONDA.format(name="conda"))
    done = call(checkout, tools, str(checkout / "just"), "setup", "conda=no")
    assert done.returncode == 0, done.stderr
    assert (venv / "bin" / "just").is_file()
    assert not (checkout / ".conda").exists()


def test_clean_removes_what_can_be_made_again_and_nothing_else(checkout, tools, venv):
    setup(checkout, tools)
    kept = checkout / "artifacts" / "corpus" / "__pycache__"
    for folder in (kept, checkout / "src" / "__pycache__", checkout / ".ruff_cache"):
        folder.mkdir(parents=True)
    clean = ("setup/python", "--any", "setup/clean.py")
    assert call(checkout, tools, *clean).returncode == 0
    assert not (checkout / "src" / "__pycache__").exists()
    assert not (checkout / ".ruff_cache").exists()
    assert (checkout / ".venv").exists()
    assert call(checkout, tools, *clean, "environment").returncode == 0
    assert not (checkout / ".venv").exists()
    assert not (checkout / ".environment").exists()
    assert kept.exists()
    wrong = call(checkout, tools, *clean, "everything")
    assert wrong.stderr == "clean: everything: expected caches or environment\n"
    assert wrong.returncode == 2
