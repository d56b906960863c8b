"""The model over a flat list of tokens, whichever sequences they belong to.

Everything but attention looks at one token at a time, so tokens of many sequences of many lengths
run as one matrix, without padding. Attention is the caller's: it knows where the keys lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding, rms_norm

from olmoflow.inference.native.attention import DecodeAttention, SlabRows
from olmoflow.inference.native.compiled import (
    CompiledDecodeAttention,
    CompiledRows,
    has_loops,
    product,
    reordering,
    sample,
)
from olmoflow.inference.native.rows import RowOperations, TorchRows
from olmoflow.inference.native.weights import Weights
from olmoflow.inference.sampling import SamplingRows, choose
from olmoflow.model.rope import RotaryTable

Ints = NDArray[np.int64]

_LOGITS = 2**25
"""Logits that exist at the same time where many tokens are scored."""


class CachedAttention(Protocol):
    """Stores the new tokens' keys and values and lets their queries look."""

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """[N, H, D], [N, H_kv, D], [N, H_kv, D] -> [N, H, D]."""
        ...


class Network:
    """Olmo 3 on fused weights; up to rounding what `olmoflow.model.Olmo3` computes.

    Args:
        weights: Of the model.
        window_rope: Rotations of window layers.
        full_rope: Rotations of full-attention layers.
    """

    def __init__(self, weights: Weights, window_rope: RotaryTable, full_rope: RotaryTable) -> None:
        self.weights, self.config, self.device = weights, weights.config, weights.device
        longest = self.config.max_sequence_length
        tables = (rope(0, longest, self.device) for rope in (window_rope, full_rope))
        self.compiled = has_loops(self.device, weights.dtype)
        kind = CompiledRows if self.compiled else TorchRows
        self.rows: RowOperations = kind(self.config, *tables)
        self._reorder = reordering(self.config, self.device, weights.dtype)
        self._head: Tensor | None = None
        self._head_of = 0, 0  # vocabulary and state of the weights

    def hidden_states(self, ids: Tensor, positions: Tensor, attention: CachedAttention) -> Tensor:
        """What the LM head sees.

        Args:
            ids: [N] int64.
            positions: [N] int64, of each token in its sequence.
            attention: Knows the sequences.

        Returns:
            [N, d_model].
        """
        turn = self.rows.turn(positions)
        x = embedding(ids, self.weights.embeddings)
        for number, layer in enumerate(self.weights.layers):
            seen = attention(number, *turn(number, layer, product(x, layer.qkv)))
            x = self.rows.add_normed(x, product(seen.flatten(1), layer.out), layer.attention_norm)
            gated = self.rows.gate(product(x, layer.gate_up))
            x = self.rows.add_normed(x, product(gated, layer.down), layer.feed_forward_norm)
        return rms_norm(
            x.float(), self.weights.norm.shape, self.weights.norm, self.config.norm_eps
        ).to(x.dtype)

    def decode_attention(self, parts: Sequence[SlabRows], positions: Tensor) -> CachedAttention:
        """Attention of one new token of each sequence; see `DecodeAttention`."""
        kind = CompiledDecodeAttention if self.compiled else DecodeAttention
        return kind(self.config, parts, positions)

    def choose(
        self, hidden: Tensor, vocab_size: int, rows: SamplingRows, uniforms: NDArray[np.float32]
    ) -> tuple[Ints, NDArray[np.float32]]:
        """Tokens that follow and their log-probabilities; see `olmoflow.inference.sampling`."""
        drawn = torch.from_numpy(uniforms).to(self.device)
        if self.compiled and rows.top_k is None and rows.top_p is None:
            return sample(self._product(hidden, vocab_size), rows.temperature, drawn)
        tokens, logprobs = choose(self.logits(hidden, vocab_size), rows, drawn)
        return tokens.cpu().numpy(), logprobs.cpu().numpy()

    def logits(self, hidden: Tensor, vocab_size: int) -> Tensor:
        """[N, d_model] -> [N, vocab_size], fp32; the rows beyond only pad the embedding."""
        return self._product(hidden, vocab_size).float()

    def logprobs(
        self, hidden: Tensor, rows: Ints, tokens: Ints, vocab_size: int
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """How likely tokens are.

        Args:
            hidden: [N, d_model].
            rows: [M], those of `hidden` that predict; each is multiplied with the LM head once.
            tokens: [M], what they predict.
            vocab_size: Ids of tokens are below it.

        Returns:
            Natural logarithms of the probabilities, and whether each is the likeliest, [M].
        """
        different, which = np.unique(rows, return_inverse=True)
        logprobs, greedy = np.empty(len(rows), np.float32), np.empty(len(rows), np.bool_)
        block = max(1, _LOGITS // vocab_size)
        for start in range(0, len(different), block):
            logits = self.logits(hidden[self.tensor(different[start : start + block])], vocab_size)
            mine = ((which >= start) & (which < start + block)).nonzero()[0]
            place, answers = self.tensor(which[mine] - start), self.tensor(tokens[mine])
            found = logits[place, answers] - logits.logsumexp(-1)[place]
            logprobs[mine] = found.cpu().numpy()
            greedy[mine] = (logits.argmax(-1)[place] == answers).cpu().numpy()
        return logprobs, greedy

    def tensor(self, values: Ints) -> Tensor:
        """The values on the device."""
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.device)

    def _product(self, hidden: Tensor, vocab_size: int) -> Tensor:
        weights = self.weights
        if self._reorder is None:
            return product(hidden, weights.lm_head[:vocab_size])
        if self._head is None or self._head_of != (vocab_size, weights.changes):
            self._head = self._reorder(weights.lm_head[:vocab_size])
            self._head_of = vocab_size, weights.changes
        return product(hidden, self._head)
