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

from olmoflow.inference.native.attention import ChunkAttention, DecodeAttention, SlabRows
from olmoflow.inference.native.compiled import (
    CompiledDecodeAttention,
    CompiledRows,
    DecodingStep,
    gated_product,
    has_loops,
    likelihoods_of,
    product,
    reordering,
    sample,
)
from olmoflow.inference.native.panels import Panels
from olmoflow.inference.native.rows import RowOperations, TorchRows, Turn
from olmoflow.inference.native.weights import LayerWeights, Matrix, Weights
from olmoflow.inference.sampling import SamplingRows, choose
from olmoflow.model.rope import RotaryTable

Ints = NDArray[np.int64]

_LOGITS = 2**25
"""Logits that exist at the same time where many tokens are scored."""
_ROWS = 1024
"""Tokens that predict at the same time, where a compiled loop sums up the vocabulary by parts."""


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
        tables = [rope(0, longest, self.device) for rope in (window_rope, full_rope)]
        self.compiled = has_loops(self.device, weights.dtype)
        kind = CompiledRows if self.compiled else TorchRows
        self.rows: RowOperations = kind(self.config, *tables)
        self._reorder = reordering(self.config, self.device, weights.dtype)
        in_panels = isinstance(weights.layers[0].qkv, Panels)
        self._step = DecodingStep(weights, *tables) if in_panels else None
        self._head: Matrix | None = None
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
        for number in range(self.config.n_layers):
            x = self._block(number, x, turn, attention)
        return rms_norm(
            x.float(), self.weights.norm.shape, self.weights.norm, self.config.norm_eps
        ).to(x.dtype)

    def read(self, ids: Tensor, positions: Tensor, attention: ChunkAttention) -> None:
        """Only store keys and values: the last layer's queries and all behind them are spared."""
        turn = self.rows.turn(positions)
        x = embedding(ids, self.weights.embeddings)
        last = self.config.n_layers - 1
        for number in range(last):
            x = self._block(number, x, turn, attention)
        layer = self.weights.layers[last]
        _, k, v = turn(last, layer, product(x, layer.qkv))
        attention.keep(last, k, v)

    def _block(self, number: int, x: Tensor, turn: Turn, attention: CachedAttention) -> Tensor:
        layer = self.weights.layers[number]
        seen = attention(number, *turn(number, layer, product(x, layer.qkv)))
        x = self.rows.add_normed(x, product(seen.flatten(1), layer.out), layer.attention_norm)
        fed = product(self._gated(x, layer), layer.down)
        return self.rows.add_normed(x, fed, layer.feed_forward_norm)

    def next_logits(
        self, parts: Sequence[SlabRows], ids: Tensor, positions: Tensor, vocab_size: int
    ) -> Tensor:
        """Read one new token of each sequence.

        Args:
            parts: The slabs that the tokens belong to, in the order of the batch.
            ids: [N] int64.
            positions: [N] int64, tokens that each sequence has read before.
            vocab_size: Ids of tokens are below it.

        Returns:
            [N, vocab_size], in the model's dtype.
        """
        if self._step is not None:
            head = self._arranged_head(vocab_size)
            assert isinstance(head, Panels)
            return self._step(parts, ids, positions, head)
        kind = CompiledDecodeAttention if self.compiled else DecodeAttention
        attention = kind(self.config, parts, positions)
        return self._product(self.hidden_states(ids, positions, attention), vocab_size)

    def choose(
        self, logits: Tensor, rows: SamplingRows, uniforms: NDArray[np.float32]
    ) -> tuple[Ints, NDArray[np.float32]]:
        """Tokens that follow and their log-probabilities; see `olmoflow.inference.sampling`."""
        drawn = torch.from_numpy(uniforms).to(self.device)
        if self.compiled and rows.top_k is None and rows.top_p is None:
            return sample(logits, rows.temperature, drawn)
        tokens, logprobs = choose(logits.float(), rows, drawn)
        return tokens.cpu().numpy(), logprobs.cpu().numpy()

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
        block = _ROWS if self.compiled else max(1, _LOGITS // vocab_size)
        for start in range(0, len(different), block):
            predicting = hidden[self.tensor(different[start : start + block])]
            mine = ((which >= start) & (which < start + block)).nonzero()[0]
            logprobs[mine], greedy[mine] = self._likelihoods(
                predicting, which[mine] - start, tokens[mine], vocab_size
            )
        return logprobs, greedy

    def _likelihoods(
        self, hidden: Tensor, rows: Ints, tokens: Ints, vocab_size: int
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        if self.compiled:
            head = self._arranged_head(vocab_size)
            head = head if isinstance(head, Panels) else self.weights.lm_head
            return likelihoods_of(hidden, head, vocab_size, rows, tokens)
        logits = self._product(hidden, vocab_size).float()
        place, answers = self.tensor(rows), self.tensor(tokens)
        found = logits[place, answers] - logits.logsumexp(-1)[place]
        return found.cpu().numpy(), (logits.argmax(-1)[place] == answers).cpu().numpy()

    def tensor(self, values: Ints) -> Tensor:
        """The values on the device."""
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.device)

    def _gated(self, x: Tensor, layer: LayerWeights) -> Tensor:
        if isinstance(layer.gate_up, Panels):
            return gated_product(x, layer.gate_up)
        return self.rows.gate(product(x, layer.gate_up))

    def _product(self, hidden: Tensor, vocab_size: int) -> Tensor:
        return product(hidden, self._arranged_head(vocab_size))

    def _arranged_head(self, vocab_size: int) -> Matrix:
        weights = self.weights
        if self._reorder is None:
            return weights.lm_head[:vocab_size]
        if self._head is None or self._head_of != (vocab_size, weights.changes):
            self._head = self._reorder(weights.lm_head[:vocab_size])
            self._head_of = vocab_size, weights.changes
        return self._head
