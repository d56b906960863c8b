"""Prompts are read chunk by chunk, and what several have in common by one of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from olmoflow.inference.native.attention import ChunkAttention
from olmoflow.inference.native.network import Network
from olmoflow.inference.native.placement import Placement
from olmoflow.inference.native.prefixes import (
    SHORTEST,
    Snapshot,
    Snapshots,
    common_length,
    shared_by,
    usable,
)
from olmoflow.inference.native.seats import NOBODY, Sample, Seats
from olmoflow.inference.native.slab import Slab

Ints = NDArray[np.int64]

NO_SEATS: Ints = np.zeros(0, dtype=np.int64)
_PADDING = 4
"""Queries of a chunk, padding included, as a multiple of its tokens at most."""


class Reading:
    """Reads the tokens of all seats but the last of each, which the next decoding step reads.

    Args:
        network: Of the model.
        placement: Of the seats.
        snapshots: Where to keep what others may need.
        chunk: Tokens of one pass, at most.
        vocab_size: Ids of tokens are below it.
    """

    def __init__(
        self,
        network: Network,
        placement: Placement,
        snapshots: Snapshots,
        chunk: int,
        vocab_size: int,
    ) -> None:
        self.network, self.placement, self.snapshots = network, placement, snapshots
        self.seats: Seats = placement.seats
        self.chunk, self.vocab_size = chunk, vocab_size
        self.window = network.config.sliding_window
        self._unread = False

    def plan(self, new: Sequence[int], state: int, later: set[int]) -> None:
        """Find what newly seated sequences can take over, from others or from each other.

        Args:
            new: Their seats.
            state: Of the weights: how often they have changed.
            later: Numbers of the requests of which samples still wait.
        """
        self._unread = True
        others = np.setdiff1d(self.seats.taken(), new)
        left = list(new)
        while left:
            leader = left.pop(0)
            followers = self._followers(leader, left)
            spared = 0
            if not self._sample(leader).prompt.lacks_logprobs:
                spared = self._take_over(leader, others, state)
            length, members = followers
            if length <= spared:
                continue
            self.seats.stop_at[leader] = length
            self.seats.leader[members] = leader
            left = [seat for seat in left if seat not in members]
            requests = {self._sample(seat).prompt.number for seat in (leader, *members)}
            self.seats.kept[leader] = len(requests) > 1 or bool(requests & later)

    def read(self) -> bool:
        """Read one chunk; says whether there was anything to read."""
        seats = self._next() if self._unread else NO_SEATS
        self._unread = len(seats) > 0
        if not self._unread:
            return False
        starts = self.seats.read[seats]
        lengths = self.seats.stop_at[seats] - starts
        # Queries are padded to the longest: those of similar length go together.
        order = np.argsort(-lengths, kind="stable")
        order = order[: max(1, _PADDING * self.chunk // int(lengths[order[0]]))]
        seats, starts, lengths = seats[order], starts[order], lengths[order]
        # As many as fit whole: the rest of one that is cut would be a pass of its own.
        whole = max(1, int((lengths.cumsum() <= self.chunk).sum()))
        seats, starts, lengths = seats[:whole], starts[:whole], lengths[:whole]
        lengths = np.minimum(lengths, self.chunk)
        self._forward(seats, starts, lengths)
        self.seats.read[seats] = starts + lengths
        for seat in seats[self.seats.read[seats] == self.seats.stop_at[seats]].tolist():
            self._hand_over(seat)
        return True

    def _next(self) -> Ints:
        """Seats of one slab with tokens to read, either all at the beginning or none."""
        seats = self.seats.taken()
        unread = self.seats.stop_at[seats] > self.seats.read[seats]
        seats = seats[unread & (self.seats.leader[seats] == NOBODY)]
        begins = self.seats.read[seats] == 0
        first = slice(0, 1)
        alike = self.seats.capacity[seats] == self.seats.capacity[seats[first]]
        found: Ints = seats[alike & (begins == begins[first])]
        return found

    def _forward(self, seats: Ints, starts: Ints, lengths: Ints) -> None:
        spans = [
            np.arange(start, start + length)
            for start, length in zip(starts.tolist(), lengths.tolist(), strict=True)
        ]
        positions = np.concatenate(spans)
        of_token = np.repeat(seats, lengths)
        ids = self.network.tensor(self.seats.tokens[of_token, positions])
        slab = self.placement.slab_of(int(seats[0]))
        attention = ChunkAttention(
            self.network.config, slab, self.seats.row[seats], starts, lengths, positions
        )
        given = ids, self.network.tensor(positions), attention
        wanted = np.array([self._sample(seat).prompt.lacks_logprobs for seat in seats])
        if not wanted.any():
            self.network.read(*given)
            return
        hidden = self.network.hidden_states(*given)
        self._score_prompts(seats, lengths, wanted, of_token, positions, hidden)

    def _score_prompts(
        self,
        seats: Ints,
        lengths: Ints,
        wanted: NDArray[np.bool_],
        of_token: Ints,
        positions: Ints,
        hidden: Tensor,
    ) -> None:
        """Log-probabilities of the tokens that follow those just read, where they are wanted."""
        chosen = np.repeat(wanted, lengths).nonzero()[0]
        following = self.seats.tokens[of_token[chosen], positions[chosen] + 1]
        logprobs = self.network.logprobs(hidden, chosen, following, self.vocab_size)[0]
        ends = lengths[wanted].cumsum()[:-1]
        for seat, part in zip(seats[wanted].tolist(), np.split(logprobs, ends), strict=True):
            self._sample(seat).prompt_logprobs += part.tolist()

    def _hand_over(self, seat: int) -> None:
        """The leader has read what it shares."""
        length = int(self.seats.stop_at[seat])
        sample = self._sample(seat)
        self.seats.stop_at[seat] = self.seats.total[seat] - 1
        if sample.prompt.lacks_logprobs and length == self.seats.stop_at[seat]:
            sample.prompt.logprobs = sample.prompt_logprobs
        followers = (self.seats.leader == seat).nonzero()[0].tolist()
        slab, row = self.placement.slab_of(seat), int(self.seats.row[seat])
        if followers:
            self.placement.copy_beginning(slab, row, followers, length)
            self.seats.leader[followers] = NOBODY
        if self.seats.kept[seat]:
            self.seats.kept[seat] = False
            self._keep_snapshot(seat, slab, row, length)

    def _keep_snapshot(self, seat: int, slab: Slab, row: int, length: int) -> None:
        own = Slab(self.network.config, length, self.network.device, slab.layers[0].dtype)
        own.resize(1)
        own.take_in([own.add(seat)], slab, [row], length)
        tokens = self.seats.tokens[seat, :length].copy()
        self.snapshots.keep(Snapshot(tokens, own, int(self.seats.since[seat])))

    def _followers(self, leader: int, left: Sequence[int]) -> tuple[int, list[int]]:
        prompt = self._sample(leader).prompt
        # Who needs the log-probabilities of its own prompt has to read all of it.
        fit = [
            seat
            for seat in self._alike(leader, left)
            if not self._sample(seat).prompt.lacks_logprobs or self._sample(seat).prompt is prompt
        ]
        length, members = shared_by(self._to_read(leader), [self._to_read(seat) for seat in fit])
        return length, [fit[member] for member in members]

    def _alike(self, seat: int, others: Sequence[int] | Ints) -> list[int]:
        """Those of the others that begin with so many of its tokens that sharing may pay."""
        others, tokens = np.asarray(others, dtype=np.int64), self.seats.tokens[:, :SHORTEST]
        long = self.seats.total[others] > SHORTEST
        alike: list[int] = others[long & (tokens[others] == tokens[seat]).all(1)].tolist()
        return alike

    def _take_over(self, seat: int, others: Ints, state: int) -> int:
        """Copy the longest beginning that is there already; returns its length."""
        tokens = self._to_read(seat)
        length, snapshot = self.snapshots.best(tokens, state, self.window)
        source = None if snapshot is None else (snapshot.slab, 0)
        for other in self._alike(seat, others[self.seats.since[others] == state]):
            read = int(self.seats.read[other])
            common = common_length(tokens, self.seats.tokens[other, :read])
            spared = usable(common, read, self.window)
            if spared > length:
                length = spared
                source = self.placement.slab_of(other), int(self.seats.row[other])
        if source is None or length < SHORTEST:
            return 0
        self.placement.copy_beginning(*source, [seat], length)
        return length

    def _to_read(self, seat: int) -> Ints:
        return self.seats.tokens[seat, : self.seats.total[seat] - 1]

    def _sample(self, seat: int) -> Sample:
        sample = self.seats.samples[seat]
        assert sample is not None
        return sample
