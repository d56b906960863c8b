"""Samples that are generated side by side: prompts padded on the left, a token a step."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from olmoflow.inference.engine import FinishReason, GenerationRequest
from olmoflow.inference.native.stopping import ends_at_text, text_before
from olmoflow.inference.native.uniform import stream_key, uniforms
from olmoflow.inference.sampling import SamplingRows, choose
from olmoflow.tokens.tokenizer import Tokenizer


@dataclass
class Row:
    """One sample.

    Attributes:
        request: Of which it is one.
        key: Of its random numbers: what runs beside it changes none.
        token_ids: Said so far.
        logprobs: Of these.
        finish_reason: None: it goes on.
    """

    request: GenerationRequest
    key: int
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish_reason: FinishReason | None = None


class GenerationBatch:
    """A static batch.

    Args:
        model: A ``transformers`` model.
        tokenizer: Finds stop texts.
        requests: Of each row.
        samples: Number of each row's sample.
        vocab_size: Ids of tokens are below it; what only pads the embedding is never said.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Tokenizer | None,
        requests: Sequence[GenerationRequest],
        samples: Sequence[int],
        vocab_size: int,
    ) -> None:
        self.model, self.tokenizer, self.device = model, tokenizer, model.device
        self.rows = [Row(r, stream_key(r.seed, s)) for r, s in zip(requests, samples, strict=True)]
        longest = max(len(r.prompt_ids) for r in requests)
        self._new = torch.zeros(len(requests), longest, dtype=torch.int64)
        self._mask = torch.zeros_like(self._new)
        for index, request in enumerate(requests):
            length = len(request.prompt_ids)
            self._new[index, longest - length :] = torch.tensor(list(request.prompt_ids))
            self._mask[index, longest - length :] = 1
        self._new, self._mask = self._new.to(self.device), self._mask.to(self.device)
        self._cache: Any = None
        parameters = inspect.signature(model.forward).parameters
        # Later releases of transformers say cache.
        self._cache_name = "cache" if "cache" in parameters else "past_key_values"
        self._takes_positions = "position_ids" in parameters
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in parameters else {}
        self._vocab_size = vocab_size
        self._sampling = _sampling(requests, vocab_size, self.device)

    @property
    def done(self) -> bool:
        """Whether every sample has ended."""
        return all(row.finish_reason for row in self.rows)

    def step(self) -> None:
        """One more token of every sample that goes on."""
        chosen = self._choose(self._next_logits())
        for row, token, logprob in zip(self.rows, *chosen, strict=True):
            if row.finish_reason is None:
                row.token_ids.append(token)
                row.logprobs.append(logprob)
                row.finish_reason = self._finished(row)
        self._new = torch.tensor(chosen[0], device=self.device)[:, None]
        self._mask = torch.cat([self._mask, torch.ones_like(self._new)], 1)

    def text(self, row: Row) -> str | None:
        """What a sample says, up to a stop text."""
        if self.tokenizer is None:
            return None
        return text_before(self.tokenizer, row.token_ids, row.request.stop_texts)

    def _next_logits(self) -> Tensor:
        """[B, V] fp32."""
        given: dict[str, Any] = {"attention_mask": self._mask, **self._last_only}
        if self._takes_positions:
            places = (self._mask.cumsum(1) - 1).clamp(min=0)
            given["position_ids"] = places[:, -self._new.shape[1] :]
        given[self._cache_name] = self._cache
        out = self.model(input_ids=self._new, use_cache=True, **given)
        self._cache = getattr(out, self._cache_name)
        logits: Tensor = out.logits[:, -1, : self._vocab_size]
        return logits.float()

    def _choose(self, logits: Tensor) -> tuple[list[int], list[float]]:
        keys = np.array([row.key for row in self.rows], dtype=np.uint64)
        places = np.array([len(row.token_ids) for row in self.rows], dtype=np.int64)
        drawn = torch.from_numpy(uniforms(keys, places)).to(self.device)
        tokens, logprobs = choose(logits, self._sampling, drawn)
        return tokens.tolist(), logprobs.tolist()

    def _finished(self, row: Row) -> FinishReason | None:
        request = row.request
        if row.token_ids[-1] in request.stop_ids:
            return "stop"
        stops, tokenizer = request.stop_texts, self.tokenizer
        if stops and tokenizer is not None and ends_at_text(tokenizer, row.token_ids, stops):
            return "stop"
        return "length" if len(row.token_ids) >= request.max_new_tokens else None


def _sampling(
    requests: Sequence[GenerationRequest], vocab_size: int, device: torch.device
) -> SamplingRows:
    """The settings of a batch."""
    settings = [request.sampling for request in requests]
    temperatures = [each.temperature for each in settings]
    if not any(temperatures):
        return SamplingRows()
    top_p = [each.top_p for each in settings]
    top_k = [each.top_k or vocab_size for each in settings]
    return SamplingRows(
        temperature=torch.tensor(temperatures, device=device),
        top_p=torch.tensor(top_p, device=device) if min(top_p) < 1 else None,
        top_k=torch.tensor(top_k, device=device) if min(top_k) < vocab_size else None,
        some_greedy=not all(temperatures),
    )
