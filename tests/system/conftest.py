"""A real SLURM of one node with 2 CPUs on loopback, for tests; needs root, slurm-wlm and munge.

It writes slurm.conf into a folder of its own and starts munged, slurmctld and slurmd, or takes
those that already answer, and ends what it started. Clients find it by SLURM_CONF.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

FOLDER = Path(tempfile.gettempdir()) / "olmoflow-slurm"
CONF = FOLDER / "slurm.conf"
MUNGE_SOCKET = Path("/run/munge/munge.socket.2")
# No cgroups and no accounting: what a container lacks. KillWait is what SLURM gives a process
# between SIGTERM and SIGKILL.
TEMPLATE = """\
ClusterName=olmoflow
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={socket}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
ReturnToService=2
KillWait=10
MinJobAge=900
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=1000 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=60 State=UP
PartitionName=spare Nodes={host} Default=NO MaxTime=60 State=UP
"""


class Slurm:
    """What a test asks of SLURM."""

    def job(self, job_id):
        """What scontrol knows of a job, or of one cell of an array (JOB_CELL)."""
        shown = subprocess.run(
            ["scontrol", "show", "job", "--oneliner", job_id], capture_output=True, text=True
        )
        return dict(field.split("=", 1) for field in shown.stdout.split() if "=" in field)

    def wait(self, job_id, seconds=600):
        """Wait for a job's end and return its state; holds of two minutes are skipped."""
        deadline = time.monotonic() + seconds
        while (found := self.job(job_id))["JobState"] in ("PENDING", "RUNNING", "COMPLETING"):
            assert time.monotonic() < deadline, found
            self.skip_hold(job_id)
            time.sleep(0.2)
        return found["JobState"]

    def wait_for_requeue(self, job_id, restarts, seconds=600):
        """Wait until a job has been requeued so many times, and let it start."""
        deadline = time.monotonic() + seconds
        while not _held(found := self.job(job_id)) or int(found["Restarts"]) < restarts:
            assert time.monotonic() < deadline, found
            time.sleep(0.1)
        self.skip_hold(job_id)

    def skip_hold(self, job_id):
        """SLURM keeps a requeued job back for two minutes; let it start."""
        if _held(self.job(job_id)):
            # The node takes no new start in the second in which it gave up the old one.
            time.sleep(3)
            subprocess.run(["scontrol", "update", f"JobId={job_id}", "StartTime=now"], check=True)


def _held(found):
    return found["JobState"] == "PENDING" and found["Reason"] == "BeginTime"


@pytest.fixture(scope="session")
def slurm():
    """A running SLURM."""
    started = _start()
    yield Slurm()
    if started:
        _stop()


def _start():
    """Start what does not run yet, wait for the node, and return whether there was need."""
    missing = [name for name in ("munged", "slurmctld", "slurmd") if not _program(name)]
    if missing:
        raise RuntimeError(f"no {', '.join(missing)}: apt-get install slurm-wlm munge")
    os.environ["SLURM_CONF"] = str(CONF)
    # Without the file the clients look for a controller by DNS, for a minute.
    if CONF.is_file() and _node_state() in ("idle", "mix", "alloc"):
        return False
    for name in ("state", "spool"):
        (FOLDER / name).mkdir(parents=True, exist_ok=True)
    host = socket.gethostname().partition(".")[0]
    CONF.write_text(TEMPLATE.format(host=host, folder=FOLDER, socket=MUNGE_SOCKET))
    _start_munge()
    for daemon in ("slurmctld", "slurmd"):
        # -c: without the state of an earlier cluster.
        options = ["-c"] if daemon == "slurmctld" else []
        _run([_program(daemon), *options, "-f", str(CONF)])
    deadline = time.monotonic() + 60
    while _node_state() != "idle":
        if time.monotonic() > deadline:
            raise RuntimeError(f"the node is {_node_state()!r} after 60 s; see {FOLDER}/*.log")
        time.sleep(0.3)
    return True


def _stop():
    """End the SLURM daemons that `_start` left, with their jobs, and remove their folder."""
    if CONF.is_file():
        subprocess.run(["scancel", "--user=root"], capture_output=True)
        for name in ("slurmd", "slurmctld"):
            file = FOLDER / f"{name}.pid"
            if file.is_file():
                subprocess.run(["kill", file.read_text().strip()], capture_output=True)
        time.sleep(1)
        shutil.rmtree(FOLDER, ignore_errors=True)
    os.environ.pop("SLURM_CONF", None)


def _start_munge():
    if subprocess.run(["munge", "-n"], capture_output=True).returncode == 0:
        return
    for folder in ("/run/munge", "/var/log/munge", "/var/lib/munge"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        shutil.chown(folder, "munge", "munge")
    # The socket's folder must be open to all, its parents closed to others.
    Path("/run/munge").chmod(0o755)
    command = ["runuser", "-u", "munge", "--", _program("munged"), "--force"]
    _run(command)


def _node_state():
    done = subprocess.run(
        ["sinfo", "--noheader", "--partition=main", "--format=%t"], capture_output=True, text=True
    )
    return done.stdout.strip()


def _program(name):
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def _run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
