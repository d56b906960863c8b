"""FSDP2 over the blocks: the recipe for more than one rank."""

from __future__ import annotations

import torch
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import (
    MixedPrecisionPolicy,
    fully_shard,
    register_fsdp_forward_method,
)

from olmoflow.model import Olmo3


def shard(model: Olmo3, mesh: DeviceMesh, compute_dtype: torch.dtype) -> None:
    """Shard each block, then the rest, over a (replicate, shard) mesh.

    Parameters stay fp32 and are gathered in the compute dtype; gradients are reduced in fp32. The
    inputs of a block are left alone: the residual stream is in the compute dtype already, and the
    rotation must stay fp32.
    """
    policy = MixedPrecisionPolicy(
        param_dtype=compute_dtype, reduce_dtype=torch.float32, cast_forward_inputs=False
    )
    for block in model.blocks:
        fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy)
    # Objectives enter here, not through forward: embedding and LM head are gathered here as well.
    register_fsdp_forward_method(model, "hidden_states")
