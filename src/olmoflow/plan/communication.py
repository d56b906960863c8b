"""Bytes that a training step puts on the links, as this trainer communicates.

With P parameters, of them E in embedding, final norm and LM head, S ranks that share a copy of the
model, R copies, C ranks that share a sequence and n micro-batches, a rank sends in one step:

- all-gather, bf16:        n · 2 · (2 (P - E) + E) · (S - 1) / S     blocks for both passes
- reduce-scatter, fp32:    n · 4 · P · (S - 1) / S                   after every micro-batch
- all-reduce, fp32:        2 · 4 · P / S · (R - 1) / R               after the last one only
- keys and values, bf16:   n · 2 · K · tokens · (C - 1) / C          gathered, their gradient
                                                                     scattered back

where K are the key and value numbers of a token over all layers (half as much again where they are
gathered for a second forward pass). A ring through several nodes leaves
and enters each once per ring; with as many rings as GPUs of the node take part, every link between
nodes carries its share of the bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

from olmoflow.plan.job import Hardware, Job


@dataclass(frozen=True)
class Collective:
    """One kind of collective over a step, as one GPU sees it.

    Attributes:
        name: What is communicated.
        intra_node: Bytes that the GPU sends within its node.
        inter_node: Bytes that it sends to another node.
        seconds: At the links' nominal speed; a ring is as fast as its slowest link.
    """

    name: str
    intra_node: float
    inter_node: float
    seconds: float


def collectives(job: Job) -> list[Collective]:
    """All that a rank communicates in one optimizer step; empty for one rank."""
    mesh, model, n = job.mesh, job.model, job.micro_batches
    shared, copies, context = mesh.sharded, mesh.replicate, mesh.context
    total = model.num_parameters
    root = 2 * model.vocab_size * model.d_model + model.d_model
    ring, copies_ring = (shared - 1) / shared, (copies - 1) / copies
    gathered = job.compute_bytes * (2 * (total - root) + root)
    keys = 2.0 * model.n_layers * model.n_kv_heads * model.head_width
    if job.checkpointing.mode == "full" or job.keys_gathered_twice:
        keys *= 1.5
    sequences = job.micro_batch * job.sequence_length
    hops = [
        ("all-gather of parameters", n * gathered * ring, shared, 1),
        ("reduce-scatter of gradients", n * 4 * total * ring, shared, 1),
        ("all-reduce of gradients", 2 * 4 * total / shared * copies_ring, copies, shared),
        (
            "keys and values",
            n * 2 * keys * job.compute_bytes * sequences * (context - 1) / context,
            context,
            1,
        ),
    ]
    return [_placed(*hop, job.hardware) for hop in hops if hop[1]]


def _placed(name: str, sent: float, ranks: int, stride: int, hardware: Hardware) -> Collective:
    """Bytes on either kind of link for a ring over every `stride`-th of the ranks."""
    in_node = min(ranks, max(1, hardware.gpus_per_node // stride))
    intra = sent if in_node > 1 else 0.0
    inter = sent / in_node if ranks > in_node else 0.0
    seconds = max(intra / hardware.intra_node_gbps, inter / hardware.inter_node_gbps) / 1e9
    return Collective(name, intra, inter, seconds)
