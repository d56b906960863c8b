"""What the machine gives is found by trying, and nothing runs without isolation unasked."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from olmoflow.errors import UserError
from olmoflow.verifiers.sandbox import isolation
from olmoflow.verifiers.sandbox.outcome import Limits
from olmoflow.verifiers.sandbox.runner import Sandbox


def test_auto_takes_what_there_is(monkeypatch):
    monkeypatch.setattr(isolation, "probe", {"landlock": None, "namespaces": None}.get)
    assert isolation.choose("auto") == "landlock"
    monkeypatch.setattr(isolation, "probe", {"landlock": "old", "namespaces": None}.get)
    assert isolation.choose("auto") == "namespaces"


def test_without_isolation_it_refuses_and_says_how_to_go_on(monkeypatch):
    monkeypatch.setattr(isolation, "probe", lambda kind: f"no {kind}")
    for asked in ("auto", "landlock"):
        with pytest.raises(UserError, match=r"sandbox: .*no landlock.*sandbox=none"):
            isolation.choose(asked)
    with pytest.raises(UserError, match="found docker, expected one of auto, landlock"):
        isolation.choose("docker")


def test_another_system_has_no_isolation(monkeypatch):
    isolation.probe.cache_clear()
    monkeypatch.setattr("sys.platform", "darwin")
    assert "darwin" in isolation.probe("landlock")
    isolation.probe.cache_clear()


def test_an_isolation_that_does_not_hold_is_not_taken(monkeypatch):
    """The probe is a program that tries to get out, not a question to the kernel."""
    isolation.probe.cache_clear()
    monkeypatch.setattr(isolation, "Sandbox", lambda _, limits: Sandbox("none", limits))
    assert "held only" in isolation.probe("landlock")
    isolation.probe.cache_clear()


def test_none_runs_with_limits_only_and_says_so(caplog, tmp_path):
    outside = tmp_path / "outside"
    assert isolation.choose("none") == "none"
    assert "all the rights of this user" in caplog.text
    sandbox = Sandbox("none", Limits(cpu_seconds=1, wall_seconds=60))
    assert sandbox.run(f"open({str(outside)!r}, 'w').close()").outcome == "exited"
    assert outside.exists()
    assert sandbox.run("while True: pass").outcome == "cpu"


def test_none_ends_children_too():
    sandbox = Sandbox("none", Limits(wall_seconds=60))
    ended = sandbox.run(
        "import subprocess, sys\n"
        "child = subprocess.Popen(['sleep', '1000'], stdout=subprocess.DEVNULL,"
        " stderr=subprocess.DEVNULL)\n"
        "print(child.pid)"
    )
    pid = int(ended.stdout)
    until = time.monotonic() + 60
    while _runs(pid):
        assert time.monotonic() < until
        time.sleep(0.05)


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


OWNER = """
from olmoflow.verifiers.sandbox.outcome import Limits
from olmoflow.verifiers.sandbox.runner import Sandbox
Sandbox("landlock", Limits(wall_seconds=1000)).run("import time; time.sleep(1000)")
"""


def test_programs_die_with_a_process_that_is_killed(tmp_path):
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    owner = subprocess.Popen([sys.executable, "-c", OWNER], env=environment)
    until = time.monotonic() + 300
    child = ""
    while not child:
        assert time.monotonic() < until
        time.sleep(0.2)
        child = Path(f"/proc/{owner.pid}/task/{owner.pid}/children").read_text().strip()
    confined = Path(f"/proc/{child}/status")
    while "Seccomp:\t2" not in confined.read_text():
        assert time.monotonic() < until
        time.sleep(0.1)
    owner.kill()
    owner.wait()
    while _runs(int(child)):
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.parametrize("name", ["cpu_seconds", "memory_mb", "output_mb"])
def test_limits_must_be_positive(name):
    with pytest.raises(UserError, match=f"{name}: found 0"):
        Limits(**{name: 0})
