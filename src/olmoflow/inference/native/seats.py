"""The bookkeeping of running sequences, as arrays with one place (seat) for each.

A step over the batch is a few array operations on them, whatever the number of sequences. A
sequence knows `total` tokens and has read `read` of them, so that one that lacks a single token is
ready for the next decoding step.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from olmoflow.inference.engine import GenerationRequest
from olmoflow.inference.native.uniform import stream_key

Ints = NDArray[np.int64]
NOBODY = -1


@dataclass
class Prompt:
    """What the samples of one request share.

    Attributes:
        number: Of the request.
        logprobs: Of the prompt's tokens from the second on, once they are computed.
    """

    number: int
    request: GenerationRequest
    logprobs: list[float] | None = None

    @property
    def lacks_logprobs(self) -> bool:
        """Whether its tokens' log-probabilities are asked for and not there yet."""
        return self.request.prompt_logprobs and self.logprobs is None


@dataclass(eq=False)
class Sample:
    """One sample, with what it has said so far when it does not run."""

    prompt: Prompt
    number: int
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    prompt_logprobs: list[float] = field(default_factory=list)

    @property
    def age(self) -> tuple[int, int]:
        """Order in which samples were asked for."""
        return self.prompt.number, self.number

    @property
    def known(self) -> Ints:
        """The tokens to read: the prompt's and its own."""
        return np.array([*self.prompt.request.prompt_ids, *self.token_ids], dtype=np.int64)


class Seats:
    """Places for running sequences.

    Args:
        number: Of places.
        vocab_size: Ids of tokens are below it.

    Attributes:
        samples: Who sits there.
        capacity: [seats] of the row that holds its keys and values.
        row: [seats] that row.
        total: [seats] tokens known.
        read: [seats] tokens whose keys and values are stored.
        count: [seats] new tokens.
        limit: [seats] new tokens at most.
        stop_at: [seats] it reads up to here before others take over what it has read.
        leader: [seats] whose reading it waits for, or NOBODY.
        since: [seats] state of the weights (how often they had changed) when it began to read.
        kept: [seats] whether what it reads up to `stop_at` is kept for others that come later.
        tokens: [seats, room], prompt and new tokens.
    """

    def __init__(self, number: int, vocab_size: int) -> None:
        self.samples: list[Sample | None] = [None] * number
        self.free = list(range(number))[::-1]
        self.capacity, self.row, self.total, self.read = _integers(4, number)
        self.count, self.limit, self.stop_at, self.since = _integers(4, number)
        self.leader, self.stop_set, self.top_k = _integers(3, number)
        self.leader[:] = NOBODY
        self.kept: NDArray[np.bool_] = np.zeros(number, dtype=np.bool_)
        self.key: NDArray[np.uint64] = np.zeros(number, dtype=np.uint64)
        self.temperature: NDArray[np.float32] = np.zeros(number, dtype=np.float32)
        self.top_p: NDArray[np.float32] = np.ones(number, dtype=np.float32)
        self.tokens: NDArray[np.int64] = np.zeros((number, 256), dtype=np.int64)
        self.logprobs: NDArray[np.float32] = np.zeros((number, 256), dtype=np.float32)
        self.versions: NDArray[np.int64] = np.zeros((number, 256), dtype=np.int64)
        self.vocab_size = vocab_size
        self._taken: Ints | None = None
        self._stop_sets: dict[frozenset[int], int] = {}
        self._stops: NDArray[np.bool_] = np.zeros((0, vocab_size), dtype=np.bool_)

    def taken(self) -> Ints:
        """Seats in use."""
        if self._taken is None:
            seats = [seat for seat, sample in enumerate(self.samples) if sample is not None]
            self._taken = np.array(seats, dtype=np.int64)
        return self._taken

    def seat(self, sample: Sample, state: int) -> int:
        """Give a sample a free seat; where its row is is the caller's to say."""
        seat, request, known = self.free.pop(), sample.prompt.request, sample.known
        said = len(sample.token_ids)
        self._make_room(len(known) + 1)
        self.samples[seat], self._taken = sample, None
        self.total[seat], self.read[seat], self.count[seat] = len(known), 0, said
        self.limit[seat], self.stop_at[seat] = request.max_new_tokens, len(known) - 1
        self.leader[seat], self.since[seat], self.kept[seat] = NOBODY, state, False
        sample.prompt_logprobs = []  # another list: that of the prompt may be this one
        self.stop_set[seat] = self._stop_set(request.stop_ids)
        self.key[seat] = stream_key(request.seed, sample.number)
        self.temperature[seat] = request.sampling.temperature
        self.top_p[seat] = request.sampling.top_p
        self.top_k[seat] = min(request.sampling.top_k or self.vocab_size, self.vocab_size)
        self.tokens[seat, : len(known)] = known
        self.logprobs[seat, :said], self.versions[seat, :said] = sample.logprobs, sample.versions
        return seat

    def leave(self, seat: int) -> Sample:
        """Free a seat; the sample takes along what it has said."""
        sample = self.samples[seat]
        assert sample is not None
        said, total = self.count[seat], self.total[seat]
        sample.token_ids = self.tokens[seat, total - said : total].tolist()
        sample.logprobs = self.logprobs[seat, :said].tolist()
        sample.versions = self.versions[seat, :said].tolist()
        self.samples[seat], self._taken, self.leader[seat] = None, None, NOBODY
        self.leader[self.leader == seat] = NOBODY  # who waited for it reads by itself
        self.free.append(seat)
        return sample

    def append(
        self, seats: Ints, tokens: Ints, logprobs: NDArray[np.float32], version: int
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Note the tokens that a decoding step chose.

        Returns:
            Which of the sequences end: at a stop token, and at their limit.
        """
        total, count = self.total[seats], self.count[seats]
        self._make_room(int(total.max()) + 1)
        self.tokens[seats, total] = tokens
        self.logprobs[seats, count] = logprobs
        self.versions[seats, count] = version
        self.read[seats] = total
        self.total[seats] = total + 1
        self.count[seats] = count + 1
        return self._stops[self.stop_set[seats], tokens], count + 1 >= self.limit[seats]

    def said(self, seat: int) -> list[int]:
        """The new tokens of a sequence."""
        total = self.total[seat]
        tokens: list[int] = self.tokens[seat, total - self.count[seat] : total].tolist()
        return tokens

    def _stop_set(self, ids: frozenset[int]) -> int:
        """Number of a set of stop tokens in the table of them."""
        if ids not in self._stop_sets:
            self._stop_sets[ids] = len(self._stop_sets)
            row = np.zeros((1, self.vocab_size), dtype=np.bool_)
            row[0, list(ids)] = True
            self._stops = np.concatenate((self._stops, row))
        return self._stop_sets[ids]

    def _make_room(self, length: int) -> None:
        while self.tokens.shape[1] < length:
            for name in ("tokens", "logprobs", "versions"):
                old = getattr(self, name)
                setattr(self, name, np.concatenate((old, np.zeros_like(old)), axis=1))


def _integers(arrays: int, length: int) -> Ints:
    return np.zeros((arrays, length), dtype=np.int64)
