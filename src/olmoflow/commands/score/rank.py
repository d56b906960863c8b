"""One rank that scores, started from the artifact's folder: ``python -m … FOLDER``."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from olmoflow.artifact import Input
from olmoflow.commands.command_line.progress import progress_bar
from olmoflow.commands.inputs.checkpoints import device_of, open_checkpoint
from olmoflow.commands.launching.launch import OUTCOME, run_rank
from olmoflow.commands.score.command import JOB, PARTS
from olmoflow.commands.train.rank import DTYPES, check_run
from olmoflow.digests import write_json
from olmoflow.errors import UserError
from olmoflow.mesh import Mesh
from olmoflow.model import Olmo3Config


def score(folder: Path) -> None:
    """Load the model that the folder names and score this rank's share of the documents.

    Raises:
        UserError: A setting is wrong, or the documents do not fit the model.
    """
    from olmoflow.tokens.pairs.documents import DocumentReader
    from olmoflow.tokens.reader import TokenShards

    job = json.loads((folder / JOB).read_text())
    if job["run"]:
        check_run(Path(job["run"]))
    layout, rank = Mesh.of(job["parallel"]), int(os.environ.get("RANK", 0))
    reader = DocumentReader(TokenShards.open(job["shards"]))
    device = _device(job["runtime"]["accelerator"])
    try:
        if layout.ranks > 1:
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        scorer = _scorer(job, layout, device)
        with progress_bar("score", job["runtime"]["progress"] and rank == 0) as advance:
            scorer.score(reader, folder / PARTS, rank=rank, world=layout.ranks, progress=advance)
        if layout.ranks > 1:
            dist.barrier()  # what the first says of all has come to pass
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
    if rank == 0:
        write_json(folder / OUTCOME, {"ranks": layout.ranks})


def _scorer(job: dict[str, Any], layout: Mesh, device: torch.device) -> Any:
    from olmoflow.train.scoring import Scorer, load_scorer_model

    if job["dtype"] not in DTYPES:
        raise UserError(f"dtype={job['dtype']}: expected one of {', '.join(DTYPES)}")
    found = Input(**{**job["checkpoint"], "path": Path(job["checkpoint"]["path"])})
    model = load_scorer_model(
        Olmo3Config.from_dict(job["model"]),
        open_checkpoint(found),
        layout,
        attention=job["attention"],
        compute_dtype=DTYPES[job["dtype"]],
        device=device,
    )
    runtime = job["runtime"]
    return Scorer(model, device, runtime["micro_batch_tokens"], runtime["chunk_tokens"])


def _device(accelerator: str) -> torch.device:
    device = device_of(accelerator)
    if device.type != "cuda":
        return device
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    torch.cuda.set_device(device)
    return device


if __name__ == "__main__":
    run_rank(score)
