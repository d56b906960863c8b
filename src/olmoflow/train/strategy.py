"""One strategy for every number of ranks: FSDP2 over a (replicate, shard) mesh beyond one rank.

A small subclass of Lightning's ``ModelParallelStrategy``, whose mesh is (data, tensor) and whose
checkpoints are not atomic. Checkpoints here go through `olmoflow.model.checkpoint`: whole or not at
all, written in the background, read by any number of ranks.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.types import _PATH
from lightning.pytorch.strategies import ModelParallelStrategy, ParallelStrategy
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.optim import Optimizer
from typing_extensions import override

from olmoflow.errors import UserError
from olmoflow.mesh import Mesh
from olmoflow.model.attention.context import ContextParallel
from olmoflow.model.checkpoint import Checkpoint, CheckpointWriter
from olmoflow.train.module import OlmoModule


class HSDPStrategy(ModelParallelStrategy):
    """Hybrid sharding: the model is sharded within groups of ranks and replicated across them.

    Args:
        mesh: How the ranks share the work.
        series: The folder of the checkpoint series.
        asynchronous: Training goes on while a checkpoint is written.
    """

    def __init__(self, mesh: Mesh, *, series: Path, asynchronous: bool = True) -> None:
        super().__init__()
        self.layout = mesh
        self.writer = CheckpointWriter(series, asynchronous=asynchronous)
        self.mesh: DeviceMesh | None = None
        self.context: ContextParallel | None = None

    @override
    def setup_environment(self) -> None:
        ParallelStrategy.setup_environment(self)
        self.set_world_ranks()
        if self.world_size != self.layout.ranks:
            raise UserError(
                f"parallel.ranks={self.layout.ranks}: {self.world_size} ranks were started"
            )
        if self.world_size > 1:
            self._setup_distributed()
            self.mesh = init_device_mesh(
                self.root_device.type,
                (self.layout.replicate, self.layout.sharded),
                mesh_dim_names=("replicate", "shard"),
            )
        if self.layout.context > 1:
            sequences = init_device_mesh(
                self.root_device.type,
                (self.layout.data_ranks, self.layout.context),
                mesh_dim_names=("data", "context"),
            )
            self.context = ContextParallel(sequences.get_group("context"))

    @property
    def _module(self) -> OlmoModule:
        assert isinstance(self.lightning_module, OlmoModule)
        return self.lightning_module

    @property
    @override
    def distributed_sampler_kwargs(self) -> dict[str, Any]:
        # Ranks that share sequences read the same samples.
        context = self.layout.context
        return {"num_replicas": self.layout.data_ranks, "rank": self.global_rank // context}

    @override
    def lightning_module_state_dict(self) -> dict[str, Any]:
        return {}  # the writer takes the weights from the model itself

    @override
    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        return {}  # likewise

    @override
    def save_checkpoint(
        self, checkpoint: dict[str, Any], filepath: _PATH, storage_options: Any | None = None
    ) -> None:
        module = self._module
        rest = {k: v for k, v in checkpoint.items() if k not in ("state_dict", "optimizer_states")}
        self.writer.save(
            checkpoint["global_step"],
            module.model,
            self.optimizers[0],
            module.config,
            rest,
            module.adapters.record() if module.adapters else None,
        )

    @override
    def load_checkpoint(
        self, checkpoint_path: _PATH, weights_only: bool | None = None
    ) -> dict[str, Any]:
        module = self._module
        checkpoint = Checkpoint.open(Path(checkpoint_path))
        checkpoint.load_model(module.model)
        checkpoint.load_optimizer(module.model, self.optimizers[0])
        state = checkpoint.trainer_state()
        if state is None:
            raise UserError(f"{checkpoint.path}: holds no trainer state; start from it instead")
        return {**state, "state_dict": {}, "optimizer_states": [{}]}

    @override
    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """`load_checkpoint` has loaded it."""

    @override
    def teardown(self) -> None:
        self.writer.wait()
        super().teardown()
