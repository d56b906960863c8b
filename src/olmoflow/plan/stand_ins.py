"""What runs on a GPU only, on tensors that hold no data: flash attention, and compiled blocks.

A compiled block keeps for its backward pass what torch's min-cut partitioner chooses, and with an
activation memory budget less: the same partitioner runs here, and the graphs that it leaves are
executed one operation at a time. So what is kept is exact, while the short-lived tensors inside a
fused kernel are counted although they would not exist.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from functorch.compile import (  # type: ignore[import-untyped]
    aot_function,
    make_boxed_func,
    min_cut_rematerialization_partition,
)
from torch import Tensor, nn
from torch._functorch import config as functorch_config
from torch.distributed._functional_collectives import all_gather_tensor_autograd

from olmoflow.model import Olmo3, Olmo3Config
from olmoflow.model.attention import Attend, Attention
from olmoflow.model.block import Block
from olmoflow.model.rope import Rotation

_PARTS = ("attention", "attention_norm", "feed_forward", "feed_forward_norm")

Graphs = dict[tuple[str, int | None], Callable[..., Any]]
"""What stands for a compiled part of a block in layers of one window."""


def flash_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The memory of flash attention: output and one statistic per row, no scores.

    [B, T_q, H, D], [B, T, H_kv, D], [B, T, H_kv, D] -> [B, T_q, H, D]; a window changes no shape.
    """
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    out: Tensor = torch.ops.aten._scaled_dot_product_flash_attention(q, k, v, 0.0, True)[0]
    return out.transpose(1, 2)


class GatheredAttention:
    """The memory of attention where `size` ranks share each sequence.

    Keys and values of all ranks are gathered; the rank's two chunks of queries keep what they see.

    Args:
        group: The ranks that share a sequence.
        window: Tokens seen; None for all.
    """

    def __init__(self, group: dist.ProcessGroup, window: int | None) -> None:
        self.group, self.size, self.window = group, dist.get_world_size(group), window

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """[B, T / C, H, D], [B, T / C, H_kv, D], [B, T / C, H_kv, D] -> [B, T / C, H, D]."""
        both = torch.cat((k, v), dim=-1)
        batch, own, *rest = both.shape
        gathered = all_gather_tensor_autograd(both, gather_dim=0, group=self.group)
        whole = gathered.view(self.size, batch, own, *rest).transpose(0, 1)
        keys, values = whole.reshape(batch, own * self.size, *rest).chunk(2, dim=-1)
        chunk, total = own // 2, own * self.size
        parts = []
        # The first rank's chunks, the first and the last; those of every rank are as long together.
        for queries, stop in zip(q.chunk(2, dim=1), (chunk, total), strict=True):
            first = 0 if self.window is None else max(0, stop - chunk - self.window + 1)
            seen = (x[:, first:stop].contiguous() for x in (keys, values))
            parts.append(flash_attention(queries, *seen))
        return torch.cat(parts, dim=1)


def replace_attention(block: Block, attend: Attend) -> None:
    """Let the block attend so, whatever it is given; the model's own backend never runs."""

    def hook(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        x, rotation, _, *rest = args
        return (x, rotation, attend, *rest)

    block.attention.register_forward_pre_hook(hook)


def attends(config: Olmo3Config, group: dist.ProcessGroup | None) -> list[Attend]:
    """The attention of each layer."""
    windows = [config.window(layer) for layer in range(config.n_layers)]
    if group is None:
        return [flash_attention for _ in windows]
    one_each = {window: GatheredAttention(group, window) for window in set(windows)}
    return [one_each[window] for window in windows]


def compile_blocks(
    model: Olmo3,
    attend: Sequence[Attend],
    x: Tensor,
    budget: float | None,
    graphs: Graphs,
    *,
    in_parts: bool,
) -> None:
    """Let every block run the graphs that compiling it would leave.

    Args:
        model: Its blocks are changed in place, before they are sharded.
        attend: The attention of each layer.
        x: What enters a block; needs a gradient.
        budget: The share of the activations that is kept; None: all that the partitioner would.
        graphs: Those that are known already, by part and window; takes in the new ones.
        in_parts: A graph for each of the block's parts, where some of them are computed twice.
    """
    rotation = model.full_rope(0, x.shape[1], x.device)
    for layer, block in enumerate(model.blocks):
        assert isinstance(block, Block)
        for name in _PARTS if in_parts else ("",):
            key = name, model.config.window(layer)
            if key not in graphs:
                # A block of its own: the model's are sharded later, and gather in their forward.
                reference = Block(model.config)
                replace_attention(reference, attend[layer])
                graphs[key] = _graphs(reference.get_submodule(name), x, rotation, budget)
            module = block.get_submodule(name)
            module.forward = _run(graphs[key], module)


def _run(compiled: Callable[..., Any], module: nn.Module) -> Callable[..., Any]:
    def forward(x: Tensor, rotation: Rotation = (), *rest: Any) -> Any:  # type: ignore[assignment]
        return compiled(list(module.parameters()), x, *rotation)

    return forward


def _graphs(
    module: nn.Module, x: Tensor, rotation: Rotation, budget: float | None
) -> Callable[..., Any]:
    names = [name for name, _ in module.named_parameters()]
    rotates = isinstance(module, Block | Attention)

    def call(parameters: Sequence[Tensor], x: Tensor, *rotation: Tensor) -> Any:
        rest = (rotation, flash_attention, None) if rotates else ()
        given = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(module, given, (x, *rest))

    def run(graph: torch.fx.GraphModule, inputs: Any) -> Any:
        return make_boxed_func(graph.forward)

    compiled: Callable[..., Any] = aot_function(
        call, run, run, partition_fn=min_cut_rematerialization_partition
    )
    # The first call makes the graphs.
    parameters = [p.detach().to(x.dtype).requires_grad_() for p in module.parameters()]
    with functorch_config.patch(activation_memory_budget=1.0 if budget is None else budget):
        compiled(parameters, x, *(rotation if rotates else ()))
    return compiled
