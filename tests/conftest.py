"""What holds for every test: its share of the cores, no network, no trace outside its own folder.

Tests marked ``system`` or ``gpu`` run only where ``-m`` names their mark, so a plain run neither
needs what they need nor lists them as skipped.
"""

import json
import os
import re
import socket
import sys
import threading
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import hypothesis
import pytest
from hypothesis.internal.conjecture import providers

# The same examples in each run, so that a test fails because of what was changed, and no limit of
# time, for the first example compiles. ``--hypothesis-profile=search`` draws others: see
# CONTRIBUTING.md.
_untimed = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("steady", derandomize=True, **_untimed)
hypothesis.settings.register_profile("search", print_blob=True, **_untimed)
hypothesis.settings.load_profile("steady")

# Set at import, before torch and numba read them, and inherited by the processes that tests start.
# A worker of xdist inherits what the process that started it set for itself, which is all cores.
_workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
_share = max(1, _cores // _workers)
for _library in ("OMP", "MKL", "OPENBLAS", "NUMBA", "RAYON"):
    _threads = f"{_library}_NUM_THREADS"
    os.environ[_threads] = str(min(_share, int(os.environ.get(_threads) or _share)))
os.environ.update(HF_HUB_OFFLINE="1", WANDB_MODE="offline", WANDB_SILENT="true")
# The user's own settings, and those of the SLURM or torchrun job that the tests may run in, of
# which they are no ranks.
_outside = (
    r"OLMOFLOW_(CONFIG|DEBUG|OF_FLOW)|SLURM_.*|(LOCAL_|GROUP_)?(RANK|WORLD_SIZE)|MASTER_(ADDR|PORT)"
)
for _name in [name for name in os.environ if re.fullmatch(_outside, name)]:
    del os.environ[_name]

ON_REQUEST = ("system", "gpu")


@pytest.fixture(scope="session", autouse=True)
def _apart(tmp_path_factory):
    """Artifacts and W&B's files of tests that choose no place for them."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OLMOFLOW_HOME", str(folder / "artifacts"))
        for name in ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
            patch.setenv(name, str(folder))
        yield


@pytest.hookimpl(trylast=True)  # after the profile that the command line names
def pytest_configure():
    """Hypothesis mixes in numbers and texts of our modules: of those that are imported by then.

    So what it draws would depend on the tests that came before, which are others in each worker.
    """
    if hypothesis.settings.get_current_profile_name() == "steady":
        none = providers.Constants()
        providers._get_local_constants = lambda: none


def pytest_collection_modifyitems(config, items):
    asked = set(re.findall(r"\w+", config.option.markexpr))
    left_out = {mark for mark in ON_REQUEST if mark not in asked}
    deselected = [item for item in items if any(map(item.get_closest_marker, left_out))]
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        items[:] = [item for item in items if item not in set(deselected)]


def pytest_runtest_setup(item):
    if "torch" in sys.modules:  # else it begins so: what a test draws depends on no other test
        sys.modules["torch"].manual_seed(67280421310721)
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")


@pytest.fixture(scope="session")
def tiny_settings():
    """Overrides of a training run of four steps, for shards of 320 tokens."""
    return [
        "max_tokens=1024",
        "global_batch_tokens=256",
        "sequence_length=32",
        "warmup=1",
        "log_every=1",
        "runtime.micro_batch_sequences=4",
        "runtime.progress=false",
        "runtime.accelerator=cpu",
        "model.vocab_size=320",
        "model.d_model=16",
        "model.n_heads=2",
        "model.n_kv_heads=1",
        "model.ffn_hidden_size=32",
        "model.sliding_window=8",
    ]


@pytest.fixture(scope="session")
def speaking_config():
    """The shape of a model that says all sorts of things untrained, for texts of 256 tokens."""
    from olmoflow.model import Olmo3Config

    return Olmo3Config(
        vocab_size=304,
        d_model=32,
        n_layers=2,
        n_heads=2,
        n_kv_heads=2,
        ffn_hidden_size=64,
        sliding_window=16,
        max_sequence_length=256,
        init_std=0.3,
    )


@pytest.fixture(scope="session")
def new_port():
    """Makes ports that nobody else is given; who asks to reuse an address may listen on one."""
    with ExitStack() as held:

        def make():
            one = held.enter_context(socket.socket())
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind(("127.0.0.1", 0))
            return one.getsockname()[1]

        yield make


@pytest.fixture
def hold(tmp_path, monkeypatch):
    """``hold(step)``: no run that this test starts as a process goes beyond a step; None: it may.

    So it is still there when the test comes to interrupt it, however late that is.
    """
    folder, file = tmp_path / "hold", tmp_path / "hold" / "step"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(HOLD)
    path = filter(None, [str(folder), os.environ.get("PYTHONPATH")])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
    monkeypatch.setenv("HELD_BY", str(file))

    def hold_at(step):
        if step is None:
            file.unlink()
        else:
            file.with_suffix(".new").write_text(str(step))
            file.with_suffix(".new").replace(file)

    return hold_at


# Each interpreter that finds it imports it when it starts. A step ends with a row of metrics.csv.
HOLD = """
import csv, os, time
from pathlib import Path

write = csv.DictWriter.writerow

def held(step):
    try:
        return int(step) >= int(Path(os.environ["HELD_BY"]).read_text())
    except (FileNotFoundError, ValueError):  # nothing is held; the row of names
        return False

def writerow(self, row):
    while held(row.get("step", "")):
        time.sleep(0.01)
    return write(self, row)

csv.DictWriter.writerow = writerow
"""


@pytest.fixture
def s3(monkeypatch):
    """A client of an S3 of this test's own, which is where ``s3://`` leads."""
    import boto3
    from fsspec import AbstractFileSystem
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    for key, value in {
        "AWS_ENDPOINT_URL": "http://{}:{}".format(*server.get_host_and_port()),
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(key, value)
    # fsspec keeps its file systems, and with them the address of the last test's server.
    _forget_file_systems(AbstractFileSystem)
    yield boto3.client("s3")
    server.stop()
    _forget_file_systems(AbstractFileSystem)


def _forget_file_systems(kind):
    kind.clear_instance_cache()
    for below in kind.__subclasses__():
        _forget_file_systems(below)


@pytest.fixture
def chat_server():
    """A server that speaks OpenAI's chat protocol and says what `ChatServer.say` makes of it."""
    server = ChatServer()
    yield server
    server.http.shutdown()
    server.http.server_close()


class _QuietServer(ThreadingHTTPServer):
    """Says nothing of clients that are gone between two requests.

    It would in a thread of its own, and in Python 3.11 two threads that parse at the same time, as
    the printing of a traceback does, can break each other ("AST constructor recursion depth").
    """

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class ChatServer:
    """Answers each request with what ``say(body)`` returns.

    A text is an answer; a pair is a status and a body, a triple has headers as well; None breaks
    the connection. ``asked`` holds the requests' bodies.
    """

    def __init__(self):
        self.asked, self.headers = [], []
        self.say = lambda body: f"{body['model']} on {body['messages'][-1]['content']}"

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(handler):  # noqa: N805
                body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
                self.asked.append(body)
                self.headers.append(dict(handler.headers))
                said = self.say(body)
                if said is None:
                    handler.close_connection = True
                    handler.connection.shutdown(socket.SHUT_RDWR)
                    return
                if isinstance(said, str):
                    said = (200, completion(said))
                status, content, headers = (*said, {})[:3]
                raw = content if isinstance(content, bytes) else json.dumps(content).encode()
                with suppress(BrokenPipeError, ConnectionResetError):  # who asked may be gone
                    handler.send_response(status)
                    handler.send_header("Content-Length", str(len(raw)))
                    for name, value in headers.items():
                        handler.send_header(name, value)
                    handler.end_headers()
                    handler.wfile.write(raw)

            def log_message(self, *_):
                pass

        self.http = _QuietServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


def completion(text, finish_reason="stop", **message):
    """The body of an answer."""
    choice = {"message": {"content": text, **message}, "finish_reason": finish_reason}
    return {"choices": [choice], "usage": {"completion_tokens": len(text.split())}}
