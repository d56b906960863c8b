"""The wheel works where there is no checkout: its config tree lies inside."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.system  # building it fetches the build backend


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    build = ["pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run([sys.executable, "-m", *build], check=True)
    (wheel,) = folder.glob("olmoflow-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_every_config_file_is_inside(unpacked):
    for tree in ("conf", "experiments"):
        ours = {p.relative_to(ROOT) for p in (ROOT / tree).rglob("*.yaml")}
        inside = {p.relative_to(unpacked / "olmoflow") for p in unpacked.rglob(f"{tree}/**/*.yaml")}
        assert ours == inside


def test_commands_compose_from_it(unpacked, tmp_path):
    code = (
        "import olmoflow.commands.main as m, sys; "
        "assert m.__file__.startswith(sys.argv.pop(1)), m.__file__; sys.exit(m.main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(unpacked), "train", "--cfg", "job"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(unpacked)},
    )
    assert done.returncode == 0, done.stderr
    assert "_target_: olmoflow.model" in done.stdout
