"""From logits to a token: temperature, top-k, top-p (nucleus; arXiv 1904.09751)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from olmoflow.errors import UserError

_BLOCK = 128


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.

    Attributes:
        temperature: Divides the logits; 0 takes the likeliest token.
        top_p: Only the likeliest tokens that together reach this probability are considered.
        top_k: Only so many of the likeliest are considered; None: all.

    Raises:
        UserError: A value is out of its range.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int | None = None

    def __post_init__(self) -> None:
        if not self.temperature >= 0:
            raise UserError(f"temperature={self.temperature}: expected 0 (greedy) or more")
        if not 0 < self.top_p <= 1:
            raise UserError(f"top_p={self.top_p}: expected more than 0 and at most 1")
        if self.top_k is not None and (type(self.top_k) is not int or self.top_k < 1):
            raise UserError(
                f"top_k={self.top_k}: expected a whole number of at least 1, or null for all tokens"
            )


@dataclass(frozen=True)
class SamplingRows:
    """The settings of a batch, one of each row.

    Attributes:
        temperature: [B] fp32; 0 is greedy. None: all are.
        top_p: [B] fp32; 1 considers all. None: all do.
        top_k: [B] int64; the vocabulary's size considers all. None: all do.
        some_greedy: Whether a row is.
        all_at_one: Whether every temperature is 1.
    """

    temperature: Tensor | None = None
    top_p: Tensor | None = None
    top_k: Tensor | None = None
    some_greedy: bool = True
    all_at_one: bool = False


def choose(logits: Tensor, rows: SamplingRows, uniforms: Tensor) -> tuple[Tensor, Tensor]:
    """Choose a token of each row.

    Args:
        logits: [B, V] fp32.
        rows: How.
        uniforms: [B] fp32, in [0, 1): where in the cumulated distribution the token lies.

    Returns:
        The tokens, [B] int64, and the natural logarithms of their probabilities before any of the
        settings, [B] fp32.
    """
    plain = logits.softmax(-1)
    if rows.temperature is None:
        tokens = _likeliest(logits)
    else:
        tokens = _draw(distribution(logits, rows, plain), uniforms)
        greedy = rows.temperature == 0
        if rows.some_greedy:
            tokens = torch.where(greedy, _likeliest(logits), tokens)
    # log(plain) of the token, but without underflow where a high temperature chose an unlikely one.
    normaliser = logits.amax(-1) - plain.amax(-1).log()
    return tokens, logits.gather(-1, tokens[:, None])[:, 0] - normaliser


def distribution(logits: Tensor, rows: SamplingRows, plain: Tensor | None = None) -> Tensor:
    """What is sampled from, [B, V]; of greedy rows the unchanged distribution.

    Args:
        logits: [B, V] fp32.
        rows: The settings; not all greedy.
        plain: The softmax of the logits, where it is there already.
    """
    assert rows.temperature is not None
    if rows.all_at_one and plain is not None:
        probabilities = plain
    else:
        temperature = torch.where(rows.temperature == 0, 1.0, rows.temperature)
        probabilities = (logits / temperature[:, None]).softmax(-1)
    if rows.top_k is None and rows.top_p is None:
        return probabilities
    ranked, order = probabilities.sort(descending=True, stable=True)
    if rows.top_k is not None:
        rank = torch.arange(ranked.shape[-1], device=ranked.device)
        ranked = ranked.masked_fill(rank >= rows.top_k[:, None], 0.0)
        ranked = ranked / ranked.sum(-1, keepdim=True)
    if rows.top_p is not None:
        # The token that crosses the threshold belongs to the nucleus.
        ranked = ranked.masked_fill(ranked.cumsum(-1) - ranked >= rows.top_p[:, None], 0.0)
    kept = torch.zeros_like(ranked).scatter(-1, order, ranked)
    return kept / kept.sum(-1, keepdim=True)


def _likeliest(logits: Tensor) -> Tensor:
    """[B, V] -> [B]: the place of the largest; of the block of the largest, then within it."""
    blocks = _blocks(logits, -torch.inf)
    block = blocks.amax(-1).argmax(-1)
    return block * _BLOCK + _rows_of(blocks, block).argmax(-1)


def _draw(weights: Tensor, uniforms: Tensor) -> Tensor:
    """[B, V], [B] -> [B]: where the cumulated weights pass this share of their sum.

    Cumulated over blocks and then within one: a sum over all of the vocabulary one by one is slow
    and rounds much. A token of weight 0 is never passed.
    """
    blocks = _blocks(weights, 0.0)
    cumulated = blocks.sum(-1).cumsum(-1)  # [B, blocks]
    target = uniforms[:, None] * cumulated[:, -1:]
    block = torch.searchsorted(cumulated, target, right=True)
    # Rounding may let the last block that has any weight end at the target.
    block = block.clamp(max=cumulated.shape[-1] - 1)
    before = torch.where(block > 0, cumulated.gather(-1, (block - 1).clamp(min=0)), 0.0)
    within = _rows_of(blocks, block[:, 0]).cumsum(-1)  # [B, block]
    place = torch.searchsorted(within, (target - before).clamp(min=0), right=True)
    last = (within < within[:, -1:]).sum(-1, keepdim=True)  # the last one with weight
    return (block * _BLOCK + torch.minimum(place, last))[:, 0]


def _blocks(x: Tensor, value: float) -> Tensor:
    """[B, V] -> [B, V / block, block], filled up with a value."""
    lacking = -x.shape[-1] % _BLOCK
    x = pad(x, (0, lacking), value=value) if lacking else x
    return x.view(len(x), -1, _BLOCK)


def _rows_of(blocks: Tensor, block: Tensor) -> Tensor:
    return blocks[torch.arange(len(blocks), device=blocks.device), block]
