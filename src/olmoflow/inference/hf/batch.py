"""Samples that are generated side by side: prompts padded on the left, a token a step."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from olmoflow.inference.engine import FinishReason, GenerationRequest
from olmoflow.tokens.tokenizer import Tokenizer


@dataclass
class Row:
    """One sample.

    Attributes:
        request: Of which it is one.
        generator: Its own randomness: what runs beside it changes nothing.
        token_ids: Said so far.
        logprobs: Of these.
        finish_reason: None: it goes on.
    """

    request: GenerationRequest
    generator: torch.Generator
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
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Tokenizer | None,
        requests: Sequence[GenerationRequest],
        samples: Sequence[int],
    ) -> None:
        self.model, self.tokenizer, self.device = model, tokenizer, model.device
        self.rows = [Row(r, _generator(r.seed, s)) for r, s in zip(requests, samples, strict=True)]
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
        self._takes_positions = "position_ids" in parameters
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in parameters else {}
        # What only pads the embedding is never said.
        self._vocab_size = tokenizer.vocab_size if tokenizer else None

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
        text = self.tokenizer.decode(row.token_ids, skip_special_tokens=True)
        places = [place for s in row.request.stop_texts if (place := text.find(s)) >= 0]
        return text[: min(places)] if places else text

    def _next_logits(self) -> Tensor:
        """[B, V] fp32."""
        given: dict[str, Any] = {"attention_mask": self._mask, **self._last_only}
        if self._takes_positions:
            places = (self._mask.cumsum(1) - 1).clamp(min=0)
            given["position_ids"] = places[:, -self._new.shape[1] :]
        out = self.model(input_ids=self._new, past_key_values=self._cache, use_cache=True, **given)
        self._cache = out.past_key_values
        logits: Tensor = out.logits[:, -1, : self._vocab_size]
        return logits.float()

    def _choose(self, logits: Tensor) -> tuple[list[int], list[float]]:
        logprobs = logits.log_softmax(-1)
        tokens = logits.argmax(-1)
        if any(row.request.sampling.temperature > 0 for row in self.rows):
            on_cpu = logits.cpu()
            for index, row in enumerate(self.rows):
                if row.request.sampling.temperature > 0:
                    choose = row.request.sampling.choose
                    tokens[index] = choose(on_cpu[index : index + 1], row.generator)[0]
        return tokens.tolist(), logprobs.gather(1, tokens[:, None])[:, 0].tolist()

    def _finished(self, row: Row) -> FinishReason | None:
        request = row.request
        if row.token_ids[-1] in request.stop_ids:
            return "stop"
        if request.stop_texts and self.tokenizer is not None:
            # A character is at most four tokens of a byte-level tokenizer.
            reach = 4 * max(map(len, request.stop_texts)) + 1
            tail = self.tokenizer.decode(row.token_ids[-reach:], skip_special_tokens=True)
            if any(stop in tail for stop in request.stop_texts):
                return "stop"
        return "length" if len(row.token_ids) >= request.max_new_tokens else None


def _generator(seed: int, sample: int) -> torch.Generator:
    digest = hashlib.sha256(f"{seed}/{sample}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
