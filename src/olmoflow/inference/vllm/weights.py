"""New weights for a running server, by way of a folder that it can read.

The server pauses between two steps with its requests kept, loads the files in place, gives the
weights a label and goes on; each token that it samples carries the label. On GPUs vLLM can receive
weights over NCCL instead (``/init_weight_transfer_engine`` … ``/finish_weight_update``), which is
not used here yet.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn.functional import pad

from olmoflow.errors import UserError
from olmoflow.inference.vllm.answers import Anything, Checksums, RPCResults
from olmoflow.inference.vllm.connection import Connection
from olmoflow.inference.vllm.served import Served
from olmoflow.model import Olmo3Config
from olmoflow.model.hf import write_weights
from olmoflow.model.hf.config import from_hf_config
from olmoflow.model.hf.names import NAMES, VOCABULARY

_FILE_BYTES = 5 * 10**9
_VOCABULARY = tuple(NAMES.theirs(name) for name in VOCABULARY)
_NORMS = ("layernorm.weight", "model.norm.weight")
_ROWS_OF_VOCABULARY = 64  # vLLM has a multiple of this


class HalfWrittenError(UserError):
    """The server failed while it took the weights: what it would say is worth nothing."""


@contextmanager
def weights_folder(
    served: Served, weights: Mapping[str, Tensor], place: Path | None
) -> Iterator[Path]:
    """The weights as files that the server can load; they go when the block ends.

    Args:
        served: What the server has now.
        weights: By our names.
        place: A folder that the server sees under the same path; None: this machine's temporary
            folder.

    Raises:
        UserError: The server's weights cannot be replaced, or these do not fit them.
    """
    if served.dtype is None:
        raise UserError(
            "the server's weights cannot be replaced; it has to be started with "
            "VLLM_SERVER_DEV_MODE=1, as `./just vllm` does"
        )
    config = replace(_config(served), vocab_size=_rows(weights, served.vocab_size))
    folder = (place or Path(tempfile.gettempdir())) / f"olmoflow-weights-{uuid.uuid4().hex}"
    try:
        folder.mkdir(mode=0o700 if place is None else 0o777)
    except OSError as error:
        raise UserError(f"engine.weights_folder={folder.parent}: {error.strerror}") from error
    try:
        dtype = getattr(torch, served.dtype)
        write_weights(folder, weights.items(), config, served.vocab_size, dtype, _FILE_BYTES)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def swap(server: Connection, folder: Path, label: str, *, check: bool) -> None:
    """Let the server go on with the weights in a folder, under a label.

    Args:
        server: The server.
        folder: From `weights_folder`.
        label: Tokens that these weights produce carry it.
        check: Also compare what the server has then with the files; for a large model this takes
            longer than the swap.

    Raises:
        HalfWrittenError: The server failed while it loaded them, or has others; it stays paused.
        UserError: The server would not pause; nothing has changed.
    """
    await server.post("/pause?mode=keep", Anything)
    try:
        call = {"method": "reload_weights", "kwargs": {"weights_path": str(folder)}}
        await server.post("/collective_rpc", RPCResults, call)
        if check:
            await _check_arrival(server, folder)
        await server.post("/update_weight_version", Anything, {"new_version": label})
        await server.post("/resume", Anything)
    except UserError as error:
        raise HalfWrittenError(
            f"{error}; the server has no usable weights now and stays paused: start it anew "
            f"(it has to see {folder}, and its log says more)"
        ) from error


async def _check_arrival(server: Connection, folder: Path) -> None:
    """Compare tensors of the server with the files: a server that loads nothing is found out.

    Norms are whole on every rank, embeddings and head where there is one; other matrices may be
    fused or packed.
    """
    found = (await server.post("/weight_checker", Checksums, {"action": "checksum"})).checksums
    wanted = await asyncio.to_thread(lambda: dict(_digests(folder)))
    ranks = {key.rpartition(":")[0] for key in found}
    compared = 0
    for key, digest in found.items():
        name = key.rpartition(":")[2]
        if name not in wanted or (name in _VOCABULARY and len(ranks) > 1):
            continue
        compared += 1
        if digest != wanted[name]:
            raise UserError(f"{server.url}: the new weights did not arrive: {name} is another")
    if not compared:
        raise UserError(f"{server.url}: whether the new weights arrived cannot be told")


def _digests(folder: Path) -> Iterator[tuple[str, str]]:
    """SHA-256 of norms, embeddings and head, as vLLM holds them."""
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118  (not a dict)
                if name in _VOCABULARY or name.endswith(_NORMS):
                    tensor = tensors.get_tensor(name)
                    if name in _VOCABULARY:  # filled up with rows of zeros
                        tensor = pad(tensor, (0, 0, 0, -len(tensor) % _ROWS_OF_VOCABULARY))
                    raw = tensor.flatten().view(torch.uint8).numpy()
                    yield name, hashlib.sha256(raw).hexdigest()


def _config(served: Served) -> Olmo3Config:
    path = Path(served.folder) / "config.json"
    try:
        return from_hf_config(json.loads(path.read_text()), str(path))
    except OSError as error:
        raise UserError(
            f"{path}: {error.strerror}; to replace weights, the model's folder has to be readable "
            "here under the server's path"
        ) from error


def _rows(weights: Mapping[str, Tensor], vocab_size: int) -> int:
    """Rows of the vocabulary that these weights have; more than the server's are padding."""
    embeddings = weights.get("embeddings.weight")
    rows = vocab_size if embeddings is None else int(embeddings.shape[0])
    if rows < vocab_size:
        raise UserError(
            f"embeddings.weight: {rows} rows found, expected at least {vocab_size}, the served "
            "model's vocabulary"
        )
    return rows
