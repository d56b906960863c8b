"""What a plan is about: a training run as numbers, and the machines that it would run on."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from olmoflow.errors import UserError
from olmoflow.mesh import Mesh
from olmoflow.model import Olmo3Config
from olmoflow.train.activation_checkpointing import ActivationCheckpointing
from olmoflow.train.adapters import LoRA

Optimizer = Literal["adamw", "adamw_8bit"]


@dataclass(frozen=True)
class Hardware:
    """Machines of one kind.

    Attributes:
        name: As the config names it.
        gpus_per_node: GPUs that share a fast interconnect.
        memory_gib: Of one GPU, as a program finds it.
        reserved_gib: Taken by the CUDA context, NCCL's buffers and the allocator's gaps.
        peak_tflops: Dense bf16 TFLOP/s of a GPU, from the data sheet.
        memory_gbps: GB/s of a GPU's own memory.
        intra_node_gbps: GB/s per GPU and direction within a node.
        inter_node_gbps: GB/s per GPU and direction between nodes.
        dollars_per_gpu_hour: Price.
    """

    name: str
    gpus_per_node: int
    memory_gib: float
    reserved_gib: float
    peak_tflops: float
    memory_gbps: float
    intra_node_gbps: float
    inter_node_gbps: float
    dollars_per_gpu_hour: float


@dataclass(frozen=True)
class Job:
    """A training run on its machines.

    Attributes:
        model: The architecture.
        mesh: How the ranks share the work; one rank is one GPU.
        hardware: The machines.
        sequence_length: Tokens.
        global_batch_tokens: Tokens of an optimizer step.
        max_tokens: The budget.
        micro_batch: Sequences that a rank computes at once.
        compute_bytes: Bytes of an activation: 2 for bf16, 4 for fp32.
        compiled: Whether blocks are compiled.
        float8: Whether matrix products run in float8; said of published runs, no setting of ours.
        keys_gathered_twice: Whether the backward pass gathers keys and values again; likewise.
        checkpointing: What is computed twice to save memory.
        chunk_tokens: Targets whose logits exist at a time.
        target_share: Share of the tokens that are targets; the LM head computes no others.
        logits_twice: Whether the backward pass computes the logits again, as that of preferences.
        adapter: Adapters that are trained beside the frozen model; None: the model itself is.
        optimizer: Whether its moments take 8 bytes a parameter or 2.
    """

    model: Olmo3Config
    mesh: Mesh
    hardware: Hardware
    sequence_length: int
    global_batch_tokens: int
    max_tokens: float
    micro_batch: int = 1
    compute_bytes: int = 2
    compiled: bool = True
    float8: bool = False
    keys_gathered_twice: bool = False
    checkpointing: ActivationCheckpointing = field(default_factory=ActivationCheckpointing)
    chunk_tokens: int = 1024
    target_share: float = 1.0
    logits_twice: bool = False
    adapter: LoRA | None = None
    optimizer: Optimizer = "adamw"

    def __post_init__(self) -> None:
        if self.sequence_length > self.model.max_sequence_length:
            raise UserError(
                f"sequence_length={self.sequence_length}: expected at most "
                f"model.max_sequence_length={self.model.max_sequence_length}"
            )
        if self.sequence_length % (2 * self.mesh.context) and self.mesh.context > 1:
            raise UserError(
                f"sequence_length={self.sequence_length}: expected a multiple of "
                f"2 × parallel.context = {2 * self.mesh.context}"
            )
        at_once = self.mesh.data_ranks * self.micro_batch * self.sequence_length
        if self.micro_batch < 1 or self.global_batch_tokens % at_once:
            raise UserError(
                f"global_batch_tokens={self.global_batch_tokens}: expected a multiple of "
                f"data ranks × micro-batch × sequence = {self.mesh.data_ranks} × "
                f"{self.micro_batch} × {self.sequence_length} = {at_once}"
            )
        if self.checkpointing.mode == "budget" and not self.compiled:
            raise UserError("runtime.activation_checkpointing.mode=budget: expected compile=true")
        alone = {"adapter": self.adapter, "optimizer=adamw_8bit": self.optimizer == "adamw_8bit"}
        for key, chosen in alone.items():
            if chosen and self.mesh.ranks > 1:
                raise UserError(
                    f"{key}: {self.mesh.ranks} GPUs found; expected one (hardware=rtx4090, say)"
                )
        if self.adapter and self.compiled:
            raise UserError("compile=true: a plan of adapters expects compile=false")

    @property
    def micro_batches(self) -> int:
        """Micro-batches of a rank in one optimizer step."""
        at_once = self.mesh.data_ranks * self.micro_batch * self.sequence_length
        return self.global_batch_tokens // at_once

    @property
    def rank_tokens(self) -> int:
        """Tokens that one rank computes in a micro-batch."""
        return self.micro_batch * self.sequence_length // self.mesh.context

    @property
    def rank_targets(self) -> int:
        """Of them, those that the LM head sees."""
        return math.ceil(self.target_share * self.rank_tokens)

    @property
    def nodes(self) -> int:
        """Machines."""
        return -(-self.mesh.ranks // self.hardware.gpus_per_node)
