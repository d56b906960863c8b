"""Seconds of a training step.

    step = matmul / efficiency + attention / efficiency + exposed · communication + optimizer

- matmul: seconds of the executed matrix products at the GPU's peak, what activation checkpointing
  computes twice included;
- attention: seconds of the formula's attention FLOPs (no causal halving) at the peak; its constant
  also takes in norms, rotations and whatever else lies around it;
- communication: seconds of the collectives at the links' nominal speed, of which some hide behind
  the matrix products;
- optimizer: AdamW reads and writes 28 bytes of each of the rank's own parameters (itself, gradient
  and two moments in, all but the gradient out) at the speed of the GPU's memory.

The three constants are linear in the step's seconds (as 1 / efficiency), so the fit is a linear
least-squares problem: see `calibration`.
"""

from __future__ import annotations

from dataclasses import dataclass

from olmoflow.plan.communication import collectives
from olmoflow.plan.job import Job

FLOAT8_SPEED = 1.4
"""Matrix products in float8 against bf16, with the casts. Not fitted: it follows from published
whole-step gains of 1.28 (torchtitan, Llama 3.1 8B) and 1.32 (OLMo-core, 7B at 4096 tokens)."""

EAGER_SPEED = 1 / 1.16
"""Computing without compile against with it (torchtitan, Llama 3.1 8B on 8 H100). Not fitted."""


@dataclass(frozen=True)
class Executed:
    """What a rank's GPU computes beyond the formula.

    Attributes:
        matmul_flops_per_token: Of all matrix products, those computed twice included.
        attention_recompute: Attentions computed again, as a share of all.
        trained: Parameters that the optimizer updates; None: all.
    """

    matmul_flops_per_token: float
    attention_recompute: float = 0.0
    trained: float | None = None


@dataclass(frozen=True)
class Terms:
    """Seconds of a step at nominal speed."""

    matmul: float
    attention: float
    communication: float
    optimizer: float


@dataclass(frozen=True)
class Constants:
    """What nominal seconds take in practice.

    Attributes:
        matmul_efficiency: Share of the peak that matrix products reach.
        attention_efficiency: The same for attention, by the formula's count.
        exposed: Share of the communication that delays the step.
    """

    matmul_efficiency: float
    attention_efficiency: float
    exposed: float

    def seconds(self, terms: Terms) -> float:
        """Seconds of a step."""
        return sum(self.parts(terms).values())

    def parts(self, terms: Terms) -> dict[str, float]:
        """The same by what takes them; communication is what it delays the step by."""
        return {
            "matmul": terms.matmul / self.matmul_efficiency,
            "attention": terms.attention / self.attention_efficiency,
            "communication": self.exposed * terms.communication,
            "optimizer": terms.optimizer,
        }


def terms(job: Job, executed: Executed) -> Terms:
    """The seconds of a step at nominal speed."""
    tokens = job.micro_batches * job.rank_tokens
    peak = job.hardware.peak_tflops * 1e12
    weights = 6 * job.model.num_non_embedding_parameters
    attention = job.model.flops_per_token(job.sequence_length) - weights
    again = 1 + executed.attention_recompute / 3  # a forward pass is a third of the count
    speed = 1.0 if job.compiled else EAGER_SPEED
    trained = job.model.num_parameters if executed.trained is None else executed.trained
    return Terms(
        tokens * executed.matmul_flops_per_token / peak / speed / (FLOAT8_SPEED**job.float8),
        tokens * attention * again / peak / speed,
        sum(c.seconds for c in collectives(job)),
        28 * trained / job.mesh.sharded / (job.hardware.memory_gbps * 1e9),
    )
