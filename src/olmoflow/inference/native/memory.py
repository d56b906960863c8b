"""The memory for keys and values: slabs of rows of growing capacity, within a budget.

A sequence begins in a slab that little more than fits it and moves to the next larger when it
outgrows it, so that a short one never pays for a long one beside it, and none holds more than about
one and a half times what it needs.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch

from olmoflow.inference.native.slab import Slab
from olmoflow.model import Olmo3Config

SMALLEST = 64
"""Tokens of the smallest rows."""


class CacheMemory:
    """Slabs that together stay below a number of bytes.

    Args:
        config: The model's.
        max_length: Tokens of the longest sequence.
        budget: Bytes for keys and values.
        device: Where they live.
        dtype: Of keys and values.
    """

    def __init__(
        self,
        config: Olmo3Config,
        max_length: int,
        budget: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.config, self.max_length, self.budget = config, max_length, budget
        self.device, self.dtype = device, dtype
        self.slabs: dict[int, Slab] = {}
        self._row_bytes: dict[int, int] = {}

    def capacity_for(self, length: int) -> int:
        """Capacity of the smallest rows that hold so many tokens."""
        return capacity_for(length, self.max_length)

    def row_bytes(self, capacity: int) -> int:
        """Bytes of a row."""
        if capacity not in self._row_bytes:
            self._row_bytes[capacity] = row_bytes(self.config, capacity, self.dtype)
        return self._row_bytes[capacity]

    @property
    def used(self) -> int:
        """Bytes that the slabs hold now."""
        return sum(slab.rows * self.row_bytes(c) for c, slab in self.slabs.items())

    def slab(self, capacity: int) -> Slab:
        """The slab with rows of a capacity."""
        if capacity not in self.slabs:
            self.slabs[capacity] = Slab(self.config, capacity, self.device, self.dtype)
        return self.slabs[capacity]

    def reserve(self, capacity: int, rows: int) -> bool:
        """Make room for so many more rows in use; says whether the budget allows it."""
        slab = self.slab(capacity)
        needed = len(slab.owners) + rows
        if needed <= slab.rows:
            return True
        # Twice as many while that is possible, so that growing costs little on the whole.
        for target in (max(needed, 2 * slab.rows), needed):
            if self._fits(slab, target):
                slab.resize(target)
                return True
        for other in self.slabs.values():
            if other is not slab and len(other.owners) < other.rows:
                other.resize(len(other.owners))
        if self._fits(slab, needed):
            slab.resize(needed)
            return True
        return False

    def _fits(self, slab: Slab, rows: int) -> bool:
        more = (rows - slab.rows) * self.row_bytes(slab.capacity)
        return self.used + more <= self.budget


def capacity_for(length: int, max_length: int) -> int:
    """Capacity of the smallest rows that hold so many tokens, of at most `max_length`."""
    capacity = SMALLEST
    while capacity < length:
        # 64, 96, 128, 192, …: a decoding step looks at all slots, so none should be mostly empty.
        power = 1 << (capacity.bit_length() - 1)
        capacity = power * 2 if capacity > power else power * 3 // 2
    return min(capacity, max_length)


def row_bytes(config: Olmo3Config, capacity: int, dtype: torch.dtype) -> int:
    """Bytes of the keys and values of a sequence with room for so many tokens."""
    windows = map(config.window, range(config.n_layers))
    slots = sum(capacity if window is None else min(window, capacity) for window in windows)
    return 2 * slots * config.n_kv_heads * config.head_width * dtype.itemsize


def default_budget(device: torch.device) -> int:
    """Bytes for keys and values where none are given: half of what is free, on a GPU 80 %."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(0.8 * free)
    if device.type == "mps":
        free = torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
        return free // 2
    return available_memory() // 2


def available_memory() -> int:
    """Bytes of main memory that are free, or all of it where the system does not say."""
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
