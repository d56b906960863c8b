"""The whole network: embedding, blocks, final norm, LM head."""

import torch
from torch import Tensor, nn

from olmoflow.errors import UserError
from olmoflow.model.attention.attend import Attend, AttentionBackend, check_backend, prepare
from olmoflow.model.attention.context import ContextParallel
from olmoflow.model.block import Block
from olmoflow.model.cache import KVCache
from olmoflow.model.config import Olmo3Config
from olmoflow.model.embedding import Embedding
from olmoflow.model.linear import Linear
from olmoflow.model.norm import RMSNorm
from olmoflow.model.rope import RotaryTable, Rotation


class Olmo3(nn.Module):
    """Olmo 3 (arXiv 2512.13961, section 3.2).

    Parameters are fp32, or whatever they are cast to; activations run in `compute_dtype`. Norms,
    rotations, softmax statistics and the returned logits are fp32 in any case.

    Args:
        config: The architecture.
        attention: What computes attention; the result is the same up to rounding.
        compute_dtype: Dtype of the residual stream and of every matrix product.
    """

    def __init__(
        self,
        config: Olmo3Config,
        *,
        attention: AttentionBackend = "sdpa",
        compute_dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        check_backend(attention)
        self.config = config
        self.attention: AttentionBackend = attention
        self.compute_dtype = compute_dtype
        self.embeddings = Embedding(config.vocab_size, config.d_model)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.norm = RMSNorm(config.d_model, config.norm_eps)
        self.lm_head = Linear(config.d_model, config.vocab_size)
        rope = config.head_width, config.max_sequence_length, config.rope_theta
        self.window_rope = RotaryTable(*rope, None)
        # Window layers never look further than in pretraining, so only full ones are extended.
        self.full_rope = RotaryTable(*rope, config.yarn) if config.yarn else self.window_rope
        self.context: ContextParallel | None = None

    def forward(
        self, input_ids: Tensor, document_ids: Tensor | None = None, cache: KVCache | None = None
    ) -> Tensor:
        """Logits of the next token.

        Args:
            input_ids: [B, T] int64.
            document_ids: [B, T], non-decreasing within a row; tokens attend only within equal
                ids. None: each row is one document. With them a row may be longer than the config
                allows, for only a document's own tokens see each other: its length is the caller's
                affair.
            cache: Keys and values of the tokens before; takes in those of the new ones.

        Returns:
            [B, T, vocab_size], fp32.

        Raises:
            UserError: The sequence is longer than the config or the cache allows.
        """
        hidden = self.hidden_states(input_ids, document_ids, cache)
        logits: Tensor = self.lm_head(hidden)
        return logits.float()

    def hidden_states(
        self, input_ids: Tensor, document_ids: Tensor | None = None, cache: KVCache | None = None
    ) -> Tensor:
        """What the LM head sees: [B, T, d_model] after the final norm. Arguments as `forward`.

        Where ranks share sequences (`context` is set), `input_ids` and the result are this rank's
        part of them, and `document_ids` are those of the whole sequences.
        """
        start, length = cache.length if cache else 0, input_ids.shape[1]
        if self.context:
            length *= self.context.size
        self._check_length(start + length, document_ids, cache)
        attends = {
            window: self._prepare(window, length, document_ids, input_ids.device)
            for window in (None, self.config.sliding_window)
        }
        full = self._rotation(self.full_rope, start, length, input_ids.device)
        near = self._rotation(self.window_rope, start, length, input_ids.device)

        x = self.embeddings(input_ids).to(self.compute_dtype)
        for layer, block in enumerate(self.blocks):
            window = self.config.window(layer)
            rotation = full if window is None else near
            x = block(x, rotation, attends[window], cache.layers[layer] if cache else None)
        hidden: Tensor = self.norm(x)
        return hidden

    def _prepare(
        self, window: int | None, length: int, document_ids: Tensor | None, device: torch.device
    ) -> Attend:
        make = self.context.prepare if self.context else prepare
        return make(
            self.attention,
            window,
            document_ids,
            length=length,
            device=device,
            dtype=self.compute_dtype,
        )

    def _rotation(
        self, table: RotaryTable, start: int, length: int, device: torch.device
    ) -> Rotation:
        cos, sin = table(start, length, device)
        if self.context is None:
            return cos, sin
        return self.context.own_part(cos, dim=0), self.context.own_part(sin, dim=0)

    def _check_length(self, total: int, document_ids: Tensor | None, cache: KVCache | None) -> None:
        if total > self.config.max_sequence_length and document_ids is None:
            raise UserError(
                f"model.max_sequence_length: a sequence of {total} tokens found, at most "
                f"{self.config.max_sequence_length} expected"
            )
        if cache is not None and total > cache.max_length:
            raise UserError(
                f"KVCache.max_length: {total} tokens found, at most {cache.max_length} expected"
            )
        if cache is not None and document_ids is not None:
            raise ValueError("document_ids and a cache exclude each other")
