"""Initialisation: a pure function of the seed and of each parameter's name."""

import hashlib

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from olmoflow.model.transformer import Olmo3

CUT = 3.0
"""Standard deviations at which the normal distribution is truncated."""


@torch.no_grad()
def initialise(model: Olmo3, seed: int, device: torch.device | str = "cpu") -> None:
    """Fills every parameter in place: norms with 1, the rest from a truncated normal.

    The normal has the standard deviation `config.init_std`, is cut at 3 of them, and is the same
    for embedding, LM head and every projection, as in OLMo-core. Each parameter has its own CPU
    generator, seeded by the seed and its name: the values depend neither on the device nor on how
    many ranks share a parameter. A sharded model holds one whole parameter at a time.

    Args:
        model: Of any placement; a model on the meta device is first allocated on `device`.
        seed: Of the run.
        device: Only for a model on the meta device.
    """
    if any(parameter.is_meta for parameter in model.parameters()):
        model.to_empty(device=torch.device(device))
    for name, parameter in model.named_parameters():
        whole = torch.empty(parameter.shape, dtype=torch.float32, device="cpu")
        if whole.ndim == 1:
            whole.fill_(1.0)
        else:
            std = model.config.init_std
            generator = named_generator(seed, name)
            nn.init.trunc_normal_(whole, 0.0, std, -CUT * std, CUT * std, generator)
        _place(whole, parameter)


def named_generator(seed: int, name: str) -> torch.Generator:
    """The CPU generator of one parameter, by the run's seed and the parameter's name."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))


def _place(whole: Tensor, parameter: Tensor) -> None:
    if isinstance(parameter, DTensor):
        mesh, placements = parameter.device_mesh, parameter.placements
        # Every rank made the same tensor: each cuts its shard out of its own, nothing is sent.
        whole = whole.to(device=mesh.device_type, dtype=parameter.dtype)
        parameter.copy_(distribute_tensor(whole, mesh, placements, src_data_rank=None))
    else:
        parameter.copy_(whole)
