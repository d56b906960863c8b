"""The order of training samples: a pure function of mixture, seed and position.

A sample is a window of a source. Which source the k-th sample comes from is evenly spaced by
proportion (`interleave`); which window of the source, follows a pseudo-random permutation of its
own, a new one each time the source has been gone through (`permutation`). Nothing depends on
workers, ranks or how a batch is cut up, and nothing of the size of the data is stored.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from olmoflow.errors import UserError
from olmoflow.tokens.interleave import Interleave
from olmoflow.tokens.permutation import derive_seeds, hash_seed, permute

# The order is computed so many positions at a time, since a step's few would cost as much.
BLOCK = 8192
OnCap = Literal["error", "redistribute"]
Located = tuple[NDArray[np.int64], NDArray[np.int64]]


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
    """How many windows a source has, where its groups of chunks begin, and what it holds."""

    windows: int
    group_starts: tuple[int, ...] = (0,)
    content: str = ""


class Mixture:
    """Maps the position of a sample to a source and a window of it.

    Args:
        sources: The sources.
        sizes: Their sizes, in the same order.
        seed: Of every shuffle.
        planned: Samples of the whole run, for the caps; None: not checked.
        on_cap: What happens when a source would be repeated more often than it may be:
            ``error``, or ``redistribute`` its excess over the others.

    Attributes:
        proportions: [sources], the shares that sum to 1, after any redistribution.

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
        if not sources:
            raise UserError("data.sources: empty; expected at least one source of token shards")
        self.sources, self.sizes, self.seed = list(sources), list(sizes), seed
        for source, size in zip(sources, sizes, strict=True):
            if size.windows < 1:
                raise UserError(
                    f"sequence_length: {source.shards} holds fewer tokens than one sequence"
                )
        weights = _weights(self.sources, self.sizes)
        if planned is not None:
            weights = self._capped(weights, planned, on_cap)
        self.proportions = weights / weights.sum()
        self._interleave = Interleave(weights)
        self._block = lru_cache(maxsize=4)(self._locate_block)

    def __getstate__(self) -> dict[str, object]:
        return {key: value for key, value in self.__dict__.items() if key != "_block"}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._block = lru_cache(maxsize=4)(self._locate_block)

    def fingerprint(self) -> str:
        """Identifies the order: equal fingerprints, equal samples."""
        identity = [
            self.seed,
            self._interleave.weights.tolist(),
            [asdict(size) for size in self.sizes],
            [source.shuffle_chunks for source in self.sources],
        ]
        return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]

    def locate(self, first: int, count: int) -> Located:
        """The samples [first, first + count).

        Returns:
            Their sources and windows, both [count] int64.
        """
        parts = []
        for number in range(first // BLOCK, (first + count - 1) // BLOCK + 1):
            here = slice(max(0, first - number * BLOCK), first + count - number * BLOCK)
            which, windows = self._block(number)
            parts.append((which[here], windows[here]))
        if len(parts) == 1:
            return parts[0]
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])

    def _locate_block(self, number: int) -> Located:
        positions = np.arange(number * BLOCK, (number + 1) * BLOCK, dtype=np.int64)
        which, ranks = self._interleave.assign(positions)
        windows = np.empty(BLOCK, dtype=np.int64)
        for source in np.unique(which):
            mine = which == source
            windows[mine] = self._windows(int(source), ranks[mine])
        return which, windows

    def _windows(self, number: int, ranks: NDArray[np.int64]) -> NDArray[np.int64]:
        """The window of the ranks[i]-th sample of a source."""
        size = self.sizes[number]
        epochs, places = np.divmod(ranks, size.windows)
        seeds = derive_seeds(hash_seed(self.seed, "source", number), epochs)
        if self.sources[number].shuffle_chunks is None:
            return permute(places, size.windows, seeds)
        windows = np.empty(len(ranks), dtype=np.int64)
        for seed in np.unique(seeds):
            now = seeds == seed
            windows[now] = _shuffled_in_groups(places[now], size, int(seed))
        return windows

    def _capped(
        self, weights: NDArray[np.float64], planned: int, on_cap: OnCap
    ) -> NDArray[np.float64]:
        """Weights under which no source is repeated more often than it may be."""
        windows = np.array([size.windows for size in self.sizes])
        # A sample more than a whole number of rounds is no repetition worth an error.
        allowed = windows * [source.max_repetition for source in self.sources] + 1
        shares = weights / weights.sum()
        over = shares * planned > allowed
        if not over.any():
            return weights
        if on_cap == "error" or allowed.sum() < planned:
            worst = int(np.argmax(shares * planned / allowed))
            needed = shares[worst] * planned / windows[worst]
            raise UserError(
                f"data.sources: {self.sources[worst].shards} would be repeated {needed:.2f} times, "
                f"max_repetition={self.sources[worst].max_repetition:g} allows fewer; give it a "
                "smaller proportion, more repetition or fewer steps"
            )
        # What a capped source loses raises the others, which may pass their caps in turn.
        while True:
            capped: NDArray[np.float64] = np.where(over, allowed / planned, 0.0)
            if over.all():
                return capped
            free = np.where(over, 0.0, weights)
            shares = np.asarray(capped + free / free.sum() * (1 - capped.sum()), np.float64)
            if not (passed := ~over & (shares * planned > allowed)).any():
                return shares
            over |= passed


def _weights(sources: Sequence[Source], sizes: Sequence[Sizes]) -> NDArray[np.float64]:
    given = [source.proportion for source in sources]
    if all(p is None for p in given):
        return np.array([size.windows for size in sizes], dtype=np.float64)
    for source, proportion in zip(sources, given, strict=True):
        if proportion is None or proportion <= 0:
            raise UserError(
                f"data.sources: {source.shards} has proportion={proportion}; expected a "
                "positive number for every source, or null for all"
            )
    shares: NDArray[np.float64] = np.array(given, dtype=np.float64)
    shares /= shares.sum()
    return shares


def _shuffled_in_groups(places: NDArray[np.int64], size: Sizes, seed: int) -> NDArray[np.int64]:
    """Permute the groups of chunks, and the windows within each group."""
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
