"""Runs a compiled loop in the threads in which torch multiplies matrices.

A pool of its own would wake up while torch's threads still spin in wait for the next product, and
both would fight for the same cores. `GOMP_parallel` is how compiled OpenMP code enters a parallel
region; the runtimes of GCC, LLVM and Intel all have it. Where torch was built without OpenMP, the
loop runs in the calling thread.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from numba import cfunc, types
from torch import Tensor

from olmoflow.inference.native.compiled.loops import BF16, FP32, OPTIONS

NUMBERS = {torch.bfloat16: BF16, torch.float32: FP32}
"""What stands for the dtypes that loops are compiled for."""
Kind = tuple[torch.dtype, *tuple[int, ...]]
_GRAIN = 2**15
"""Numbers that a thread should have, as in torch: for fewer it is not worth waking."""


def has_loops(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether loops can be compiled for it."""
    return device.type == "cpu" and dtype in NUMBERS


class Loop:
    """A loop over rows, compiled when it is first needed.

    Args:
        make: Makes the loop for a dtype of numpy, and for numbers that are constants in it. It
            gets a pointer to 64-bit integers: a counter, the number of rows, and the arguments.
    """

    def __init__(self, make: Callable[..., Callable[[Any], None]]) -> None:
        self._make = make
        self._kernels: dict[Kind, tuple[Any, int, Any]] = {}

    def __call__(
        self, kind: Kind, rows: int, *arguments: Tensor | int, numbers: int | None = None
    ) -> None:
        """Run over all rows.

        Args:
            kind: What `make` gets; the dtype is torch's.
            rows: Their number.
            arguments: Tensors go in as the address of their first number.
            numbers: That are worked on, where they may be too few for several threads.
        """
        _, address, function = self._kernels.get(kind) or self._compile(kind)
        values = [a if isinstance(a, int) else a.data_ptr() for a in arguments]
        block = (ctypes.c_int64 * (len(values) + 2))(0, rows, *values)
        threads, enter = torch.get_num_threads(), _enter()
        if numbers is not None:
            threads = min(threads, numbers // _GRAIN)
        if enter is None or threads < 2:
            function(ctypes.addressof(block))
        else:
            enter(address, ctypes.addressof(block), threads, 0)

    def _compile(self, kind: Kind) -> tuple[Any, int, Any]:
        """The kernel, which must stay alive, its address, and itself as a Python function."""
        dtype, *constants = kind
        loop = self._make(NUMBERS[dtype], *constants)
        kernel: Any = cfunc(types.void(types.voidptr), cache=True, **OPTIONS)(loop)
        self._kernels[kind] = kernel, kernel.address, kernel.ctypes
        return self._kernels[kind]


@cache
def _enter() -> Callable[[int, int, int, int], None] | None:
    """Calls a C function with a pointer in a number of threads."""
    library = Path(torch.__file__).parent / "lib"
    for name in ("libtorch_cpu.so", "libtorch_cpu.dylib"):
        if (library / name).is_file():
            enter = getattr(ctypes.CDLL(str(library / name)), "GOMP_parallel", None)
            if enter is not None:
                enter.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
                enter.restype = None
                return enter  # type: ignore[no-any-return]
    return None
