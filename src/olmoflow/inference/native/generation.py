"""One run over a stream of requests: who gets a seat, what is read, which tokens are next.

Each round seats waiting samples, reads a chunk of the prompts that are not read yet, and decodes
one token of every sequence that is. A sequence that ends leaves its seat at once.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from olmoflow.inference.engine import Completion, FinishReason
from olmoflow.inference.native.attention import SlabRows
from olmoflow.inference.native.memory import SMALLEST, CacheMemory
from olmoflow.inference.native.network import Network
from olmoflow.inference.native.placement import Placement
from olmoflow.inference.native.prefixes import Snapshots
from olmoflow.inference.native.reading import Reading
from olmoflow.inference.native.seats import NOBODY, Prompt, Sample, Seats
from olmoflow.inference.native.stopping import ends_at_text, text_before
from olmoflow.inference.native.uniform import uniforms
from olmoflow.inference.sampling import SamplingRows
from olmoflow.tokens.tokenizer import Tokenizer

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
OnToken = Callable[[int, int, int], None]
"""Called with the number of the request, that of the sample, and each new token."""
_STEPS = 16
"""Steps for which random numbers are made at once."""
_AHEAD = 512
"""New tokens that a sequence gets room for at first where memory is ample, so that few move."""


@dataclass(frozen=True)
class Setting:
    """What a run needs to know of its engine.

    Attributes:
        vocab_size: Ids of tokens are below it.
        max_batch: Sequences at a time.
        max_length: Tokens of a sequence, at most.
        cache_bytes: For keys and values.
        chunk: Tokens of prompts that are read in one pass, at most.
    """

    network: Network
    tokenizer: Tokenizer | None
    vocab_size: int
    max_batch: int
    max_length: int
    cache_bytes: int
    chunk: int


class Generation:
    """The state of one run.

    Args:
        setting: Of the engine.
        on_token: Called with each new token.
    """

    def __init__(self, setting: Setting, on_token: OnToken | None = None) -> None:
        self.setting, self.network, self.on_token = setting, setting.network, on_token
        network, snapshots = setting.network, setting.cache_bytes // 8
        budget = setting.cache_bytes - snapshots
        self.seats = Seats(setting.max_batch, setting.vocab_size)
        self.placement = Placement(
            CacheMemory(
                network.config, setting.max_length, budget, network.device, network.weights.dtype
            ),
            self.seats,
        )
        self.reading = Reading(
            network, self.placement, Snapshots(snapshots), setting.chunk, setting.vocab_size
        )
        self.waiting: deque[Sample] = deque()
        self.crowded = False  # a sequence had to leave its seat: nobody sits down until one ends
        self._batch: _Batch | None = None

    @property
    def wanted(self) -> int:
        """Samples that could have a seat beside those that wait already."""
        return len(self.seats.free) - len(self.waiting)

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nothing waits."""
        return not self.waiting and len(self.seats.free) == self.setting.max_batch

    def add(self, prompt: Prompt) -> None:
        """Let the samples of a request wait for seats."""
        if len(prompt.request.prompt_ids) == 1:
            prompt.logprobs = []
        self.waiting.extend(Sample(prompt, number) for number in range(prompt.request.n))

    @torch.inference_mode()
    def round(self, version: int) -> list[Completion]:
        """Seat, read a chunk, decode a token; returns what has ended."""
        if self.waiting and self.seats.free and not self.crowded:
            self._seat_waiting()
        self._read()
        if self._batch is None or self._full(self._batch.seats).any():
            self._enlarge()
            self._batch = self._arrange()
        return self._decode(self._batch, version) if len(self._batch.seats) else []

    def _seat_waiting(self) -> None:
        new, state = list[int](), self.network.weights.changes
        self._make_room()
        while self.waiting and self.seats.free:
            sample = self.waiting[0]
            seat = self.seats.seat(sample, state)
            if not self.placement.place(seat, self._first_length(sample)):
                self.seats.leave(seat)
                break
            self.waiting.popleft()
            new.append(seat)
        if new:
            self.reading.plan(new, state, {sample.prompt.number for sample in self.waiting})
            self._batch = None

    def _make_room(self) -> None:
        """Let memory grow once for all that come, as far as it allows."""
        coming = islice(self.waiting, len(self.seats.free))
        memory = self.placement.memory
        capacities = Counter(memory.capacity_for(self._first_length(one)) for one in coming)
        for capacity, rows in capacities.items():
            memory.reserve(capacity, rows)

    def _first_length(self, sample: Sample) -> int:
        """Tokens that a sequence gets room for at first: it may end early."""
        request, said = sample.prompt.request, len(sample.token_ids)
        known, left = len(request.prompt_ids) + said, request.max_new_tokens - said
        memory = self.placement.memory
        if self.network.compiled:  # which reads no slot that is empty
            length = known + min(left, max(_AHEAD, known))
            all_of_them = memory.row_bytes(memory.capacity_for(length)) * self.setting.max_batch
            if all_of_them <= memory.budget // 2:
                return length
        return known + min(left, max(SMALLEST // 2, known // 4))

    def _read(self) -> None:
        """Read chunks as long as each lets at least as many sequences speak as could before.

        A few speakers wait for many to come, and then all speak together; many do not wait for a
        long prompt, of which they read a chunk between two of their tokens.
        """
        ready = len(self._ready()) if self._batch is None else len(self._batch.seats)
        while self.reading.read():
            self._batch = None
            before, ready = ready, len(self._ready())
            if ready < 2 * before or not ready:
                break

    def _full(self, seats: Ints) -> NDArray[np.bool_]:
        """Which rows have no place for another token."""
        full: NDArray[np.bool_] = self.seats.read[seats] >= self.seats.capacity[seats]
        return full

    def _enlarge(self) -> None:
        """Move sequences whose rows are full."""
        seats = self._ready()
        full = seats[self._full(seats)]
        for capacity in np.unique(self.seats.capacity[full]).tolist():
            group: list[int] = full[self.seats.capacity[full] == capacity].tolist()
            group = [seat for seat in group if self.seats.samples[seat] is not None]
            while group and not self.placement.enlarge(group):
                gone = self._send_back()
                group = [seat for seat in group if seat != gone]

    def _send_back(self) -> int:
        """Memory lacks: the youngest sequence waits again, with what it has said so far."""
        samples = {seat: self._sample(seat) for seat in self.seats.taken().tolist()}
        youngest: int = max(samples, key=lambda seat: samples[seat].age)
        self.placement.release([youngest])
        self.waiting.appendleft(self.seats.leave(youngest))
        self.crowded = len(samples) > 1
        return youngest

    def _ready(self) -> Ints:
        """Seats whose next decoding step can come."""
        seats = self.seats.taken()
        read = self.seats.read[seats] == self.seats.total[seats] - 1
        ready: Ints = seats[read & (self.seats.leader[seats] == NOBODY)]
        return ready

    def _arrange(self) -> _Batch:
        parts, seats = self.placement.arrange(self._ready())
        return _Batch(parts, seats, self.seats, self.network.device)

    def _decode(self, batch: _Batch, version: int) -> list[Completion]:
        seats = batch.seats
        read = self.seats.read[seats]
        positions = self.network.tensor(read)
        ids = self.network.tensor(self.seats.tokens[seats, read])
        logits = self.network.next_logits(batch.parts, ids, positions, self.setting.vocab_size)
        drawn = batch.draw(self.seats.count[seats])
        tokens, logprobs = self.network.choose(logits, batch.sampling, drawn)
        stopped, full = self.seats.append(seats, tokens, logprobs, version)
        if self.on_token:
            self._tell(seats, tokens)
        stopped |= self._stopped_by_text(batch)
        ended = (stopped | full).nonzero()[0]
        return self._end(seats[ended], stopped[ended]) if len(ended) else []

    def _tell(self, seats: Ints, tokens: Ints) -> None:
        assert self.on_token is not None
        for seat, token in zip(seats.tolist(), tokens.tolist(), strict=True):
            sample = self._sample(seat)
            self.on_token(sample.prompt.number, sample.number, token)

    def _stopped_by_text(self, batch: _Batch) -> NDArray[np.bool_]:
        stopped = np.zeros(len(batch.seats), dtype=np.bool_)
        for place in batch.with_stop_texts:
            seat = int(batch.seats[place])
            assert self.setting.tokenizer is not None
            texts = self._sample(seat).prompt.request.stop_texts
            stopped[place] = ends_at_text(self.setting.tokenizer, self.seats.said(seat), texts)
        return stopped

    def _end(self, seats: Ints, stopped: NDArray[np.bool_]) -> list[Completion]:
        self.placement.release(seats.tolist())
        self._batch, self.crowded = None, False
        return [
            self._completion(self.seats.leave(seat), "stop" if stop else "length")
            for seat, stop in zip(seats.tolist(), stopped.tolist(), strict=True)
        ]

    def _completion(self, sample: Sample, reason: FinishReason) -> Completion:
        request, tokenizer = sample.prompt.request, self.setting.tokenizer
        text = None
        if tokenizer is not None:
            text = text_before(tokenizer, sample.token_ids, request.stop_texts)
        return Completion(
            request=sample.prompt.number,
            sample=sample.number,
            token_ids=sample.token_ids,
            logprobs=sample.logprobs,
            versions=sample.versions,
            finish_reason=reason,
            text=text,
            prompt_logprobs=sample.prompt.logprobs if request.prompt_logprobs else None,
        )

    def _sample(self, seat: int) -> Sample:
        sample = self.seats.samples[seat]
        assert sample is not None
        return sample


class _Batch:
    """The sequences of a decoding step, and what of them stays from step to step.

    Attributes:
        parts: Where their rows are.
        seats: [B], in that order.
        sampling: Their settings.
        with_stop_texts: Places in the batch of those that may end at a text.
    """

    def __init__(
        self, parts: list[SlabRows], chosen: Ints, seats: Seats, device: torch.device
    ) -> None:
        self.parts, self.seats = parts, chosen
        self._keys, self._drawn = seats.key[chosen], deque[Floats]()

        def rows(values: Ints | Floats, neutral: float) -> Tensor | None:
            if (values == neutral).all():
                return None
            return torch.from_numpy(values).to(device)

        self.sampling = SamplingRows(
            temperature=rows(seats.temperature[chosen], 0.0),
            top_p=rows(seats.top_p[chosen], 1.0),
            top_k=rows(seats.top_k[chosen], seats.vocab_size),
            some_greedy=bool((seats.temperature[chosen] == 0).any()),
            all_at_one=bool((seats.temperature[chosen] == 1).all()),
        )
        self.with_stop_texts = [
            place
            for place, seat in enumerate(chosen.tolist())
            if (sample := seats.samples[seat]) and sample.prompt.request.stop_texts
        ]

    def draw(self, places: Ints) -> Floats:
        """The random numbers, [B], of a step in which sequences get their token with a number.

        Args:
            places: [B], one more for each at each step.
        """
        if not self._drawn:
            # For several steps at once, which takes hardly longer than for one.
            steps = places + np.arange(_STEPS)[:, None]
            self._drawn.extend(uniforms(self._keys, steps))
        return self._drawn.popleft()
