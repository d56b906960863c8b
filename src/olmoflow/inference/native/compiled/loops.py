"""What the compiled loops are made of: memory by address, a shared counter, bf16 and exp.

A loop is a C function of one pointer, so that torch's own threads can run it (`threads.py`). It
reads addresses and sizes from there, and takes blocks of rows from a counter that all threads
share until there are none left.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, njit, types
from numba.core.extending import intrinsic, overload

# Sums may be reordered, which vectors need; what is infinite or no number stays that.
FAST = {"reassoc", "contract", "nsz"}
OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": FAST}
BF16, FP32 = np.uint16, np.float32


@intrinsic
def take(typing: Any, counter: Any) -> Any:
    """The value that the 64-bit counter at a pointer had before it was raised by one."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = builder.bitcast(arguments[0], ir.IntType(64).as_pointer())
        return builder.atomic_rmw("add", pointer, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(types.voidptr), generate


@intrinsic
def _pointer(typing: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.int64), generate


@njit(**OPTIONS)
def at(address: int, size: int, dtype: Any) -> Any:
    """[size] numbers that lie at an address."""
    return carray(_pointer(address), (size,), dtype)


@njit(**OPTIONS)
def _from_bf16(bits: Any) -> Any:
    return np.uint32(np.uint32(bits) << np.uint32(16)).view(np.float32)


@njit(**OPTIONS)
def _to_bf16(value: Any) -> Any:
    bits = np.float32(value).view(np.uint32)
    half = np.uint32(0x7FFF) + np.uint32(np.uint32(bits >> np.uint32(16)) & np.uint32(1))
    return np.uint16(np.uint32(bits + half) >> np.uint32(16))


def widen(value):  # type: ignore[no-untyped-def]  # numba compares the names and annotations
    """A number of the model's dtype as fp32; bf16 comes as the uint16 that holds its bits."""


def narrow(value, dtype):  # type: ignore[no-untyped-def]
    """fp32 to the model's dtype, to the nearest, ties to even."""


@overload(widen, jit_options=OPTIONS)
def _widen(value):  # type: ignore[no-untyped-def]
    return (lambda value: _from_bf16(value)) if value == types.uint16 else (lambda value: value)


@overload(narrow, jit_options=OPTIONS)
def _narrow(value, dtype):  # type: ignore[no-untyped-def]
    if dtype.dtype == types.uint16:
        return lambda value, dtype: _to_bf16(value)
    return lambda value, dtype: value


@njit(**OPTIONS)
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


@njit(**OPTIONS)
def _ordered(bits: Any) -> Any:
    """The bits of fp32 to integers that are ordered as the numbers are; its own inverse."""
    return np.int32(bits ^ np.int32(np.int32(bits >> np.int32(31)) & np.int32(0x7FFFFFFF)))


@njit(**OPTIONS)
def highest(x: Any) -> Any:
    """The largest number, as fp32; as integers, since LLVM compares those in vectors."""
    found = np.int32(-0x80000000)
    for i in range(len(x)):
        key = _ordered(np.float32(widen(x[i])).view(np.int32))
        found = key if key > found else found
    return np.int32(_ordered(found)).view(np.float32)
