"""The engine of this package: continuous batching in PyTorch, on any device.

- continuous batching: a sequence that ends leaves at once and the next one takes its place
- rows of keys and values that grow with their sequences; rings on window layers; a memory budget
- prompts read chunk by chunk between decoding steps, and what they have in common read once
- sampling that depends on the request alone, whatever runs beside it
- other weights between two steps, without dropping what runs
- weights in 8 or 4 bits, so that a large model speaks on a small device
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from olmoflow.errors import UserError
from olmoflow.inference.engine import Completion, GenerationRequest, Score, ScoreRequest
from olmoflow.inference.native.compiled import reordering
from olmoflow.inference.native.generation import Generation, OnToken, Setting
from olmoflow.inference.native.memory import SMALLEST, capacity_for, default_budget, row_bytes
from olmoflow.inference.native.network import Network
from olmoflow.inference.native.quantize import Quantization, packer
from olmoflow.inference.native.scoring import score_requests
from olmoflow.inference.native.seats import Prompt
from olmoflow.inference.native.turns import Turns
from olmoflow.inference.native.weights import Weights
from olmoflow.model import Olmo3
from olmoflow.tokens.tokenizer import Tokenizer

GIB = 2**30


class NativeEngine:
    """An `Engine` for a model that is loaded in this process.

    Args:
        model: Taken over: where it has the device and dtype of the engine, its parameters become
            views of the engine's weights, so that memory is not needed twice (but for quantized
            and for reordered weights). Products run in its `compute_dtype`.
        tokenizer: Gives texts and finds stop texts; without one there are only ids.
        device: Where to run; None: where the model is.
        max_batch: Sequences that run at the same time.
        max_length: Tokens of a prompt and its continuation together, at most; None: the model's.
        cache_gib: Memory for keys and values; None: half of what is free, 80 % on a GPU.
        prefill_chunk: Tokens of prompts that are read between two decoding steps, at most.
        vocab_size: Ids from here on only pad the embedding and are never chosen; None: the
            tokenizer's size, or without one the model's.
        quantize: ``int8`` or ``int4`` rounds the weights of the blocks; needs torchao.

    Raises:
        UserError: A setting is out of its range, or quantization is not possible here.
    """

    def __init__(
        self,
        model: Olmo3,
        *,
        tokenizer: Tokenizer | None = None,
        device: torch.device | str | None = None,
        max_batch: int = 64,
        max_length: int | None = None,
        cache_gib: float | None = None,
        prefill_chunk: int = 2048,
        vocab_size: int | None = None,
        quantize: Quantization = "none",
    ) -> None:
        config = model.config
        device = torch.device(device) if device else model.embeddings.weight.device
        known = tokenizer.vocab_size if tokenizer else config.vocab_size
        if known > config.vocab_size:
            raise UserError(
                f"tokenizer: it has {known} tokens, the model {config.vocab_size} rows; expected "
                "the model's own"
            )
        self._max_length = config.max_sequence_length if max_length is None else max_length
        self._vocab_size = known if vocab_size is None else vocab_size
        for name, value, most in (
            ("max_batch", max_batch, None),
            ("prefill_chunk", prefill_chunk, None),
            ("max_length", self._max_length, config.max_sequence_length),
            ("vocab_size", self._vocab_size, config.vocab_size),
        ):
            _check_range(name, value, most)
        pack = packer(quantize, device, model.compute_dtype)
        pack = pack or reordering(config, device, model.compute_dtype)
        weights = Weights(model, device, pack)
        cache_bytes = default_budget(device) if cache_gib is None else int(cache_gib * GIB)
        smallest = row_bytes(config, min(SMALLEST, self._max_length), weights.dtype) * 8 // 7
        if cache_bytes < smallest:
            raise UserError(
                f"cache_gib={cache_bytes / GIB:.3g}: expected at least {smallest / GIB:.3g}, "
                f"which one sequence of {SMALLEST} tokens needs"
            )
        self._open: Setting | None = Setting(
            network=Network(weights, model.window_rope, model.full_rope),
            tokenizer=tokenizer,
            vocab_size=self._vocab_size,
            max_batch=max_batch,
            max_length=self._max_length,
            cache_bytes=cache_bytes,
            chunk=prefill_chunk,
        )
        self._version = 0
        self._turns = Turns()

    @property
    def max_length(self) -> int:
        """Tokens of a prompt and its continuation together, at most."""
        return self._max_length

    @property
    def vocab_size(self) -> int:
        """Ids of tokens are below it."""
        return self._vocab_size

    @property
    def version(self) -> int:
        """Of the weights in use; 0 at the start."""
        return self._version

    def generate(
        self, requests: Iterable[GenerationRequest | None], *, on_token: OnToken | None = None
    ) -> Iterator[Completion]:
        """Continue prompts; see `Engine.generate`.

        Args:
            requests: Taken one by one as places become free, in the thread that iterates over the
                completions. While its next item is waited for, nothing is decoded; None in place of
                a request says that there is none at the moment and that the others may go on.
            on_token: Called with the number of the request, that of the sample, and each new token
                as soon as it is chosen.

        Raises:
            UserError: A request cannot be fulfilled; the message names it.
        """
        run, stream, number, ended = Generation(self._setting, on_token), iter(requests), 0, False
        while not (ended and run.idle):
            while not ended and run.wanted > 0:
                try:
                    request = next(stream)
                except StopIteration:
                    ended = True
                    break
                if request is None:
                    break
                self._check(request, number)
                run.add(Prompt(number, request))
                number += 1
            if run.idle:
                time.sleep(0.001)
                continue
            with self._turns.turn():
                self._require_open()
                done = run.round(self._version)
            yield from done

    def score(self, requests: Sequence[ScoreRequest]) -> Iterator[tuple[int, Score]]:
        """Log-probabilities of continuations; see `Engine.score`."""
        for number, request in enumerate(requests):
            self._check_ids(f"request {number}: context_ids", request.context_ids)
            self._check_ids(f"request {number}: continuation_ids", request.continuation_ids)
            self._check_length(number, len(request.context_ids), len(request.continuation_ids))
        setting = self._setting
        passes = score_requests(requests, setting.network, setting.chunk, setting.vocab_size)
        for batch in passes:
            with self._turns.turn():
                self._require_open()
                done = batch()
            yield from done

    def update_weights(self, version: int, weights: Mapping[str, Tensor]) -> None:
        """Use other weights from the next step on; see `Engine.update_weights`."""
        with self._turns.turn():
            self._setting.network.weights.load(weights)
            self._version = version

    def close(self) -> None:
        """Free what the engine holds; it cannot be used any more."""
        with self._turns.turn():
            self._open = None

    @property
    def _setting(self) -> Setting:
        return self._require_open()

    def _require_open(self) -> Setting:
        if self._open is None:
            raise RuntimeError("the engine is closed")
        return self._open

    def _check(self, request: GenerationRequest, number: int) -> None:
        where = f"request {number}"
        self._check_ids(f"{where}: prompt_ids", request.prompt_ids)
        if request.max_new_tokens < 1:
            raise UserError(
                f"{where}: max_new_tokens={request.max_new_tokens}: expected at least 1"
            )
        if request.n < 1:
            raise UserError(f"{where}: n={request.n}: expected at least 1")
        self._check_length(number, len(request.prompt_ids), request.max_new_tokens)
        if wrong := [i for i in request.stop_ids if not 0 <= i < self._vocab_size]:
            raise UserError(
                f"{where}: stop_ids: {wrong[0]} found; expected ids from 0 to "
                f"{self._vocab_size - 1}"
            )
        if request.stop_texts and self._setting.tokenizer is None:
            raise UserError(f"{where}: stop_texts need a tokenizer, and the engine has none")
        if "" in request.stop_texts:
            raise UserError(f"{where}: stop_texts: an empty text found, which would end everything")

    def _check_ids(self, where: str, ids: Sequence[int]) -> None:
        if not len(ids):
            raise UserError(f"{where}: no tokens found; expected at least one")
        if wrong := [i for i in ids if not 0 <= i < self._vocab_size]:
            raise UserError(
                f"{where}: {wrong[0]} found; expected ids from 0 to {self._vocab_size - 1}"
            )

    def _check_length(self, number: int, before: int, new: int) -> None:
        if before + new > self._max_length:
            raise UserError(
                f"request {number}: {before} tokens and {new} new ones found, more than "
                f"max_length={self._max_length}; expected at most "
                f"{max(0, self._max_length - before)} new ones"
            )
        weights = self._setting.network.weights
        capacity = capacity_for(before + new, self._max_length)
        needed = row_bytes(weights.config, capacity, weights.dtype)
        if needed > self._setting.cache_bytes * 7 // 8:
            raise UserError(
                f"request {number}: {before + new} tokens need {needed / GIB:.3g} GiB of keys and "
                f"values, more than cache_gib={self._setting.cache_bytes / GIB:.3g}; expected "
                "fewer tokens or more memory"
            )


def _check_range(name: str, value: int, most: int | None) -> None:
    if value < 1 or (most is not None and value > most):
        expected = "at least 1" if most is None else f"1 to {most}"
        raise UserError(f"{name}={value}: expected {expected}")
