"""A pipeline on a Ray cluster of two nodes on this machine: the same corpus as here."""

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.system

STEPS = (
    "pipeline.steps=[{name: text_len_filter, lower_bound: 60},"
    "{name: group_filter, group_keys: [metadata.group]}, add_id, shuffle]"
)


@pytest.fixture
def cluster(tmp_path):
    """The address of a cluster of two nodes with a core each."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    made.add_node(num_cpus=1)
    made.wait_for_nodes(timeout=300)
    yield made.address
    made.shutdown()


def curate(folder, *arguments):
    command = [sys.executable, "-m", "olmoflow", "curate", "pipeline=steps", STEPS, "source=in"]
    done = subprocess.run(
        [*command, "output=json", "runtime.progress=false", "runtime.workers=2", *arguments],
        cwd=folder,
        env={**os.environ, "OLMOFLOW_HOME": str(folder / "artifacts")},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_two_nodes_make_the_corpus_that_one_process_makes(tmp_path, cluster):
    (tmp_path / "in").mkdir()
    for number in range(6):
        rows = [
            {"id": f"{number}-{n}", "text": f"{n} " * (n % 50), "metadata": {"group": n}}
            for n in range(1, 400)
            if n % 50
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / "in" / f"{number}.jsonl").write_text(text)
    ray = curate(tmp_path, "runner=ray", f"runtime.ray_address={cluster}", "name=ray")
    (tmp_path / "artifacts" / "corpus" / "ray").rename(tmp_path / "ray")
    here = curate(tmp_path, "name=native")
    assert ray["documents"] == here["documents"]
    for figures in (ray, here):
        for step in figures["steps"].values():
            del step["seconds"]
    assert ray["steps"] == here["steps"]
    native = tmp_path / "artifacts" / "corpus" / "native"
    files = sorted(p.relative_to(native) for p in native.rglob("*.jsonl.zst"))
    assert files == sorted(
        p.relative_to(tmp_path / "ray") for p in (tmp_path / "ray").rglob("*.zst")
    )
    for file in files:
        assert (native / file).read_bytes() == (tmp_path / "ray" / file).read_bytes()


STEP = '''
"""A step that kills its worker once."""
import os
import time
from contextlib import suppress
from pathlib import Path
from olmoflow.curate.operations.operation import Outcome

class Dies:
    def __init__(self, file):
        self.file = file

    def __call__(self, documents):
        # Several workers can be here at once: the one that takes the file away is the one to die.
        with suppress(FileNotFoundError):
            Path(self.file).unlink()
            os.kill(os.getpid(), 9)
            time.sleep(60)
        return Outcome(documents)
'''
RUN = """
import sys
from pathlib import Path
from olmoflow.curate.pipeline.engine import Pipeline, run_pipeline
from olmoflow.curate.pipeline.plan import Step
trap, address, corpus, *sources = sys.argv[1:]
steps = (Step("dies", "map", "dying_step.Dies", {"file": trap}),)
pipeline = Pipeline(steps, tuple(sources), heldout_fraction=0)
result = run_pipeline(pipeline, Path(corpus), runner="ray", workers=2, address=address)
print(result.documents["train"])
"""


def test_a_killed_worker_of_the_cluster_loses_no_document(tmp_path, cluster):
    (tmp_path / "dying_step.py").write_text(STEP)
    sources = []
    for number in range(4):
        rows = [{"id": f"{number}-{n}", "text": f"text {n}"} for n in range(50)]
        path = tmp_path / f"{number}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        sources.append(str(path))
    trap = tmp_path / "trap"
    trap.touch()
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(trap), cluster, str(tmp_path / "corpus"), *sources],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "200"
    assert not trap.exists()
