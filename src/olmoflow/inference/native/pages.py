"""Memory in large pages, where the system gives them to who asks.

Each step of decoding goes once through all keys and values. In pages of 4 KiB the processor looks
up where a page lies every few rows, in pages of 2 MiB hardly ever.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor

_LARGE = 2**21
"""Bytes of a large page on x86 and on ARM with small pages of 4 KiB."""


def zeros(shape: Sequence[int], device: torch.device, dtype: torch.dtype) -> Tensor:
    """As `torch.zeros`; on a CPU in large pages, as far as whole ones lie in it."""
    found = torch.empty(shape, device=device, dtype=dtype)
    if device.type == "cpu":
        _ask_for_large_pages(found)
    return found.zero_()  # pages come into being here, so it is asked before


def _ask_for_large_pages(tensor: Tensor) -> None:
    first = -(-tensor.data_ptr() // _LARGE) * _LARGE
    end = (tensor.data_ptr() + tensor.nbytes) // _LARGE * _LARGE
    advise = _advise()
    if advise is not None and first < end:
        advise(first, end - first, mmap.MADV_HUGEPAGE)  # a wish: a refusal changes nothing


@cache
def _advise() -> Callable[[int, int, int], int] | None:
    """The system call; None where there are no large pages to ask for."""
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        return None
    advise = getattr(ctypes.CDLL(None), "madvise", None)
    if advise is not None:
        advise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return advise
