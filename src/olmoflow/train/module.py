"""The LightningModule: one model, one optimizer, one objective; no algorithm.

A Lightning batch is this rank's whole share of one optimizer step, a list of micro-batches. The
number of targets N is summed over the ranks before the first backward pass, and each micro-batch
contributes ``loss_sum · world / N`` (the ranks' gradients are averaged): the gradient is that of
the mean over all targets of the global batch, however it was cut up. With
``normalisation=per_rank`` it is the mean of the means over what each rank has, which gives a target
more weight the fewer its rank has: so Ai2's SFT ran.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import lightning.pytorch as pl
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from olmoflow.digests import file_digest
from olmoflow.errors import UserError
from olmoflow.model import Olmo3, Olmo3Config, initialise
from olmoflow.model.attention import AttentionBackend
from olmoflow.model.checkpoint import Checkpoint
from olmoflow.model.checkpoint.digests import DIGESTS
from olmoflow.train.activation_checkpointing import ActivationCheckpointing
from olmoflow.train.adapters import LoRA, attach, fill
from olmoflow.train.objectives import Batch, Objective
from olmoflow.train.optimizer import SkipStepAdamW, parameter_groups
from olmoflow.train.running_mean import RunningMean
from olmoflow.train.schedules import Schedule
from olmoflow.train.sharding import shard
from olmoflow.train.share import Share, StepCounts, make_share


@dataclass(frozen=True)
class StartFrom:
    """Weights of another run to start from.

    Attributes:
        checkpoint: The step.
        optimizer: Take the optimizer's moments and step count too; never the trainer's state.
    """

    checkpoint: Checkpoint
    optimizer: bool = False


@dataclass(frozen=True)
class Adapters:
    """Adapters beside a frozen model, instead of training its own weights.

    Attributes:
        settings: Which layers are adapted, and how.
        base: The checkpoint of the frozen model.
        name: What the user calls it, NAME@STEP.
    """

    settings: LoRA
    base: Checkpoint
    name: str = ""

    def record(self) -> dict[str, Any]:
        """What a checkpoint of the adapters says of them; the digest is that of the base's list."""
        digest = file_digest(self.base.path / DIGESTS)
        base = {"name": self.name, "path": str(self.base.path), "digest": digest}
        return {"settings": asdict(self.settings), "base": base}


Normalisation = Literal["global", "per_rank"]
OptimizerFactory = Callable[..., torch.optim.Optimizer]


class OlmoModule(pl.LightningModule):
    """A training run as Lightning sees it.

    Args:
        config: The architecture.
        objective: What is optimised.
        optimizer: Makes the optimizer of parameter groups; its ``lr`` is the peak.
        schedule: Factor on the peak learning rate.
        normalisation: What the loss is a mean over: all targets of the step, or those of each
            rank (of the ranks that share its sequences), and then over the ranks.
        max_grad_norm: The gradient is scaled down to this norm; None: never.
        compute_dtype: Of activations and matrix products.
        attention: Attention backend.
        compile_blocks: Compile each block with torch.compile.
        checkpointing: Which activations are computed again instead of kept.
        adapters: Train these; None: the model's own weights.
        seed: Of the initial weights.

    Attributes:
        start_from: Another run's weights, where there are any.
        resumes: A checkpoint of this run will be loaded.
    """

    def __init__(
        self,
        config: Olmo3Config,
        objective: Objective,
        optimizer: OptimizerFactory,
        schedule: Schedule,
        *,
        normalisation: Normalisation = "global",
        max_grad_norm: float | None = 1.0,
        compute_dtype: torch.dtype = torch.float32,
        attention: AttentionBackend = "sdpa",
        compile_blocks: bool = False,
        checkpointing: ActivationCheckpointing | None = None,
        adapters: Adapters | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.config, self.objective, self.schedule = config, objective, schedule
        self.make_optimizer = optimizer
        self.normalisation = normalisation
        self.max_grad_norm, self.seed = max_grad_norm, seed
        self.compile_blocks = compile_blocks
        self.checkpointing = checkpointing or ActivationCheckpointing()
        with torch.device("meta"):
            self.model = Olmo3(config, attention=attention, compute_dtype=compute_dtype)
        self.adapters = adapters
        if adapters is not None:
            attach(self.model, adapters.settings)
        self.checkpointing.check(self.model, compiled=compile_blocks)
        self.averages: dict[str, RunningMean] = {}
        self.tokens = self.head_tokens = 0
        self.global_targets = 0
        self.start_from: StartFrom | None = None
        self.resumes = False

    def configure_model(self) -> None:
        """Shard the model if there are ranks to share it, allocate and initialise it."""
        if not any(p.is_meta for p in self.model.parameters()):
            return
        strategy = self.trainer.strategy
        mesh = getattr(strategy, "mesh", None)
        self.model.context = getattr(strategy, "context", None)
        self.checkpointing.apply(self.model, draws=self._dropout > 0)
        if mesh is not None:
            shard(self.model, mesh, self.model.compute_dtype)
        if self.adapters is not None:
            fill(self.model, self.adapters.base, strategy.root_device, self.seed)
        elif self.resumes or self.start_from is not None:
            # Every weight is read from a checkpoint: to draw those of 32B takes a core 20 minutes.
            self.model.to_empty(device=strategy.root_device)
        else:
            initialise(self.model, self.seed, strategy.root_device)
        if self.compile_blocks:
            for block in self.model.blocks:
                block.compile()  # in place: state-dict keys stay clean

    @property
    def _dropout(self) -> float:
        return self.adapters.settings.dropout if self.adapters else 0.0

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimizer over two groups: the embedding is not decayed."""
        optimizer = self.make_optimizer(parameter_groups(self.model))
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
        return optimizer

    def on_fit_start(self) -> None:
        """Take over another run's weights, and its optimizer state where that is wanted."""
        if self.start_from is None:
            return
        checkpoint = self.start_from.checkpoint
        checkpoint.load_model(self.model)
        if self.start_from.optimizer:
            if not checkpoint.has_optimizer:
                raise UserError(
                    f"carry_optimizer=true: {checkpoint.path} holds no optimizer state; expected a "
                    "checkpoint that does, or carry_optimizer=false"
                )
            optimizer = self.trainer.optimizers[0]
            checkpoint.load_optimizer(self.model, optimizer, groups=False)

    def on_before_batch_transfer(self, batch: list[Batch], dataloader_idx: int) -> Share:
        """Cut out this rank's part of the step's micro-batches and count it, on the CPU."""
        return make_share(batch, self.objective, self.model.context, self.device)

    def training_step(self, share: Share, batch_idx: int) -> None:
        """One optimizer step over this rank's micro-batches."""
        optimizer = self.optimizers()
        assert not isinstance(optimizer, list)
        step = self.global_step
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * self.schedule.factor(step)
        if self._dropout:
            torch.manual_seed(self.seed + step)  # a resumed run draws what it would have drawn
        counts = self._global_counts(share.counts)
        targets = counts.targets
        scale = self._scale(targets, share.shared_targets)
        sums: dict[str, Tensor] = {}
        for number, batch in enumerate(share.micro_batches):
            self._synchronise(last=number == len(share.micro_batches) - 1)
            terms = self.objective(self.model, batch)
            torch.autograd.backward(terms.loss_sum * scale)
            for name, value in terms.metrics.items():
                sums[name] = sums[name] + value if name in sums else value
        totals = self._global_sums(sums)
        norm = self._clip()
        if isinstance(raw := optimizer.optimizer, SkipStepAdamW):
            raw.observe(totals[self.objective.watched] / targets, norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        self._account(totals, counts, norm, raw)

    def _global_counts(self, own: StepCounts) -> StepCounts:
        """The counts over all ranks."""
        if self.trainer.world_size > 1:
            counts = torch.tensor(own, device=self.device)
            dist.all_reduce(counts)
            own = StepCounts(*counts.tolist())
        return own._replace(targets=max(1, own.targets))

    def _scale(self, targets: int, share: int) -> float:
        """What a sum of losses is multiplied by, given that the ranks' gradients are averaged.

        Args:
            targets: Of the step, over all ranks.
            share: Of this rank and those that share its sequences.
        """
        if self.normalisation == "global":
            return float(self.trainer.world_size / targets)
        context = self.model.context
        return (1 if context is None else context.size) / max(1, share)

    def _global_sums(self, sums: dict[str, Tensor]) -> dict[str, Tensor]:
        if self.trainer.world_size > 1:
            stacked = torch.stack(list(sums.values()))
            dist.all_reduce(stacked)
            return dict(zip(sums, stacked, strict=True))
        return sums

    def _synchronise(self, *, last: bool) -> None:
        if isinstance(self.model, FSDPModule):
            self.model.set_requires_all_reduce(last)

    def _clip(self) -> Tensor:
        limit = self.max_grad_norm if self.max_grad_norm is not None else float("inf")
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        return norm.full_tensor() if isinstance(norm, DTensor) else norm

    def _account(
        self,
        totals: dict[str, Tensor],
        counts: StepCounts,
        norm: Tensor,
        optimizer: torch.optim.Optimizer,
    ) -> None:
        """Enter the step into the averages that the next log line shows."""
        targets, tokens, head_tokens = counts
        self.tokens += tokens
        self.head_tokens += head_tokens
        self.global_targets = targets
        for name, total in totals.items():
            self._average(f"train/{name}").update(total / targets, weight=targets)
        if self.objective.counts == "tokens":
            # Filled there: a number that is copied waits for the GPU.
            masked = torch.full((), 100 * (1 - targets / tokens), device=self.device)
            self._average("train/masked labels (%)").update(masked)
        self._average("optim/total grad norm").update(norm)
        if isinstance(optimizer, SkipStepAdamW):
            self._average("optim/step skipped").update(optimizer.step_skipped)

    def _average(self, name: str) -> RunningMean:
        if name not in self.averages:
            self.averages[name] = RunningMean().to(self.device)
        return self.averages[name]

    def collect(self, *, reset: bool = True) -> dict[str, float]:
        """The averages since the last reset, and what holds at this step."""
        metrics = {name: float(average.compute()) for name, average in self.averages.items()}
        if reset:
            self.averages.clear()
        if "train/CE loss" in metrics:
            metrics["train/PPL"] = float(torch.tensor(metrics["train/CE loss"]).exp())
        for index, group in enumerate(self.optimizers().param_groups):  # type: ignore[union-attr]
            metrics[f"optim/LR (group {index})"] = float(group["lr"])
        metrics["throughput/total tokens"] = self.tokens
        metrics["train/global batch size"] = self.global_targets
        return metrics

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the token count, and the averages of a report that is still to come."""
        checkpoint["tokens"], checkpoint["head_tokens"] = self.tokens, self.head_tokens
        checkpoint["averages"] = {
            name: (float(average.total), float(average.weight))
            for name, average in self.averages.items()
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore them."""
        self.tokens = int(checkpoint["tokens"])
        # Older ones lack it: then the head saw every token.
        self.head_tokens = int(checkpoint.get("head_tokens", self.tokens))
        for name, (total, weight) in checkpoint["averages"].items():
            self._average(name).restore(total, weight)
