"""Peak memory of a rank: one step of the real model and objective on tensors without data.

The model, its sharding and the objective are those of training, on a fake process group of the full
number of ranks. Two shallow models are traced, of one and of two groups of layers (three window
layers and a full one), and every quantity is carried on linearly to the model's depth; a model of
at most two groups is traced as it is.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor
from torch.testing._internal.distributed.fake_pg import FakeStore

from olmoflow.mesh import Mesh
from olmoflow.model import Olmo3
from olmoflow.plan.job import Job
from olmoflow.plan.live_bytes import ACTIVATIONS, GRADIENTS, OTHER, PARAMETERS, LiveBytes
from olmoflow.plan.stand_ins import (
    Graphs,
    attends,
    compile_blocks,
    replace_attention,
)
from olmoflow.train.adamw_8bit import new_state
from olmoflow.train.adapters import attach
from olmoflow.train.adapters.frozen import FrozenMatrix
from olmoflow.train.linear_log_probs import linear_log_probs
from olmoflow.train.objectives import NextTokenPrediction
from olmoflow.train.sharding import shard
from olmoflow.train.target_rows import TARGET_ROWS

OPTIMIZER = "optimizer"
FEWEST = 4  # layers in which the first, the last and those in between are different ones
KINDS = (PARAMETERS, GRADIENTS, OPTIMIZER, ACTIVATIONS, OTHER)


@dataclass(frozen=True)
class Traced:
    """What one optimizer step takes on one rank.

    Attributes:
        spans: Bytes by kind at the peak of each span of the step.
        matmul_flops: Of one micro-batch's matrix products, what is computed twice included.
        attention_recompute: Attentions computed a second time, as a share of all.
        trained: Parameters that have a gradient, of the whole model.
    """

    spans: tuple[dict[str, float], ...]
    matmul_flops: float
    attention_recompute: float
    trained: float

    @property
    def peak(self) -> dict[str, float]:
        """Bytes by kind at the step's largest moment."""
        return max(self.spans, key=lambda span: sum(span.values()))


def trace(job: Job) -> Traced:
    """Memory of one rank, and the FLOPs that it executes, without allocating either."""
    every, layers = job.model.full_attention_every, job.model.n_layers
    group = every * -(-FEWEST // every)
    if layers <= 2 * group:
        return trace_depths(job, [layers])[0]
    short, long = trace_depths(job, [group, 2 * group])
    return extrapolate(short, long, (layers - group) / group)


def extrapolate(short: Traced, long: Traced, steps: float) -> Traced:
    """`short` plus `steps` times what `long` has more."""

    def further(a: float, b: float) -> float:
        return a + steps * (b - a)

    return Traced(
        tuple(
            {kind: further(a[kind], b[kind]) for kind in KINDS}
            for a, b in zip(short.spans, long.spans, strict=True)
        ),
        further(short.matmul_flops, long.matmul_flops),
        long.attention_recompute,
        further(short.trained, long.trained),
    )


def trace_depths(job: Job, depths: Sequence[int]) -> list[Traced]:
    """The same for models of so many layers, every one of them traced."""
    dtype = torch.bfloat16 if job.compute_bytes == 2 else torch.float32
    fake, found = FakeTensorMode(), []
    with warnings.catch_warnings(), fake_ranks(job.mesh) as (mesh, context), fake:
        warnings.simplefilter("ignore")
        graphs: Graphs = {}  # the same at every depth
        for depth in depths:
            model = Olmo3(replace(job.model, n_layers=depth), compute_dtype=dtype)
            if job.adapter is not None:
                attach(model, job.adapter)
            _prepare(model, job, context, graphs)
            if mesh is not None:
                shard(model, mesh, dtype)
            found.append(step_memory(model, job, fake))
    return found


def _prepare(model: Olmo3, job: Job, context: dist.ProcessGroup | None, graphs: Graphs) -> None:
    """Attention as on a GPU, activation checkpointing, and blocks as compiling leaves them."""
    attend = attends(model.config, context)
    for block, each in zip(model.blocks, attend, strict=True):
        replace_attention(block, each)  # type: ignore[arg-type]
    how = job.checkpointing
    how.check(model, compiled=job.compiled)
    if job.compiled:
        size = job.micro_batch, job.sequence_length // job.mesh.context, model.config.d_model
        x = torch.zeros(size, dtype=model.compute_dtype, requires_grad=True)
        compile_blocks(model, attend, x, how.budget, graphs, in_parts=how.mode == "modules")
    if how.mode != "budget":  # which is set for the whole process; `compile_blocks` has kept it
        how.apply(model)


def step_memory(model: Olmo3, job: Job, fake: FakeTensorMode | None) -> Traced:
    """Forward and backward passes of the micro-batches, with the optimizer's state in place.

    The optimizer's own kernel works in place, so that the peak is not there. From the second
    micro-batch on nothing changes: gradients exist from then on.

    Args:
        model: Sharded, where there is more than one rank.
        job: For the size of the batch and the number of micro-batches.
        fake: The mode under which the model was made; None: it is real.
    """
    moments = float(sum(_moment_bytes(p, job) for p in model.parameters() if p.requires_grad))
    live = LiveBytes(fake)
    live.mark(model.buffers(), OTHER)
    live.mark(_on_the_gpu(model), PARAMETERS)
    _watch(model, live, job)
    tokens = job.micro_batch, job.sequence_length // job.mesh.context
    micro_batches = min(job.micro_batches, 2)
    with live:
        for _ in range(micro_batches):
            live.kind = ACTIVATIONS
            ids = torch.zeros(tokens, dtype=torch.int64)
            loss = _loss(model, ids, job)
            live.next_span()
            torch.autograd.backward(loss * 1.0)
            del loss, ids
            live.next_span()
    spans = tuple({**{k: float(peak[k]) for k in KINDS}, OPTIMIZER: moments} for peak in live.peaks)
    calls = live.attention_calls
    forward = calls["_scaled_dot_product_flash_attention"]
    backward = calls["_scaled_dot_product_flash_attention_backward"]
    recomputed = forward / backward - 1 if backward else 0.0  # 0 where the CPU's own attention ran
    trained = float(sum(p.numel() for p in model.parameters() if p.requires_grad))
    return Traced(spans[:-1], live.matmul_flops / micro_batches, recomputed, trained)


def _loss(model: Olmo3, ids: Tensor, job: Job) -> Tensor:
    """The summed loss of a micro-batch whose first tokens are the targets."""
    rows = torch.arange(job.rank_targets) if job.target_share < 1 else None
    if job.logits_twice:
        hidden = model.hidden_states(ids).flatten(0, 1)
        head = model.lm_head.weight
        return linear_log_probs(hidden, head, ids.flatten(), job.chunk_tokens, rows).sum()
    batch = {"input_ids": ids, "labels": ids}
    if rows is not None:
        batch[TARGET_ROWS] = rows
    return NextTokenPrediction(chunk_tokens=job.chunk_tokens)(model, batch).loss_sum


def _on_the_gpu(model: nn.Module) -> Iterator[Tensor]:
    """All parameters but those that wait in main memory."""
    for module in model.modules():
        if not (isinstance(module, FrozenMatrix) and module.offload):
            yield from module.parameters(recurse=False)


def _watch(model: Olmo3, live: LiveBytes, job: Job) -> None:
    """Tell apart what the forward pass makes: activations, gathered parameters, the loss's own."""

    def gathered(*modules: nn.Module) -> None:
        if live.kind == ACTIVATIONS and job.mesh.ranks > 1:  # one rank gathers nothing
            live.mark((p for module in modules for p in module.parameters()), OTHER)

    def end_of_blocks(*_: Any) -> None:
        live.kind = OTHER

    def span_ends(_: nn.Module, args: tuple[Any, ...]) -> None:
        if (
            live.kind == ACTIVATIONS and args[0].requires_grad
        ):  # when the backward pass has come back to what went in
            args[0].register_hook(lambda _: live.next_span())

    def gradient(parameter: Tensor) -> None:
        assert parameter.grad is not None
        live.mark([parameter.grad], GRADIENTS)

    for parameter in filter(lambda parameter: parameter.requires_grad, model.parameters()):
        parameter.register_post_accumulate_grad_hook(gradient)  # type: ignore[no-untyped-call]
    root = model.embeddings, model.norm, model.lm_head
    model.embeddings.register_forward_pre_hook(lambda *_: gathered(*root))
    for block in model.blocks:
        block.register_forward_pre_hook(lambda block, _: gathered(block))
    # In between, bytes change by the same amount from block to block: the peak is at an end.
    for block in (model.blocks[-1], *model.blocks[1:-1][:1]):
        block.register_forward_pre_hook(span_ends)
    model.norm.register_forward_hook(end_of_blocks)


def _moment_bytes(parameter: Tensor, job: Job) -> int:
    """Of the two moments that the optimizer keeps of a parameter."""
    local = parameter.to_local() if isinstance(parameter, DTensor) else parameter
    if job.optimizer == "adamw":
        return 2 * local.numel() * local.element_size()
    moments = (tensor for name, tensor in new_state(local).items() if name != "step")
    return sum(tensor.numel() * tensor.element_size() for tensor in moments)


@contextmanager
def fake_ranks(mesh: Mesh) -> Iterator[tuple[DeviceMesh | None, dist.ProcessGroup | None]]:
    """All ranks in this one process: FSDP's mesh, and the ranks that share a sequence."""
    if mesh.ranks == 1:
        yield None, None
        return
    dist.init_process_group("fake", rank=0, world_size=mesh.ranks, store=FakeStore())
    try:
        layout, names = (mesh.replicate, mesh.sharded), ("replicate", "shard")
        context: Any = dist.new_group(list(range(mesh.context))) if mesh.context > 1 else None
        yield init_device_mesh("cpu", layout, mesh_dim_names=names), context
    finally:
        dist.destroy_process_group()


def peak_gib(traced: Traced) -> dict[str, float]:
    """GiB by kind at the peak, and their sum."""
    gib = {kind: value / 2**30 for kind, value in traced.peak.items()}
    return {**gib, "peak": sum(gib.values())}
