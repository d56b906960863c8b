"""Which row of which slab holds what the sequence in a seat has read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from olmoflow.inference.native.attention import SlabRows
from olmoflow.inference.native.memory import CacheMemory
from olmoflow.inference.native.seats import Seats
from olmoflow.inference.native.slab import Slab

Ints = NDArray[np.int64]


class Placement:
    """Gives rows to seats, moves them and takes them back.

    Args:
        memory: Where the rows are.
        seats: Whose they are; `capacity` and `row` are kept here.
    """

    def __init__(self, memory: CacheMemory, seats: Seats) -> None:
        self.memory, self.seats = memory, seats

    def slab_of(self, seat: int) -> Slab:
        """The slab with the seat's row."""
        return self.memory.slabs[int(self.seats.capacity[seat])]

    def place(self, seat: int, length: int) -> bool:
        """Give a seat a row for so many tokens; says whether there is memory for it."""
        capacity = self.memory.capacity_for(length)
        if not self.memory.reserve(capacity, 1):
            return False
        self.seats.capacity[seat] = capacity
        self.seats.row[seat] = self.memory.slab(capacity).add(seat)
        return True

    def release(self, seats: Iterable[int]) -> None:
        """Take back the rows of seats."""
        rows: dict[int, list[int]] = defaultdict(list)
        for seat in seats:
            rows[int(self.seats.capacity[seat])].append(int(self.seats.row[seat]))
        for capacity, gone in rows.items():
            slab = self.memory.slabs[capacity]
            self._note(slab, slab.remove(gone))

    def enlarge(self, seats: Sequence[int]) -> bool:
        """Move the rows of seats in one slab to the next larger; False where memory lacks."""
        old = self.slab_of(seats[0])
        capacity = self.memory.capacity_for(old.capacity + 1)
        if not self.memory.reserve(capacity, len(seats)):
            return False
        new = self.memory.slab(capacity)
        sources = [int(self.seats.row[seat]) for seat in seats]
        targets = [new.add(seat) for seat in seats]
        new.take_in(targets, old, sources, old.capacity)
        self._note(old, old.remove(sources))
        self.seats.capacity[list(seats)] = capacity
        self.seats.row[list(seats)] = targets
        return True

    def copy_beginning(self, source: Slab, row: int, seats: Sequence[int], length: int) -> None:
        """Let seats take over the first tokens of a row; they have read them then."""
        by_slab: dict[int, list[int]] = defaultdict(list)
        for seat in seats:
            by_slab[int(self.seats.capacity[seat])].append(seat)
        for capacity, group in by_slab.items():
            rows = [int(self.seats.row[seat]) for seat in group]
            self.memory.slabs[capacity].take_in(rows, source, [row], length)
        self.seats.read[list(seats)] = length

    def arrange(self, ready: Ints) -> tuple[list[SlabRows], Ints]:
        """Bring the rows of the ready seats to the front of their slabs.

        Returns:
            Where they are, and the ready seats in the order of their rows.
        """
        chosen = set(ready.tolist())
        parts, order = list[SlabRows](), list[int]()
        for slab in self.memory.slabs.values():
            here = chosen.intersection(slab.owners)
            if here:
                self._note(slab, slab.bring_forward(here))
                parts.append(SlabRows(slab, len(order), len(here)))
                order += slab.owners[: len(here)]
        return parts, np.array(order, dtype=np.int64)

    def _note(self, slab: Slab, rows: Iterable[int]) -> None:
        for row in rows:
            self.seats.row[slab.owners[row]] = row
