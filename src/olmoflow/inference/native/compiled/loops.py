"""What the compiled loops are made of: memory by address, a shared counter, bf16 and exp.

A loop is a C function of one pointer, so that torch's own threads can run it (`threads.py`). It
reads addresses and sizes from there, and takes blocks of rows from a counter that all threads
share until there are none left.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core.extending import intrinsic, overload
from numba.np.numpy_support import carray

from olmoflow.compiled import njit

# Sums may be reordered, which vectors need; what is infinite or no number stays that.
FAST = {"reassoc", "contract", "nsz"}
OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": FAST}
_JIT: Any = OPTIONS
F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile a function that loops call."""
    return cast(F, njit(**OPTIONS)(function))


def inlined(function: F) -> F:
    """Compile it into its callers, where constants of theirs become constants in it."""
    return cast(F, njit(inline="always", **OPTIONS)(function))


BF16, FP32 = np.uint16, np.float32


@intrinsic
def _take(typing: Any, counter: Any) -> Any:
    """The value that the 64-bit counter at a pointer had before it was raised by one."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = builder.bitcast(arguments[0], ir.IntType(64).as_pointer())
        return builder.atomic_rmw("add", pointer, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(types.voidptr), generate


take: Any = _take


@intrinsic
def _to_pointer(typing: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.int64), generate


_pointer: Any = _to_pointer


@compiled
def at(address: int, size: int, dtype: Any) -> Any:
    """[size] numbers that lie at an address."""
    return carray(_pointer(address), (size,), dtype)


@compiled
def arguments(data: Any, number: int) -> Any:
    """[number] 64-bit integers that a loop gets: counter, number of rows, and so on."""
    return carray(data, (number,), np.int64)


@compiled
def _from_bf16(bits: Any) -> Any:
    return np.uint32(np.uint32(bits) << np.uint32(16)).view(np.float32)


@compiled
def _to_bf16(value: Any) -> Any:
    bits = np.float32(value).view(np.uint32)
    half = np.uint32(0x7FFF) + np.uint32(np.uint32(bits >> np.uint32(16)) & np.uint32(1))
    return np.uint16(np.uint32(bits + half) >> np.uint32(16))


def widen(value: Any) -> Any:
    """A number of the model's dtype as fp32; bf16 comes as the uint16 that holds its bits."""


def narrow(value: Any, dtype: Any) -> Any:
    """Round fp32 to the model's dtype, to the nearest, ties to even."""


# numba compares names and annotations of what is compiled with those of what chooses it.
@overload(widen, jit_options=_JIT)
def _widen(value: Any) -> Any:
    def half(value: Any) -> Any:
        return _from_bf16(value)

    def same(value: Any) -> Any:
        return value

    return half if value == types.uint16 else same


@overload(narrow, jit_options=_JIT)
def _narrow(value: Any, dtype: Any) -> Any:
    def half(value: Any, dtype: Any) -> Any:
        return _to_bf16(value)

    def same(value: Any, dtype: Any) -> Any:
        return value

    return half if dtype.dtype == types.uint16 else same


@compiled
def exp(x: Any) -> Any:
    """e^x of fp32 to 2e-7 of it, below 1e-37 to 0; made of what vectors can do.

    2^n times a polynomial in what is left, with the coefficients of Cephes' ``expf``.
    """
    x = min(max(x, np.float32(-87.0)), np.float32(88.0))
    n = np.floor(x * np.float32(1.44269504) + np.float32(0.5))
    x = x - n * np.float32(0.693359375) - n * np.float32(-2.12194440e-4)
    y = np.float32(1.9875691500e-4)
    y = y * x + np.float32(1.3981999507e-3)
    y = y * x + np.float32(8.3334519073e-3)
    y = y * x + np.float32(4.1665795894e-2)
    y = y * x + np.float32(1.6666665459e-1)
    y = y * x + np.float32(5.0000001201e-1)
    y = y * x * x + x + np.float32(1.0)
    return y * np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)


@compiled
def _ordered(bits: Any) -> Any:
    """The bits of fp32 to integers that are ordered as the numbers are; its own inverse."""
    return np.int32(bits ^ np.int32(np.int32(bits >> np.int32(31)) & np.int32(0x7FFFFFFF)))


@compiled
def highest(x: Any) -> Any:
    """The largest number, as fp32; as integers, since LLVM compares those in vectors."""
    found = np.int32(-0x80000000)
    for i in range(len(x)):
        key = _ordered(np.float32(widen(x[i])).view(np.int32))
        found = key if key > found else found
    return np.int32(_ordered(found)).view(np.float32)
