"""The model over a flat list of tokens, whichever sequences they belong to.

Everything but attention looks at one token at a time, so tokens of many sequences of many lengths
run as one matrix, without padding. Attention is the caller's: it knows where the keys lie.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding, linear, rms_norm, silu

from olmoflow.inference.native.weights import LayerWeights, Weights
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
        self.window_rope = window_rope(0, longest, self.device)
        self.full_rope = full_rope(0, longest, self.device)
        self.heads = (self.config.n_heads, self.config.n_kv_heads, self.config.n_kv_heads)

    def hidden_states(self, ids: Tensor, positions: Tensor, attention: CachedAttention) -> Tensor:
        """What the LM head sees.

        Args:
            ids: [N] int64.
            positions: [N] int64, of each token in its sequence.
            attention: Knows the sequences.

        Returns:
            [N, d_model].
        """
        near, far = (_turn(table, positions) for table in (self.window_rope, self.full_rope))
        x = embedding(ids, self.weights.embeddings)
        for number, layer in enumerate(self.weights.layers):
            rotation = far if self.config.is_full_attention(number) else near
            seen = attention(number, *self._queries_keys_values(layer, x, rotation))
            x = x + self._norm(linear(seen.flatten(1), layer.out), layer.attention_norm)
            gate, up = linear(x, layer.gate_up).chunk(2, dim=-1)
            x = x + self._norm(linear(silu(gate) * up, layer.down), layer.feed_forward_norm)
        return self._norm(x, self.weights.norm)

    def logits(self, hidden: Tensor, vocab_size: int) -> Tensor:
        """[N, d_model] -> [N, vocab_size], fp32; the rows beyond only pad the embedding."""
        return linear(hidden, self.weights.lm_head[:vocab_size]).float()

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

    def _queries_keys_values(
        self, layer: LayerWeights, x: Tensor, rotation: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        width = self.config.head_width
        q, k, v = torch.split(linear(x, layer.qkv), [n * width for n in self.heads], dim=-1)
        q, k = self._norm(q, layer.q_norm), self._norm(k, layer.k_norm)
        both = torch.cat((q, k), dim=-1).view(len(x), -1, width).float()  # [N, H + H_kv, D]
        cos, sin = rotation
        turned = torch.addcmul(both * cos, both.roll(width // 2, -1), sin).to(x.dtype)
        q, k = torch.split(turned, list(self.heads[:2]), dim=1)
        return q, k, v.view(len(x), -1, width)

    def _norm(self, x: Tensor, weight: Tensor) -> Tensor:
        return rms_norm(x.float(), weight.shape, weight, self.config.norm_eps).to(x.dtype)


def _turn(table: tuple[Tensor, Tensor], positions: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and signed sine of each token, [N, 1, head_dim] each."""
    cos, sin = (part[positions][:, None] for part in table)
    return torch.cat((cos, cos), -1), torch.cat((-sin, sin), -1)
