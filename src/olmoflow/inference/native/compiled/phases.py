"""Work in phases within one parallel region: nobody begins a phase before all of the last is done.

Each phase has two counters: items that were taken and items that are done. Whoever finds none to
take says how many it has done and waits until that is all, which needs no knowledge of the number
of threads: they may be fewer than were asked for.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core.extending import intrinsic

from olmoflow.inference.native.compiled.loops import compiled

STRIDE = 16
"""64-bit integers of a phase, so that its two counters have a line of the cache each."""
_DONE = 64  # bytes from one counter to the other
_SPINS = 2000
_LONG = ir.IntType(64)

_give_way = types.ExternalFunction("sched_yield", types.int32())


@intrinsic
def _to_raise(typing: Any, address: Any, number: Any) -> Any:
    """Raise the integer at an address; returns what it was."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], _LONG.as_pointer())
        return builder.atomic_rmw("add", pointer, arguments[1], "acq_rel")

    return types.int64(types.int64, types.int64), generate


@intrinsic
def _to_read(typing: Any, address: Any) -> Any:
    """The integer at an address, which other threads raise."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], _LONG.as_pointer())
        return builder.load_atomic(pointer, "acquire", 8)

    return types.int64(types.int64), generate


_add: Any = _to_raise
_read: Any = _to_read


@compiled
def next_item(phase: int) -> int:
    """An item that nobody else has; there may be none with that number."""
    item: int = _add(phase, 1)
    return item


@compiled
def finish(phase: int, mine: int, items: int) -> int:
    """Say how many items were done here and wait for the others; returns the next phase.

    Args:
        phase: Address of its counters.
        mine: Items done by this thread.
        items: Of the phase.
    """
    _add(phase + _DONE, mine)
    spins = 0
    while _read(phase + _DONE) < items:
        spins += 1
        if spins > _SPINS:  # another process has taken the core of a thread that is waited for
            _give_way()
    return phase + 8 * STRIDE
