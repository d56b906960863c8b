"""Gives the compiled decoding step its addresses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from olmoflow.inference.native.attention import SlabRows
from olmoflow.inference.native.compiled.phases import STRIDE
from olmoflow.inference.native.compiled.step import LAYER, decode, phases_of
from olmoflow.inference.native.compiled.tiles import ROWS
from olmoflow.inference.native.panels import COLUMNS, Panels
from olmoflow.inference.native.weights import LayerWeights, Weights
from olmoflow.model.rope import Rotation

_ALONE = 16
"""Sequences of a thread from which on it takes them through all layers by itself: with that many
each weight that it reads is worth reading, and no thread waits for another (with 32 a step takes
0.87 of the time, with 16 about 0.8 to 1, with 8 up to 1.02)."""


class DecodingStep:
    """One new token of each sequence, from its id to the logits of what follows.

    Args:
        weights: Whose matrices are panels.
        window_rope: Rotations of window layers.
        full_rope: Rotations of full-attention layers.
    """

    def __init__(self, weights: Weights, window_rope: Rotation, full_rope: Rotation) -> None:
        self.weights, self.config = weights, weights.config
        self.window_rope, self.full_rope = window_rope, full_rope
        self.epsilon = torch.tensor([self.config.norm_eps])
        self._phases = phases_of(self.config.n_layers)
        self._layers, self._layers_of = self._describe_layers(), weights.changes
        self._work: list[Tensor] = []
        self._work_of = 0, 0  # sequences and vocabulary

    def __call__(
        self, parts: Sequence[SlabRows], ids: Tensor, positions: Tensor, head: Panels
    ) -> Tensor:
        """Store the tokens' keys and values and compute what follows.

        Args:
            parts: The slabs that the tokens belong to, in the order of the batch.
            ids: [N] int64.
            positions: [N] int64, tokens that each sequence has read before.
            head: The LM head.

        Returns:
            Logits, [N, vocabulary]. The next call overwrites them.
        """
        config, weights = self.config, self.weights
        if self._layers_of != weights.changes:
            self._layers, self._layers_of = self._describe_layers(), weights.changes
        count = len(ids)
        width, heads = config.head_width, config.n_heads
        work = self._room_to_work(count, head.outputs)
        torch.index_select(weights.embeddings, 0, ids, out=work[0][:count])
        caches, slabs, rows = _describe_caches(parts)
        share = _share(count, torch.get_num_threads())
        counters = torch.zeros((-(-count // share), self._phases, STRIDE), dtype=torch.int64)
        decode(
            (weights.dtype, width),
            count,
            *(heads, config.n_kv_heads, config.d_model, config.ffn_hidden_size, head.outputs),
            *(config.n_layers, max(max(part.slab.slots) for part in parts)),
            *(self.epsilon, counters, self._layers, caches, len(parts), slabs, rows),
            *(positions, weights.norm, head.numbers, *work),
            share,
            # What a thread multiplies in a phase must be worth waking it.
            numbers=count * config.d_model * config.ffn_hidden_size // COLUMNS,
        )
        return work[-1][:count]

    def _room_to_work(self, count: int, vocabulary: int) -> list[Tensor]:
        """What the step works in and writes, the same as last time where that is as large."""
        if self._work_of != (count, vocabulary):
            config = self.config
            width, heads, kv_heads = config.head_width, config.n_heads, config.n_kv_heads
            widths = (
                *(config.d_model, (heads + 2 * kv_heads) * width, heads * width),
                *(config.d_model, config.ffn_hidden_size, vocabulary),
            )
            # A tile reads 8 rows, also where a share begins with the last of them.
            rows, embeddings = count + ROWS - 1, self.weights.embeddings
            self._work = [embeddings.new_empty((rows, columns)) for columns in widths]
            self._work_of = count, vocabulary
        return self._work

    def _describe_layers(self) -> Tensor:
        """[layers, 10] addresses: four matrices, four norms, cosines and sines."""
        rows = [self._describe(*each) for each in enumerate(self.weights.layers)]
        return torch.tensor(rows, dtype=torch.int64)

    def _describe(self, number: int, layer: LayerWeights) -> list[int]:
        matrices = [layer.qkv, layer.out, layer.gate_up, layer.down]
        norms = [layer.q_norm, layer.k_norm, layer.attention_norm, layer.feed_forward_norm]
        far = self.config.is_full_attention(number)
        tables = self.full_rope if far else self.window_rope
        panels = [matrix.numbers for matrix in matrices if isinstance(matrix, Panels)]
        addresses = [tensor.data_ptr() for tensor in (*panels, *norms, *tables)]
        assert len(addresses) == LAYER
        return addresses


def _share(count: int, threads: int) -> int:
    """Sequences that go through all layers by themselves; all of them: all threads share them."""
    each = -(-count // threads // ROWS) * ROWS
    return each if each >= _ALONE else count


def _describe_caches(parts: Sequence[SlabRows]) -> tuple[Tensor, Tensor, Tensor]:
    """[layers, slabs, 3] addresses of keys and of values and slots; of each token slab and row."""
    caches = np.stack([part.slab.addresses() for part in parts], axis=1)
    counts = [part.count for part in parts]
    slabs = np.repeat(np.arange(len(parts)), counts)
    rows = np.concatenate([np.arange(count) for count in counts])
    return torch.from_numpy(caches), torch.from_numpy(slabs), torch.from_numpy(rows)
