"""Peak arithmetic rates, for MFU."""

from __future__ import annotations

import time
from functools import cache

import torch

# Dense bf16 FLOP/s from the vendors' data sheets, by a part of the device's name. Lightning's own
# table lists sparse figures for some devices, which halves their MFU.
_GPU_BF16_PEAKS = {
    "H200": 989.5e12,
    "H100 NVL": 835.5e12,
    "H100 PCIe": 756.0e12,
    "H100": 989.5e12,
    "B200": 2250.0e12,
    "A100": 312.0e12,
    "L40S": 362.0e12,
    "RTX 4090": 165.2e12,
    "RTX 3090": 71.0e12,
}


@cache
def peak_flops(device: torch.device, dtype: torch.dtype) -> float | None:
    """FLOP/s that the device's matrix products reach at best; None where that is not known.

    A GPU's comes from its data sheet; a CPU's is measured, for about a second, once in a process,
    and too low where other programs are busy meanwhile: see `raised_peak`.
    """
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        return next((peak for part, peak in _GPU_BF16_PEAKS.items() if part in name), None)
    return measured_flops(dtype) if device.type == "cpu" else None


def raised_peak(peak: float, reached: float, device: torch.device, dtype: torch.dtype) -> float:
    """The peak, after a computation has reached so many FLOP/s.

    No computation beats the peak. One that beats a CPU's shows that it was measured while the
    machine was busy: it is measured anew, and is never below what was reached.
    """
    if device.type != "cpu" or reached <= peak:
        return peak
    return max(reached, measured_flops(dtype))


def lacks_bfloat16(device: torch.device) -> bool:
    """Whether this is a CPU without instructions for bfloat16, fifty times slower than in fp32."""
    known = hasattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported")
    if device.type != "cpu" or not known:
        return False
    return not torch.ops.mkldnn._is_mkldnn_bf16_supported()


def measured_flops(dtype: torch.dtype, seconds: float = 0.6) -> float:
    """FLOP/s of a square matrix product on this CPU: the best of several rounds."""
    # Some processors have no instructions for bfloat16 and are fifty times slower: begin small.
    for size in (256, 512, 1024, 1536):
        # The best of three, since the first calls also start threads.
        best = min(_product_seconds(size, dtype) for _ in range(3))
        if best > seconds / 20:
            break
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        best = min(best, _product_seconds(size, dtype))
    return 2 * size**3 / best


def _product_seconds(size: int, dtype: torch.dtype) -> float:
    a, b = (torch.randn(size, size).to(dtype) for _ in range(2))
    before = time.perf_counter()
    a @ b
    return time.perf_counter() - before
