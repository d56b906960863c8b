"""What to change where a job does not fit: single changes first, each of them planned again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from olmoflow.errors import UserError
from olmoflow.mesh import Mesh
from olmoflow.plan.estimate import Estimate, estimate
from olmoflow.plan.job import Job
from olmoflow.train.activation_checkpointing import ActivationCheckpointing

MOST_TRIED = 6
"""Changes that are planned again; each takes seconds."""


@dataclass(frozen=True)
class Change:
    """A change and the plan with it."""

    overrides: tuple[str, ...]
    result: Estimate

    def as_dict(self) -> dict[str, object]:
        """One entry of the result's ``advice``."""
        return {
            "overrides": list(self.overrides),
            "peak_gib": round(self.result.memory_gib["peak"], 2),
            "step_seconds": self.result.step_seconds,
            "dollars": self.result.dollars,
            "fits": self.result.fits,
        }


def advise(found: Estimate) -> list[Change]:
    """Changes with which the job fits, the first of its kind each; else the one that comes nearest.

    The order is that of what they cost: compiling, sharding over more ranks, a smaller micro-batch,
    computing part or all of the activations twice, splitting sequences, more machines.
    """
    tried: list[Change] = []
    done: set[str] = set()
    for kind, overrides, changed in candidates(found):
        # All at once, and more machines, only where nothing less does.
        if kind in done or len(tried) == MOST_TRIED or (done and kind in ("all", "nodes")):
            continue
        change = Change(overrides, estimate(changed, found.tokens))
        tried.append(change)
        if change.result.fits:
            done.add(kind)
    fitting = [change for change in tried if change.result.fits]
    nearest = sorted(tried, key=lambda change: change.result.memory_gib["peak"])[:1]
    return fitting or nearest


def candidates(found: Estimate) -> Iterator[tuple[str, tuple[str, ...], Job]]:
    """Changes in order: their kind, the overrides, the job with them."""
    job = found.job
    yield from _possible("adapter", job, _lighter_base(job))
    yield from _possible("compile", job, [(("compile=true",), {"compiled": True})])
    yield from _possible("shard", job, _more_sharding(found))
    if job.micro_batch > 1:
        smaller = ("runtime.micro_batch_sequences=1",)
        yield from _possible("micro-batch", job, [(smaller, {"micro_batch": 1})])
    yield from _possible("checkpointing", job, _checkpointing(job))
    yield from _possible("context", job, _context(job))
    if job.adapter is not None:
        return  # one GPU
    least = Mesh(1, job.mesh.replicate * job.mesh.shard, job.mesh.context)
    everything = {"mesh": least, "micro_batch": 1, "checkpointing": ActivationCheckpointing("full")}
    overrides = (
        *_mesh_overrides(least),
        "runtime.micro_batch_sequences=1",
        *_overrides(ActivationCheckpointing("full")),
    )
    yield from _possible("all", job, [(overrides, everything)])
    for times in (2, 4, 8):
        wider = Mesh(1, least.shard * times, least.context)
        nodes = f"nodes={job.nodes * times}"
        change = (nodes, *overrides[:2], f"parallel.shard={wider.shard}", *overrides[3:])
        yield from _possible("nodes", job, [(change, {**everything, "mesh": wider})])


_Options = list[tuple[tuple[str, ...], dict[str, object]]]


def _possible(kind: str, job: Job, options: _Options) -> Iterator[tuple[str, tuple[str, ...], Job]]:
    for overrides, changes in options:
        try:
            changed = replace(job, **changes)  # type: ignore[arg-type]
        except UserError:
            continue  # the batch or the sequence cannot be divided so
        if changed != job:
            yield kind, overrides, changed


def _lighter_base(job: Job) -> _Options:
    """Frozen matrices in 4 bits, or out of the GPU's memory."""
    if job.adapter is None:
        return []
    return [
        (("adapter=qlora",), {"adapter": replace(job.adapter, base="nf4")}),
        (("adapter.offload=true",), {"adapter": replace(job.adapter, offload=True)}),
    ]


def _more_sharding(found: Estimate) -> _Options:
    """The least that may do: parameters, gradients and moments shrink, the rest stays."""
    job, mesh = found.job, found.job.mesh
    room = job.hardware.memory_gib - job.hardware.reserved_gib - found.memory_gib["peak"]
    for times in range(2, mesh.replicate + 1):
        saved = 16 * job.model.num_parameters / mesh.sharded * (1 - 1 / times) / 2**30
        if mesh.replicate % times == 0 and saved + room >= 0:
            wider = Mesh(mesh.replicate // times, mesh.shard * times, mesh.context)
            return [(_mesh_overrides(wider), {"mesh": wider})]
    return []


def _mesh_overrides(mesh: Mesh) -> tuple[str, ...]:
    return ("parallel=hsdp", f"parallel.context={mesh.context}", f"parallel.shard={mesh.shard}")


def _checkpointing(job: Job) -> _Options:
    stages = [
        ActivationCheckpointing("modules", ("blocks.*.feed_forward",)),
        *(ActivationCheckpointing("budget", budget=share) for share in (0.5, 0.25)),
        ActivationCheckpointing("full"),
    ]
    if job.checkpointing.mode == "full":
        return []
    return [
        (_overrides(how), {"checkpointing": how, "compiled": job.compiled or how.mode == "budget"})
        for how in stages
    ]


def _context(job: Job) -> _Options:
    """Sequences split over ranks of a node that share the model already."""
    mesh = job.mesh
    options: _Options = []
    for size in (2, 4, 8):
        if mesh.context < size <= job.hardware.gpus_per_node and mesh.sharded % size == 0:
            split = Mesh(mesh.replicate, mesh.sharded // size, size)
            options.append((_mesh_overrides(split), {"mesh": split}))
    return options


def _overrides(how: ActivationCheckpointing) -> tuple[str, ...]:
    """What to write on the command line for it."""
    key = "runtime.activation_checkpointing"
    budget = "null" if how.budget is None else f"{how.budget:g}"
    chosen = (
        f"{key}.mode={how.mode}",
        f"{key}.modules=[{','.join(how.modules)}]",
        f"{key}.budget={budget}",
    )
    return (*chosen, "compile=true") if how.mode == "budget" else chosen
