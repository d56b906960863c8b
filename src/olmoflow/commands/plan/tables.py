"""A plan for people: tables in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from olmoflow.commands.command_line.tables import print_table
from olmoflow.plan.calibration import Compared
from olmoflow.plan.roofline import Constants


def print_plan(plan: Mapping[str, Any]) -> None:
    """Memory, communication, time and cost, and advice where it does not fit."""
    console = Console()
    shape = plan["parallel"]
    arrangement = " × ".join(f"{name} {shape[name]}" for name in ("replicate", "shard", "context"))
    console.print(
        f"{counted(plan['gpus'], 'GPU')} ({plan['hardware']}): {arrangement}; "
        f"{counted(shape['micro_batches'], 'micro-batch', 'es')} of "
        f"{counted(shape['micro_batch_sequences'], 'sequence')}",
        soft_wrap=True,
    )
    memory = _table("GiB per GPU at the peak", "")
    for kind, gib in plan["memory_gib"].items():
        if kind != "peak":
            memory.add_row(kind, f"{gib:.2f}")
    memory.add_row("reserved (assumed)", f"{plan['reserved_gib']:.2f}")
    total = plan["memory_gib"]["peak"] + plan["reserved_gib"]
    verdict = "fits" if plan["fits"] else "does not fit"
    memory.add_row("together", f"{total:.2f} of {plan['gpu_memory_gib']:g}: {verdict}")
    print_table(memory)
    if plan["communication"]:
        wire = _table("GB per GPU and step", "in the node", "between nodes")
        for row in plan["communication"]:
            sent = (f"{row[key] / 1e9:.2f}" for key in ("intra_node_bytes", "inter_node_bytes"))
            wire.add_row(row["name"], *sent)
        print_table(wire)
    print_table(_time(plan))
    for change in plan["advice"]:
        verdict = "fits" if change["fits"] else "still too much, the nearest"
        console.print(
            f"{verdict}: {' '.join(change['overrides'])}\n"
            f"  {change['peak_gib']:.1f} GiB, {change['step_seconds']:.2f} s per step, "
            f"${change['dollars']:,.0f}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


def counted(number: int, what: str, ending: str = "s") -> str:
    """``1 GPU`` or ``8 GPUs``."""
    return f"{number:,} {what}" + ("" if number == 1 else ending)


def _time(plan: Mapping[str, Any]) -> Table:
    parts = ", ".join(f"{name} {seconds:.2f}" for name, seconds in plan["step"].items())
    table = _table("time and cost", "")
    for name, value in (
        ("FLOPs per token", f"{plan['flops_per_token'] / 1e9:.2f} G"),
        ("seconds per step", f"{plan['step_seconds']:.3f} ({parts})"),
        ("tokens per second and GPU", f"{plan['tokens_per_second_per_gpu']:,.0f}"),
        ("MFU", f"{100 * plan['mfu']:.1f} %"),
        ("tokens", f"{plan['tokens'] / 1e9:,.4g} B"),
        ("of them learnt", f"{100 * plan['target_share']:.1f} %"),
        ("days", f"{plan['days']:,.2f}"),
        ("GPU-hours", f"{plan['gpu_hours']:,.0f}"),
        ("dollars", f"{plan['dollars']:,.0f}"),
        ("a checkpoint", f"{plan['checkpoint_gib']:,.1f} GiB"),
    ):
        table.add_row(name, value)
    return table


def print_calibration(rows: Sequence[Compared], constants: Constants) -> None:
    """Published throughput beside the predicted."""
    table = _table("tokens/s per GPU", "published", "predicted", "error", "row left out of the fit")
    for row in rows:
        table.add_row(
            row.name,
            f"{row.published:,.0f}",
            f"{row.predicted:,.0f}",
            f"{100 * row.error:+.1f} %",
            f"{100 * row.error_left_out:+.1f} %",
        )
    console = Console()
    print_table(table)
    console.print(
        f"matmul efficiency {constants.matmul_efficiency:.3f}, attention efficiency "
        f"{constants.attention_efficiency:.3f}, exposed communication {constants.exposed:.3f}"
    )


def _table(title: str, *columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(title)
    for column in columns:
        table.add_column(column, justify="right")
    return table
