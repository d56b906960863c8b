"""The order of training samples: a pure function of mixture, seed and position.

A sample is a window of a source. The order is cut into blocks of `BLOCK` samples; each block holds
every source in its proportion, rounded to 1/`BLOCK`, and is shuffled by the seed. Which window of
the source it is follows a permutation of its own, a new one each time the source has been gone
through. Nothing depends on workers, ranks or how a batch is cut up, and nothing is stored.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from olmoflow.errors import UserError
from olmoflow.tokens.permutation import permute

BLOCK = 8192
OnCap = Literal["error", "redistribute"]


@dataclass(frozen=True)
class Source:
    """One source of a mixture.

    Attributes:
        shards: A folder or URL of token shards.
        proportion: Its share of the samples; None for all sources: by size.
        max_repetition: How often a window may be seen over the whole run.
        shuffle_chunks: Windows are shuffled among so many neighbouring chunks only, which lets
            remote shards stream through a bounded cache; None: over the whole source.
    """

    shards: str
    proportion: float | None = None
    max_repetition: float = 1.0
    shuffle_chunks: int | None = None


@dataclass(frozen=True)
class Sizes:
    """How many windows a source has, and where its groups of chunks begin."""

    windows: int
    group_starts: tuple[int, ...] = (0,)


class Mixture:
    """Maps the position of a sample to a source and a window of it.

    Args:
        sources: The sources.
        sizes: Their sizes, in the same order.
        seed: Of every shuffle.
        planned: Samples of the whole run, for the caps; None: not checked.
        on_cap: What happens when a source would be repeated more often than it may be:
            ``error``, or ``redistribute`` its excess over the others.

    Raises:
        UserError: Proportions are given for some sources only, a source is empty, or a cap is
            passed.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        sizes: Sequence[Sizes],
        *,
        seed: int,
        planned: int | None = None,
        on_cap: OnCap = "error",
    ) -> None:
        self.sources, self.sizes, self.seed = list(sources), list(sizes), seed
        for source, size in zip(sources, sizes, strict=True):
            if size.windows < 1:
                raise UserError(
                    f"sequence_length: {source.shards} holds fewer tokens than one sequence"
                )
        self.proportions = self._proportions()
        if planned is not None:
            self.proportions = self._capped(planned, on_cap)
        self.counts = _counts(self.proportions)

    def fingerprint(self) -> str:
        """Identifies the order: equal fingerprints, equal samples."""
        identity = [
            self.seed,
            self.counts.tolist(),
            [asdict(size) for size in self.sizes],
            [source.shuffle_chunks for source in self.sources],
        ]
        return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]

    def locate(self, first: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The samples [first, first + count).

        Returns:
            Their sources and windows, both [count] int64.
        """
        positions = np.arange(first, first + count, dtype=np.int64)
        blocks, places = np.divmod(positions, BLOCK)
        which = np.empty(count, dtype=np.int64)
        rank = np.empty(count, dtype=np.int64)  # the how-manieth sample of its source
        ends = np.cumsum(self.counts)
        for block in np.unique(blocks):
            now = blocks == block
            mixed = permute(places[now], BLOCK, hash_seed(self.seed, "block", int(block)))
            source = np.searchsorted(ends, mixed, side="right")
            which[now] = source
            rank[now] = block * self.counts[source] + mixed - (ends - self.counts)[source]
        windows = np.empty(count, dtype=np.int64)
        for number in range(len(self.sources)):
            mine = which == number
            windows[mine] = self._windows(number, rank[mine])
        return which, windows

    def _windows(self, number: int, ranks: NDArray[np.int64]) -> NDArray[np.int64]:
        size = self.sizes[number]
        windows = np.empty(len(ranks), dtype=np.int64)
        epochs, places = np.divmod(ranks, size.windows)
        for epoch in np.unique(epochs):
            now = epochs == epoch
            seed = hash_seed(self.seed, "source", number, int(epoch))
            windows[now] = _shuffled(places[now], size, seed)
        return windows

    def _proportions(self) -> NDArray[np.float64]:
        given = [source.proportion for source in self.sources]
        if all(p is None for p in given):
            shares = np.array([size.windows for size in self.sizes], dtype=np.float64)
        else:
            for source, proportion in zip(self.sources, given, strict=True):
                if proportion is None or proportion <= 0:
                    raise UserError(
                        f"data.sources: {source.shards} has proportion={proportion}; expected a "
                        "positive number for every source, or null for all"
                    )
            shares = np.array(given, dtype=np.float64)
        shares /= shares.sum()
        return shares

    def _capped(self, planned: int, on_cap: OnCap) -> NDArray[np.float64]:
        allowed = np.array(
            [s.max_repetition * z.windows for s, z in zip(self.sources, self.sizes, strict=True)]
        )
        shares = self.proportions
        over = shares * planned > allowed + 1
        if not over.any():
            return shares
        if on_cap == "error" or allowed.sum() < planned:
            worst = int(np.argmax(shares * planned / allowed))
            needed = shares[worst] * planned / self.sizes[worst].windows
            raise UserError(
                f"data.sources: {self.sources[worst].shards} would be repeated {needed:.2f} times, "
                f"max_repetition={self.sources[worst].max_repetition:g} allows fewer; give it a "
                "smaller proportion, more repetition or fewer steps"
            )
        while over.any():
            capped = np.where(over, allowed / planned, 0.0)
            free = np.where(over, 0.0, self.proportions)
            shares = capped + free / free.sum() * (1 - capped.sum())
            over = over | (shares * planned > allowed + 1)
            if over.all():
                break
        return shares


def _counts(proportions: NDArray[np.float64]) -> NDArray[np.int64]:
    """Samples of each source in a block: by largest remainder, at least one of each."""
    exact = proportions * BLOCK
    counts = np.maximum(1, np.floor(exact)).astype(np.int64)
    missing = BLOCK - int(counts.sum())
    if missing > 0:
        counts[np.argsort(-(exact - counts), kind="stable")[:missing]] += 1
    elif missing < 0:
        # So many sources below one in a block that the largest must give way.
        counts[np.argmax(counts)] += missing
    return counts


def hash_seed(*parts: object) -> int:
    """A 64-bit seed from a few values."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little")


def _shuffled(places: NDArray[np.int64], size: Sizes, seed: int) -> NDArray[np.int64]:
    """Permute the windows: over the whole source, or group by group of chunks."""
    if len(size.group_starts) == 1:
        return permute(places, size.windows, seed)
    starts = np.array([*size.group_starts, size.windows], dtype=np.int64)
    lengths = np.diff(starts)
    groups = permute(np.arange(len(lengths), dtype=np.int64), len(lengths), seed)
    ends = np.cumsum(lengths[groups])
    slot = np.searchsorted(ends, places, side="right")
    windows = np.empty(len(places), dtype=np.int64)
    for each in np.unique(slot):
        now = slot == each
        group = int(groups[each])
        length = int(lengths[group])
        within = places[now] - (int(ends[each]) - length)
        windows[now] = starts[group] + permute(within, length, hash_seed(seed, group))
    return windows
