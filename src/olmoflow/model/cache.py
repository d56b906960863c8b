"""Keys and values of the tokens already read, so that each new token is computed once."""

import torch
from torch import Tensor

from olmoflow.model.config import Olmo3Config


class LayerCache:
    """One layer's keys and values; a ring buffer where the layer has a window.

    The token at position p lies in slot `p % capacity`. A window layer needs no more slots than
    its window, so its memory stops growing with the sequence.
    """

    def __init__(self, keys: Tensor, values: Tensor, window: int | None) -> None:
        self.keys = keys  # [B, capacity, H_kv, head_dim]
        self.values = values
        self.window = window
        self.length = 0  # tokens read so far

    @property
    def capacity(self) -> int:
        """Slots per sequence."""
        return self.keys.shape[1]

    def append(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Takes the keys and values [B, T, H_kv, head_dim] of the next T tokens.

        Returns:
            Keys and values [B, S, H_kv, head_dim] of every token that one of the new ones may
            see, the new ones included, in no particular order; and their positions [S].
        """
        if self.window is None or k.shape[1] == 1:
            self._write(k, v)
            return self._stored()
        # The first of several new tokens still sees keys that the last one's slot overwrites.
        keys, values, positions = self._stored()
        new = torch.arange(self.length, self.length + k.shape[1], device=k.device)
        seen = torch.cat((keys, k), 1), torch.cat((values, v), 1), torch.cat((positions, new))
        self._write(k, v)
        return seen

    def _stored(self) -> tuple[Tensor, Tensor, Tensor]:
        stored = min(self.length, self.capacity)
        slots = torch.arange(stored, device=self.keys.device)
        newest = self.length - 1
        positions = newest - (newest - slots) % self.capacity
        return self.keys[:, :stored], self.values[:, :stored], positions

    def _write(self, k: Tensor, v: Tensor) -> None:
        new = k.shape[1]
        kept = min(new, self.capacity)
        positions = torch.arange(self.length + new - kept, self.length + new, device=k.device)
        slots = positions % self.capacity
        self.keys[:, slots] = k[:, new - kept :].to(self.keys.dtype)
        self.values[:, slots] = v[:, new - kept :].to(self.values.dtype)
        self.length += new


class KVCache:
    """The caches of all layers for a batch of sequences that grow in step.

    Args:
        config: The model's.
        batch_size: Sequences.
        max_length: Tokens per sequence, prompt included; reading more is an error.
        device: Where keys and values live.
        dtype: Of keys and values: the model's compute dtype.
    """

    def __init__(
        self,
        config: Olmo3Config,
        batch_size: int,
        max_length: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.max_length = max_length
        self.layers: list[LayerCache] = []
        for layer in range(config.n_layers):
            window = config.window(layer)
            capacity = max_length if window is None else min(window, max_length)
            shape = (batch_size, capacity, config.n_kv_heads, config.head_width)
            keys, values = (torch.zeros(shape, device=device, dtype=dtype) for _ in range(2))
            self.layers.append(LayerCache(keys, values, window))

    @property
    def length(self) -> int:
        """Tokens read so far."""
        return self.layers[0].length
