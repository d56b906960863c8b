"""Documents packed into sequences of T tokens: best-fit-decreasing, as for Olmo 3's third stage.

The longest document goes first, each into the fullest sequence that still has room for it ("Fewer
truncations improve language modeling", arXiv 2404.10830). A document longer than T is cut into
pieces of T and a rest. No token is lost, none appears twice, and what a sequence has left is
padding.

Ai2 packs groups of 8 files of a source, in an order of the files that has a seed of its own; here
a source is packed as a whole (or, with ``shuffle_chunks``, by groups of as many chunks). Packing
is a function of the documents' lengths alone, so the order stays one of mixture and seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from olmoflow.compiled import njit
from olmoflow.errors import UserError
from olmoflow.tokens.reader import TokenShards


@dataclass(frozen=True)
class Packing:
    """The pieces of documents that each sequence of a source consists of.

    Attributes:
        starts: Position of each piece's first token in its source, int64 [pieces].
        lengths: Its tokens, int64 [pieces].
        continues: Whether its document goes on after it, bool [pieces].
        offsets: Sequence s has the pieces [offsets[s], offsets[s + 1]), int64 [sequences + 1].
        group_starts: The first sequence of each group that was packed by itself.
    """

    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    continues: NDArray[np.bool_]
    offsets: NDArray[np.int64]
    group_starts: tuple[int, ...] = (0,)

    @property
    def sequences(self) -> int:
        """How many there are."""
        return len(self.offsets) - 1


def pack_source(shards: TokenShards, capacity: int, chunks: int | None = None) -> Packing:
    """Pack a source's documents into sequences of ``capacity`` tokens.

    Args:
        shards: The source.
        capacity: T.
        chunks: Documents that begin in so many neighbouring chunks are packed together; None: all.

    Raises:
        UserError: ``chunks`` is no positive number.
    """
    if chunks is not None and chunks < 1:
        raise UserError(f"shuffle_chunks={chunks}: expected a positive number or null")
    starts = np.unique(np.concatenate([[0], shards.document_starts]))
    lengths = np.diff(np.append(starts, len(shards)))
    starts, lengths = starts[lengths > 0], lengths[lengths > 0]
    first_tokens = np.concatenate([[0], shards.ends[:-1]])[:: chunks or len(shards.ends)]
    borders = np.unique(np.append(np.searchsorted(starts, first_tokens), len(starts)))
    parts, group_starts, sequences = [], [], 0
    for low, high in zip(borders[:-1].tolist(), borders[1:].tolist(), strict=True):
        part = pack_documents(starts[low:high], lengths[low:high], capacity)
        parts.append(part)
        group_starts.append(sequences)
        sequences += part.sequences
    counts = np.concatenate([np.diff(part.offsets) for part in parts])
    return Packing(
        np.concatenate([part.starts for part in parts]),
        np.concatenate([part.lengths for part in parts]),
        np.concatenate([part.continues for part in parts]),
        np.concatenate([[0], np.cumsum(counts)]),
        tuple(group_starts),
    )


def pack_documents(starts: NDArray[np.int64], lengths: NDArray[np.int64], capacity: int) -> Packing:
    """Pack documents into sequences of ``capacity`` tokens, best-fit-decreasing.

    Args:
        starts: Position of each document's first token, [documents].
        lengths: Its tokens, each at least 1, [documents].
        capacity: T.
    """
    pieces = -(-lengths // capacity)
    document = np.repeat(np.arange(len(lengths)), pieces)
    within = np.arange(len(document)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    at = within * capacity
    piece_lengths = np.minimum(lengths[document] - at, capacity)
    longest_first = np.argsort(-piece_lengths, kind="stable")
    bins = best_fit(piece_lengths[longest_first], capacity)
    by_sequence = longest_first[np.argsort(bins, kind="stable")]
    counts = np.bincount(bins)
    return Packing(
        (starts[document] + at)[by_sequence],
        piece_lengths[by_sequence],
        (within + 1 < pieces[document])[by_sequence],
        np.concatenate([[0], np.cumsum(counts)]),
    )


@njit(cache=True, nogil=True)
def best_fit(lengths: NDArray[np.int64], capacity: int) -> NDArray[np.int64]:
    """The bin of each length: the fullest that has room for it, else a new one.

    O(n log capacity): a binary tree over the free space of the bins finds the least that suffices;
    bins with the same free space hang in a list, the latest first.

    Args:
        lengths: [n], each from 1 to ``capacity``, in the order in which they are packed.
        capacity: Of a bin.

    Returns:
        [n] int64.
    """
    leaves = 1
    while leaves < capacity + 1:
        leaves *= 2
    occupied = np.zeros(2 * leaves, np.bool_)  # node i has the children 2i and 2i + 1
    newest = np.full(capacity + 1, -1, np.int64)  # free space -> its latest bin
    older = np.empty(len(lengths), np.int64)  # bin -> the one before it in its list
    bins = np.empty(len(lengths), np.int64)
    count = 0
    for index in range(len(lengths)):
        length = lengths[index]
        node = leaves + length
        if not occupied[node]:
            # Up until a right neighbour has something, then down to its least.
            while node > 1 and (node % 2 == 1 or not occupied[node + 1]):
                node //= 2
            if node > 1:
                node += 1
                while node < leaves:
                    node = 2 * node if occupied[2 * node] else 2 * node + 1
        if node > 1:
            free = node - leaves
            chosen = newest[free]
            newest[free] = older[chosen]
            if newest[free] < 0:
                occupied[node] = False
                while node > 1 and not occupied[node ^ 1]:
                    node //= 2
                    occupied[node] = False
        else:
            free, chosen = capacity, count
            count += 1
        bins[index] = chosen
        free -= length
        if free:
            older[chosen] = newest[free]
            newest[free] = chosen
            node = leaves + free
            while node >= 1 and not occupied[node]:
                occupied[node] = True
                node //= 2
    return bins
