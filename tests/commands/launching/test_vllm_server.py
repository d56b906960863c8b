"""What surrounds a vLLM server: the checkpoint's export, the wait, the end; not vLLM itself."""

import json
import socket
import sys
import textwrap
import time
from pathlib import Path

import pytest

from olmoflow.commands.inputs.checkpoints import find_checkpoint
from olmoflow.commands.inputs.engines import served_name
from olmoflow.commands.launching import vllm_server
from olmoflow.commands.launching.vllm_server import HFFolder, hf_folder, serving
from olmoflow.errors import UserError


@pytest.fixture
def python(tmp_path):
    """Makes what stands for the Python of vLLM's environment: a program of the test's."""

    def make(program):
        file = tmp_path / "python"
        file.write_text(f"#!{sys.executable}\n{textwrap.dedent(program)}")
        file.chmod(0o755)
        return file

    return make


MODEL = HFFolder(Path("/models/m"), ("m@4", "0123456789ab@4"))
ENDS = """\
    print("(APIServer pid=7) INFO 11-28 07:31:21 [core.py:1] loading")
    print("(APIServer pid=7) Traceback (most recent call last):")
    print("(APIServer pid=7) ERROR 11-28 07:31:21 [core.py:9] ValueError: no room for the KV cache")
    print("RuntimeError: Engine core initialization failed. See root cause above.")
    raise SystemExit(1)
"""
# Answers, has a child, and does not listen when it is told to end.
STUBBORN = """\
    import http.server, json, os, signal, subprocess, sys, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with open(os.path.join(os.path.dirname(__file__), "seen"), "w") as seen:
        json.dump({"pids": [os.getpid(), child.pid], "arguments": sys.argv[1:]}, seen)
    print("INFO 11-28 07:31:21 [core.py:1] loading weights", flush=True)
    time.sleep(1)
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
    port = int(sys.argv[sys.argv.index("--port") + 1])
    http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


def test_a_server_that_ends_says_why(python, new_port, tmp_path):
    log = tmp_path / "logs" / "server.log"
    with pytest.raises(UserError) as raised, serving(python(ENDS), MODEL, port=new_port(), log=log):
        pass
    assert str(raised.value) == (
        f"the server ended with status 1: ValueError: no room for the KV cache; see {log}"
    )


def test_a_port_that_is_taken(python, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(UserError, match=f"port={port}: cannot listen on 127.0.0.1: .*in use"),
            serving(python(ENDS), MODEL, port=port, log=tmp_path / "log"),
        ):
            pass


def test_the_server_and_its_children_end_with_the_block(python, new_port, tmp_path, monkeypatch):
    monkeypatch.setattr(vllm_server, "_SHUTDOWN_SECONDS", 0.5)
    program = python(STUBBORN)
    arguments = ["--max-num-seqs", "7"]
    log = tmp_path / "log"
    with serving(program, MODEL, port=new_port(), arguments=arguments, log=log) as server:
        seen = json.loads((tmp_path / "seen").read_text())
        assert server.poll() is None
        assert all(Path(f"/proc/{pid}").exists() for pid in seen["pids"])
    line = " ".join(seen["arguments"])
    assert "--model /models/m --served-model-name m@4 0123456789ab@4" in line
    assert line.endswith("--max-num-seqs 7")
    deadline = time.monotonic() + 300
    while any(_runs(pid) for pid in seen["pids"]):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _runs(pid):
    """Whether a process is there and no zombie that nobody waits for in this container."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_checkpoint_is_exported_once(tiny):
    tiny("train", "shards=s", "name=exported", *tiny.settings)
    found = find_checkpoint("exported")
    model = hf_folder("exported", "float32")
    assert model.names == (f"exported@{found.step}", served_name(found))
    weights = model.path / "model.safetensors"
    written = weights.stat().st_mtime_ns
    assert hf_folder(f"exported@{found.step}", "float32") == model
    assert weights.stat().st_mtime_ns == written
    # Another dtype is another folder; a Hugging Face folder is served as it is.
    assert hf_folder("exported", "bfloat16").path != model.path
    folder = hf_folder(str(model.path), "float32")
    assert folder.path == model.path
    assert folder.names[-1] == served_name(find_checkpoint(str(model.path)))


def test_mistakes(tiny):
    tiny("train", "shards=s", "name=exported", *tiny.settings)
    with pytest.raises(UserError, match=r"checkpoint=exportde: .* did you mean exported"):
        hf_folder("exportde", "float32")
    with pytest.raises(UserError, match="dtype=int3: expected bfloat16 or float32"):
        hf_folder("exported", "int3")
