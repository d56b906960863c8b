"""One prompt continued: the prompt is read at once, then token by token through a KV cache."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from olmoflow.errors import UserError
from olmoflow.inference.sampling import Sampling
from olmoflow.model import Olmo3
from olmoflow.model.cache import KVCache

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class Generation:
    """What a model said.

    Attributes:
        token_ids: The new tokens, a final stop token included.
        logprobs: Natural logarithm of the probability of each, before temperature, top-k and top-p.
        finish_reason: ``stop`` at a stop token, ``length`` at the limit.
    """

    token_ids: list[int]
    logprobs: list[float]
    finish_reason: FinishReason


@torch.inference_mode()
def generate(
    model: Olmo3,
    prompt_ids: Sequence[int],
    *,
    max_new_tokens: int,
    sampling: Sampling | None = None,
    seed: int = 0,
    stop_ids: Collection[int] = (),
    vocab_size: int | None = None,
    on_token: Callable[[int], None] | None = None,
) -> Generation:
    """Continue a prompt.

    Args:
        model: On any device.
        prompt_ids: At least one token.
        max_new_tokens: At most so many new tokens.
        sampling: How tokens are chosen.
        seed: Of the sampling; the same seed, the same text on the same device.
        stop_ids: Tokens that end the text.
        vocab_size: Ids from here on are rows that only pad the embedding, and are never chosen.
        on_token: Called with each new token.

    Raises:
        UserError: The prompt is empty, has ids that the model lacks, or is too long.
    """
    config, device = model.config, model.embeddings.weight.device
    sampling = sampling or Sampling()
    _check(prompt_ids, max_new_tokens, vocab_size or config.vocab_size, config.max_sequence_length)
    length = len(prompt_ids) + max_new_tokens
    cache = KVCache(config, 1, length, device, model.compute_dtype)
    generator = torch.Generator(device).manual_seed(seed)
    tokens, logprobs = list[int](), list[float]()
    new = torch.tensor([list(prompt_ids)], device=device)
    while len(tokens) < max_new_tokens:
        hidden = model.hidden_states(new, cache=cache)[:, -1]  # [1, d_model]
        logits = model.lm_head(hidden).float()[:, :vocab_size]
        chosen = sampling.choose(logits, generator)
        tokens.append(int(chosen))
        logprobs.append(float(logits.log_softmax(-1)[0, chosen]))
        if on_token:
            on_token(tokens[-1])
        if tokens[-1] in stop_ids:
            return Generation(tokens, logprobs, "stop")
        new = chosen[:, None]
    return Generation(tokens, logprobs, "length")


def _check(prompt_ids: Sequence[int], new: int, vocab_size: int, longest: int) -> None:
    if not prompt_ids:
        raise UserError("prompt: it has no tokens; expected at least one")
    if new < 1:
        raise UserError(f"max_new_tokens={new}: expected at least 1")
    if wrong := [i for i in prompt_ids if not 0 <= i < vocab_size]:
        raise UserError(f"prompt_ids: {wrong[0]} found; expected ids from 0 to {vocab_size - 1}")
    if len(prompt_ids) + new > longest:
        raise UserError(
            f"max_new_tokens={new}: with the prompt's {len(prompt_ids)} tokens more than "
            f"model.max_sequence_length={longest}; expected at most {longest - len(prompt_ids)}"
        )
