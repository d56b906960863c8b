"""Everything that a plan says about one job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from olmoflow.plan.calibration import FITTED
from olmoflow.plan.communication import collectives
from olmoflow.plan.job import Job
from olmoflow.plan.memory import Traced, peak_gib, trace
from olmoflow.plan.roofline import Executed, terms

BYTES_IN_CHECKPOINT = 12  # of a parameter: itself and two moments, fp32
Tracer = Callable[[Job], Traced]


@dataclass(frozen=True)
class Estimate:
    """Memory, time and cost of a job.

    Attributes:
        memory_gib: Of a rank at its peak, by kind, and their sum as ``peak``.
        executed: What its GPU computes.
        step: Seconds of a step by what takes them.
        tokens: Of the whole run.
    """

    job: Job
    memory_gib: dict[str, float]
    executed: Executed
    step: dict[str, float]
    tokens: float

    @property
    def step_seconds(self) -> float:
        """Seconds of an optimizer step."""
        return sum(self.step.values())

    @property
    def fits(self) -> bool:
        """Whether the peak and what is reserved fit into a GPU's memory."""
        hardware = self.job.hardware
        return self.memory_gib["peak"] + hardware.reserved_gib <= hardware.memory_gib

    @property
    def tokens_per_second_per_gpu(self) -> float:
        """Throughput of one GPU."""
        return self.job.global_batch_tokens / self.step_seconds / self.job.mesh.ranks

    @property
    def flops_per_token(self) -> float:
        """Of the formula, without the head's of tokens that are no targets.

        Matrices that are frozen have no gradient of their own.
        """
        whole = self.job.model.flops_per_token(self.job.sequence_length)
        head = (1 - self.job.target_share) * self.job.model.head_flops_per_token
        if self.job.adapter is None:
            return whole - head
        frozen = self.job.model.num_non_embedding_parameters
        return whole - head * 2 / 3 - 2 * frozen + 6 * (self.executed.trained or 0)

    @property
    def checkpoint_gib(self) -> float:
        """Of a step on the disk: what is trained, fp32, and its moments."""
        if self.job.adapter is None:
            return BYTES_IN_CHECKPOINT * self.job.model.num_parameters / 2**30
        return 4 * (self.executed.trained or 0) / 2**30 + self.memory_gib["optimizer"]

    @property
    def gpu_hours(self) -> float:
        """Of the whole run, as if nothing ever failed."""
        return self.tokens / self.tokens_per_second_per_gpu / 3600

    @property
    def dollars(self) -> float:
        """Of the whole run."""
        return self.gpu_hours * self.job.hardware.dollars_per_gpu_hour

    def as_dict(self) -> dict[str, Any]:
        """The contract's keys first, then the parts that they were made of."""
        job = self.job
        flops = self.flops_per_token
        peak = job.hardware.peak_tflops * 1e12
        return {
            "memory_gib": self.memory_gib,
            "flops_per_token": flops,
            "step_seconds": self.step_seconds,
            "tokens_per_second_per_gpu": self.tokens_per_second_per_gpu,
            "mfu": flops * self.tokens_per_second_per_gpu / peak,
            "days": self.gpu_hours / job.mesh.ranks / 24,
            "gpu_hours": self.gpu_hours,
            "dollars": self.dollars,
            "fits": self.fits,
            "gpus": job.mesh.ranks,
            "hardware": job.hardware.name,
            "gpu_memory_gib": job.hardware.memory_gib,
            "reserved_gib": job.hardware.reserved_gib,
            "parallel": {
                "replicate": job.mesh.replicate,
                "shard": job.mesh.shard,
                "context": job.mesh.context,
                "micro_batches": job.micro_batches,
                "micro_batch_sequences": job.micro_batch,
            },
            "parameters": job.model.num_parameters,
            "parameters_per_rank": job.model.num_parameters / job.mesh.sharded,
            "tokens": self.tokens,
            "target_share": job.target_share,
            "trained_parameters": self.executed.trained,
            "checkpoint_gib": self.checkpoint_gib,
            "step": self.step,
            "executed_matmul_flops_per_token": self.executed.matmul_flops_per_token,
            "attention_recomputed": self.executed.attention_recompute,
            "communication": [
                {
                    "name": c.name,
                    "intra_node_bytes": c.intra_node,
                    "inter_node_bytes": c.inter_node,
                    "seconds": c.seconds,
                }
                for c in collectives(job)
            ],
        }


def estimate(job: Job, tokens: float, tracer: Tracer = trace) -> Estimate:
    """Plan one job for so many tokens."""
    traced = tracer(job)
    executed = Executed(
        traced.matmul_flops / job.rank_tokens, traced.attention_recompute, traced.trained
    )
    step = FITTED.parts(terms(job, executed))
    return Estimate(job, peak_gib(traced), executed, step, tokens)
