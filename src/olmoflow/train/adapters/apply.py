"""Puts adapters into a model, fills it from a checkpoint, and folds trained adapters in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from olmoflow.errors import UserError
from olmoflow.model import Olmo3
from olmoflow.model.checkpoint import Checkpoint
from olmoflow.model.linear import Linear
from olmoflow.train.adapters.frozen import FrozenMatrix
from olmoflow.train.adapters.linear import AdaptedLinear
from olmoflow.train.adapters.nf4 import BLOCK, dequantize, quantize
from olmoflow.train.adapters.settings import LoRA

_WEIGHT = ".weight"


def attach(model: Olmo3, adapter: LoRA) -> None:
    """Freeze the model and put adapters beside the matrices that the settings name.

    The model is on the meta device (or a fake one): its frozen matrices change their dtype, and
    `fill` gives them their numbers.

    Raises:
        UserError: A pattern names no layer, or a layer cannot be adapted.
    """
    names = _targets(model, adapter)
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            dtype = _kept_dtype(adapter) if parameter.ndim == 2 else parameter.dtype
            frozen = nn.Parameter(torch.empty_like(parameter, dtype=dtype), requires_grad=False)
            setattr(module, name, frozen)
    for name in names:
        linear = model.get_submodule(name)
        assert isinstance(linear, Linear)
        with linear.weight.device:
            adapted = AdaptedLinear(linear.in_features, linear.out_features, adapter)
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, adapted)


def _targets(model: Olmo3, adapter: LoRA) -> list[str]:
    linears = {name: m for name, m in model.named_modules() if isinstance(m, Linear)}
    for pattern in adapter.targets:
        if not any(fnmatchcase(name, pattern) for name in linears):
            raise UserError(
                f"adapter.targets: no layer is named {pattern}; expected patterns such as "
                "blocks.*.attention.*_proj or blocks.*.feed_forward.down_proj"
            )
    names = [n for n in linears if any(fnmatchcase(n, p) for p in adapter.targets)]
    if "lm_head" in names:
        raise UserError("adapter.targets: lm_head found; expected layers of the blocks")
    for name in names:
        if adapter.base == "nf4" and linears[name].in_features % BLOCK:
            raise UserError(
                f"adapter.base=nf4: {name} has {linears[name].in_features} columns; expected a "
                f"multiple of {BLOCK}"
            )
    return names


def _kept_dtype(adapter: LoRA) -> torch.dtype:
    """Of frozen matrices that are not quantized."""
    return torch.float32 if adapter.base == "float32" else torch.bfloat16


def fill(model: Olmo3, base: Checkpoint, device: torch.device, seed: int) -> None:
    """Allocate an adapted model on a device and give it a checkpoint's numbers.

    One tensor at a time is read and cast or quantized: main memory holds one matrix, and the device
    what it is to keep.

    Args:
        model: With adapters, on the meta device.
        base: Whose weights are frozen.
        device: Where it computes.
        seed: Of the adapters' beginnings.

    Raises:
        UserError: The checkpoint is of another model, or damaged.
    """
    layers = _adapted(model)
    _check_shapes(model, base)
    for module in model.modules():
        if isinstance(module, FrozenMatrix):
            module.place(device)
        else:
            module.to_empty(device=device, recurse=False)
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, tensor in base.iter_tensors():
            layer = layers.get(name.removesuffix(_WEIGHT))
            if layer is not None:
                layer.frozen.fill(tensor, device)
            else:
                parameters[name].copy_(tensor)
    for name, layer in layers.items():
        layer.initialise(seed, name)


def _adapted(model: nn.Module) -> dict[str, AdaptedLinear]:
    return {name: m for name, m in model.named_modules() if isinstance(m, AdaptedLinear)}


def _check_shapes(model: Olmo3, base: Checkpoint) -> None:
    layers = _adapted(model)
    wanted = {
        name: tuple(parameter.shape)
        for name, parameter in model.named_parameters()
        if name.rpartition(".")[0].removesuffix(".frozen") not in layers
    }
    for name, layer in layers.items():
        wanted[name + _WEIGHT] = (len(layer.lora_b), layer.lora_a.shape[1])
    stored = {name: tuple(shape) for name, shape in base.tensor_shapes().items()}
    for name in sorted(wanted.keys() | stored.keys()):
        if wanted.get(name) != stored.get(name):
            raise UserError(
                f"{base.path}: tensor {name!r} is {_shown(stored.get(name))}; the model expects "
                f"{_shown(wanted.get(name))}"
            )


def _shown(shape: tuple[int, ...] | None) -> str:
    return "absent" if shape is None else str(list(shape))


def is_adapted(model: nn.Module) -> bool:
    """Whether the model has adapters."""
    return any(isinstance(module, AdaptedLinear) for module in model.modules())


@contextmanager
def adapters_off(model: nn.Module) -> Iterator[None]:
    """Within, the model computes as its frozen base does."""
    layers = _adapted(model).values()
    for layer in layers:
        layer.enabled = False
    try:
        yield
    finally:
        for layer in layers:
            layer.enabled = True


def folded(
    base: Checkpoint, adapters: Mapping[str, Tensor], adapter: LoRA
) -> Iterator[tuple[str, Tensor]]:
    """Yield `(name, tensor)` of the plain model that computes what the adapted one does.

    Adapted matrices are ``W + alpha / rank · B A`` in fp32, where W is as it was in training,
    rounded or quantized; the other matrices are as they were kept.

    Args:
        base: Whose weights were frozen.
        adapters: The trained A and B by their names, ``….lora_a`` and ``….lora_b``.
        adapter: The settings of the run.
    """
    for name, tensor in base.iter_tensors():
        layer = name.removesuffix(_WEIGHT)
        a, b = adapters.get(f"{layer}.lora_a"), adapters.get(f"{layer}.lora_b")
        if a is None or b is None:
            yield name, tensor.to(_kept_dtype(adapter)) if tensor.ndim == 2 else tensor
        else:
            whole = _as_trained(tensor, adapter)
            yield name, whole.addmm_(b.float(), a.float(), alpha=adapter.scale)


def _as_trained(matrix: Tensor, adapter: LoRA) -> Tensor:
    if adapter.base == "nf4":
        return dequantize(*quantize(matrix), torch.float32)
    return matrix.to(getattr(torch, adapter.base)).float().clone()
