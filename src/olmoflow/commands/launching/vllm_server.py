"""Serves a checkpoint with vLLM, whose environment is another one: `./just vllm NAME`.

The server is a child in a process group of its own, which ends with the block that started it and
with this process, however that dies.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from olmoflow.artifact import home
from olmoflow.commands.inputs.checkpoints import find_checkpoint, open_checkpoint, tokenizer_folder
from olmoflow.commands.inputs.engines import served_name
from olmoflow.commands.launching.launch import die_with_parent
from olmoflow.errors import UserError

MODULE = "vllm.entrypoints.openai.api_server"  # the `vllm` command of the wheel for CPUs fails
_ENVIRONMENT = {
    "VLLM_SERVER_DEV_MODE": "1",  # the endpoints that replace weights
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
}
_KV_CACHE_GIB = "4"  # on a CPU; vLLM would take half of the memory
_SHUTDOWN_SECONDS = 20


@dataclass(frozen=True)
class HFFolder:
    """A model as vLLM reads it.

    Attributes:
        path: Of the Hugging Face folder.
        names: Under which it is to be served.
    """

    path: Path
    names: tuple[str, ...]


def hf_folder(reference: str, dtype: str) -> HFFolder:
    """Export a checkpoint into a folder below `home`, unless it is exported already, or is one.

    Raises:
        UserError: There is no such checkpoint, it has no tokenizer, or the dtype is none of ours.
    """
    found = find_checkpoint(reference)
    if found.kind == "external" and (found.path / "config.json").is_file():
        return HFFolder(found.path, (found.name, served_name(found)))
    names = f"{found.name}@{found.step}", served_name(found)
    target = home() / "vllm" / f"{served_name(found)}-{dtype}"
    if target.is_dir():
        return HFFolder(target, names)
    tokenizer = tokenizer_folder(found)
    if tokenizer is None:
        raise UserError(f"{reference}: has no tokenizer; import it with tokenizer_from=DIR")
    checkpoint = open_checkpoint(found)

    import torch

    from olmoflow.model.hf import export_hf

    dtypes = {"bfloat16": torch.bfloat16, "float32": torch.float32}
    if dtype not in dtypes:
        raise UserError(f"dtype={dtype}: expected {' or '.join(dtypes)}")
    target.parent.mkdir(parents=True, exist_ok=True)
    tensors = checkpoint.iter_tensors()
    export_hf(tensors, checkpoint.config, target, tokenizer=tokenizer, dtype=dtypes[dtype])
    return HFFolder(target, names)


@contextmanager
def serving(
    python: Path,
    model: HFFolder,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    dtype: str = "bfloat16",
    arguments: Sequence[str] = (),
    log: Path,
    waiting: Callable[[str], None] = lambda _: None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Serve a model while the block runs.

    Args:
        python: Of the environment that has vLLM.
        model: What to serve.
        host: The address to listen on; only this machine can reach 127.0.0.1.
        port: To listen on.
        dtype: In which the server computes.
        arguments: Of vLLM's own, such as ``--tensor-parallel-size 2``.
        log: A file for all that the server prints.
        waiting: Called every few seconds until the server answers, with what it does.

    Yields:
        The server's process; it answers by then.

    Raises:
        UserError: The port is taken, or the server ended before it answered.
    """
    _check_free(host, port)
    command = [str(python), "-m", MODULE, "--model", str(model.path)]
    command += ["--served-model-name", *model.names, "--host", host, "--port", str(port)]
    # Sampling is what requests say, not what a folder's generation_config.json does.
    command += ["--dtype", dtype, "--enable-scale-out", "--generation-config", "vllm"]
    command += ["--disable-uvicorn-access-log"]
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    environment |= _ENVIRONMENT
    environment.setdefault("VLLM_CPU_KVCACHE_SPACE", _KV_CACHE_GIB)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        child = subprocess.Popen(
            [*command, *arguments],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
    try:
        _wait(child, f"http://{_reachable(host)}:{port}/health", log, waiting)
        yield child
    finally:
        _end(child)


def _check_free(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            raise UserError(f"port={port}: cannot listen on {host}: {error}") from error


def _wait(
    child: subprocess.Popen[bytes], health: str, log: Path, waiting: Callable[[str], None]
) -> None:
    told = time.monotonic()
    while not _answers(health):
        if child.poll() is not None:
            raise UserError(
                f"the server ended with status {child.returncode}: {_reason(log)}; see {log}"
            )
        if time.monotonic() - told > 5:
            waiting(_last_line(log))
            told = time.monotonic()
        time.sleep(0.2)


def _answers(health: str) -> bool:
    try:
        with urlopen(health, timeout=5) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
        with suppress(subprocess.TimeoutExpired):
            child.wait(_SHUTDOWN_SECONDS)
    # Also when the server itself is gone: its workers may not have noticed yet.
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _reachable(host: str) -> str:
    return "127.0.0.1" if host in ("0.0.0.0", "") else host


def _last_line(log: Path) -> str:
    """What the server said last, without where it says it."""
    for line in reversed(log.read_text(errors="replace").splitlines()):
        kind, said = _parts(line)
        if kind in ("INFO", "WARNING") and said:
            return said
    return "starting Python"


def _reason(log: Path) -> str:
    """The first exception of a log: the engine's own, before those that follow from it."""
    lines = [_parts(line)[1] for line in log.read_text(errors="replace").splitlines()]
    for number, line in enumerate(lines):
        if re.match(r"[\w.]*(Error|Exception): .|\S+: error: .", line):
            # Pydantic names the value on the next line.
            more = lines[number + 1 : number + 2] if "validation error" in line else []
            return " ".join([line, *more])[:400]
    return "no reason given"


def _parts(line: str) -> tuple[str, str]:
    """Kind and text of a line such as ``(Worker pid=7) INFO 11-28 07:31:21 [core.py:1] text``."""
    found = re.fullmatch(r"(?:\(.*? pid=\d+\) )?(?:([A-Z]+) [\d-]+ [\d:]+ \[.*?\] ?)?(.*)", line)
    return (found[1] or "", found[2].strip()) if found else ("", "")
