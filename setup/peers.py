"""Builds the environments of the peers that benchmarks and parity tests compare with.

    python setup/peers.py [NAME …]     all, or those named; what is built already stays

Each lies under `.peers/NAME` with a pinned version of the peer and nothing of ours, since a peer
may need another torch than we do. `.peers/NAME/requirements.txt` is written last and says what was
built: an interrupted build starts anew. Who comes while one is being built waits for it (a lock
beside its folder). OLMOFLOW_TORCH=cpu takes torch without CUDA.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from environment import alone

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / ".peers"
RECORD = "requirements.txt"
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"


class SetupError(Exception):
    """What to tell in one line."""


@dataclass(frozen=True)
class Peer:
    """One environment.

    Attributes:
        requirements: What pip installs.
        proof: A statement that runs in it.
        without: What pip installs with them and takes away again.
    """

    requirements: tuple[str, ...]
    proof: str
    without: tuple[str, ...] = ()


ENVIRONMENTS = {
    "olmo-core": Peer(
        requirements=("torch==2.13.0", "ai2-olmo-core==3.0.0"),
        proof="import olmo_core.nn.transformer, olmo_core.train, olmo_core.distributed.checkpoint",
    ),
    "datatrove": Peer(
        # spaCy splits English into words, as datatrove's MinHash wants by default.
        requirements=("datatrove[io,processing]==0.10.1", "spacy==3.8.18"),
        proof="import datatrove.pipeline.dedup, datatrove.pipeline.writers, spacy, pyarrow",
    ),
    # lm-eval and TRL stand on one transformers, and share the gigabytes of torch.
    "transformers": Peer(
        requirements=(
            "torch==2.14.1",
            "transformers==5.24.0",
            "lm-eval[hf]==0.4.13",
            "trl==1.16.0",
        ),
        proof="import lm_eval.models.huggingface, trl.trainer.dpo_trainer, trl.experimental.cpo",
    ),
}


def main(names: Sequence[str]) -> int:
    """Build the named environments; returns the exit status."""
    try:
        if unknown := [name for name in names if name not in ENVIRONMENTS]:
            raise SetupError(f"{unknown[0]}: expected one of {', '.join(ENVIRONMENTS)}")
        for name in names or ENVIRONMENTS:
            build(PEERS / name, ENVIRONMENTS[name])
    except SetupError as error:
        print(f"peers: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("peers: interrupted; the same command starts anew", file=sys.stderr)
        return 130
    return 0


def build(folder: Path, peer: Peer) -> None:
    """Make one environment, unless it is there as wanted or another process has just made it."""
    with alone(folder.with_name(f"{folder.name}.lock")):
        build_alone(folder, peer)


def build_alone(folder: Path, peer: Peer) -> None:
    """Make one environment that no other process is making."""
    record = folder / RECORD
    wanted = "".join(f"{line}\n" for line in peer.requirements)
    python = folder / "bin" / "python"
    if record.is_file() and record.read_text() == wanted and proves(python, peer):
        tell(f"{shown(folder)} is up to date")
        return
    started = time.monotonic()
    tell(f"building {shown(folder)} with {', '.join(peer.requirements)}")
    shutil.rmtree(folder, ignore_errors=True)
    run([sys.executable, "-m", "venv", str(folder)])
    install = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    run([*install, *peer.requirements])
    if peer.without:
        run([*install[:3], "uninstall", "--yes", "--quiet", *peer.without])
    if not proves(python, peer, show=True):
        raise SetupError(f"`{peer.proof}` fails in {shown(folder)}, see above")
    record.write_text(wanted)
    tell(f"{shown(folder)} is ready after {time.monotonic() - started:.0f} s")


def proves(python: Path, peer: Peer, *, show: bool = False) -> bool:
    """Whether the environment runs its proof."""
    output = None if show else subprocess.DEVNULL
    try:
        command = [str(python), "-c", peer.proof]
        return subprocess.run(command, stdout=output, stderr=output).returncode == 0
    except OSError:
        return False


def run(command: Sequence[str]) -> None:
    """Run a command in the checkout, with pip kept to the environment at hand."""
    settings = {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0", "PIP_NO_INPUT": "1"}
    environment = os.environ | settings
    if os.environ.get("OLMOFLOW_TORCH") == "cpu":
        known = environment.get("PIP_EXTRA_INDEX_URL", "")
        environment["PIP_EXTRA_INDEX_URL"] = f"{known} {TORCH_CPU_INDEX}".strip()
    status = subprocess.run(command, cwd=ROOT, env=environment).returncode
    if status != 0:
        what = " ".join(Path(part).name for part in command[:4])
        raise SetupError(f"`{what} …` ended with status {status}; its message stands above")


def shown(folder: Path) -> str:
    """A folder as people read it."""
    return str(folder.relative_to(ROOT))


def tell(message: str) -> None:
    """Say something on standard error."""
    print(f"peers: {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
