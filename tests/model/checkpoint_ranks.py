"""Several ranks that load a checkpoint, train a step sharded, and save: run by a test.

python checkpoint_ranks.py WORLD_SIZE FOLDER
"""

import multiprocessing
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

sys.path.insert(0, str(Path(__file__).parent))

import test_checkpoint as t

from olmoflow.model.checkpoint import CheckpointWriter, list_steps


def run_rank(rank: int, world_size: int, folder: Path) -> None:
    store = f"file://{folder}/store"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world_size)
    mesh = init_device_mesh("cpu", (world_size,))
    model = t.make_model(seed=1 + rank)
    for layer in model:
        fully_shard(layer, mesh=mesh)
    optimizer = t.make_optimizer(model)
    (start,) = list_steps(folder / "one")
    start.load_model(model)
    start.load_optimizer(model, optimizer)

    announced = []
    for name, asynchronous in (("sync", False), ("async", True)):
        writer = CheckpointWriter(folder / name, asynchronous=asynchronous)
        writer.on_complete = announced.append
        writer.save(3, model, optimizer, t.CONFIG, None)
        if asynchronous:  # the training's collectives go on beside the saving's
            t.train(model, optimizer, 1, first=3)
            writer.save(4, model, optimizer, t.CONFIG, None)
        writer.wait()
        assert len(list_steps(folder / name)) == (2 if asynchronous else 1)
    assert [checkpoint.step for checkpoint in announced] == ([3, 3, 4] if rank == 0 else [])

    # A rank that fails takes the others with it, at once, and leaves no step.
    if rank == 1:
        torch.save = None
    try:
        writer.save(5, model, optimizer, t.CONFIG, None)
        writer.wait()
    except TypeError as error:
        print(f"rank {rank}: {error}")
    assert len(list_steps(folder / "async")) == 2
    dist.destroy_process_group()


def main(world_size: int, folder: Path) -> int:
    """Run all ranks; returns 1 if one of them fails."""
    # Forked before torch starts threads: torch is imported once.
    fork = multiprocessing.get_context("fork")
    ranks = [fork.Process(target=run_rank, args=(r, world_size, folder)) for r in range(world_size)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join()
    return int(any(rank.exitcode for rank in ranks))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), Path(sys.argv[2])))
