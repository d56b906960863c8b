"""The architecture as data. Imports no torch: the command line composes configs without it."""

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Self

from olmoflow.errors import UserError
from olmoflow.model import flops


@dataclass(frozen=True)
class YaRN:
    """Context extension of the full-attention layers (arXiv 2309.00071).

    Frequencies that turn more than `beta_fast` times over `original_max_position` tokens stay,
    those that turn fewer than `beta_slow` times are slowed down by `factor`, with a linear ramp
    in between. Cosine and sine are both multiplied by `0.1 * ln(factor) + 1`.
    """

    factor: float = 8.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    original_max_position: int = 8192

    def __post_init__(self) -> None:
        for field in fields(self):
            _require_positive(f"model.yarn.{field.name}", getattr(self, field.name), field.type)
        if self.factor < 1:
            raise UserError(f"model.yarn.factor: {self.factor} found, at least 1 expected")
        if self.beta_fast <= self.beta_slow:
            raise UserError(
                f"model.yarn.beta_fast: {self.beta_fast} found, more than "
                f"beta_slow={self.beta_slow} expected"
            )


@dataclass(frozen=True)
class Olmo3Config:
    """The shape of an Olmo 3 (arXiv 2512.13961, Table 33). Plain values only.

    Attributes:
        vocab_size: Rows of the embedding, padding rows included (100352 for the 100278 of dolma2).
        d_model: Width of the residual stream.
        n_layers: Number of blocks.
        n_heads: Query heads.
        n_kv_heads: Key and value heads; fewer than `n_heads` is grouped-query attention.
        ffn_hidden_size: Width of the SwiGLU's hidden layer.
        head_dim: Width of one head; `d_model // n_heads` where None.
        sliding_window: Tokens that a sliding layer sees, the current one included.
        full_attention_every: Layer i sees everything iff (i + 1) is a multiple; the last always.
        rope_theta: Base of the rotary frequencies.
        yarn: Context extension of the full-attention layers, or None.
        norm_eps: Epsilon of every RMSNorm.
        init_std: Standard deviation of the truncated-normal initialisation.
        max_sequence_length: The longest sequence, in tokens; longer input is an error.
    """

    vocab_size: int
    d_model: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    ffn_hidden_size: int
    head_dim: int | None = None
    sliding_window: int = 4096
    full_attention_every: int = 4
    rope_theta: float = 500_000.0
    yarn: YaRN | None = None
    norm_eps: float = 1e-6
    init_std: float = 0.02
    max_sequence_length: int = 8192

    def __post_init__(self) -> None:
        optional = {"head_dim"} if self.head_dim is None else set()
        for field in fields(self):
            if field.type in (int, float, int | None) and field.name not in optional:
                _require_positive(f"model.{field.name}", getattr(self, field.name), field.type)
        if self.head_dim is None and self.d_model % self.n_heads:
            raise UserError(
                f"model.n_heads: {self.n_heads} found, a divisor of d_model={self.d_model} "
                "expected (or give head_dim)"
            )
        if self.n_heads % self.n_kv_heads:
            raise UserError(
                f"model.n_kv_heads: {self.n_kv_heads} found, a divisor of "
                f"n_heads={self.n_heads} expected"
            )
        if self.head_width % 2:
            raise UserError(f"model.head_dim: {self.head_width} found, an even number expected")
        if self.yarn is not None and not isinstance(self.yarn, YaRN):
            raise UserError(f"model.yarn: {type(self.yarn).__name__} found, YaRN or null expected")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Builds a config from what `dataclasses.asdict` gave (through JSON, say).

        Raises:
            UserError: A key is unknown or missing.
        """
        settings = dict(values)
        if isinstance(settings.get("yarn"), Mapping):
            settings["yarn"] = YaRN(**_known(YaRN, settings["yarn"], "model.yarn"))
        return cls(**_known(cls, settings, "model"))

    @property
    def head_width(self) -> int:
        """Width of one head: `head_dim`, or its default."""
        return self.d_model // self.n_heads if self.head_dim is None else self.head_dim

    def is_full_attention(self, layer: int) -> bool:
        """Whether the layer (counted from 0) sees every earlier token."""
        return (layer + 1) % self.full_attention_every == 0 or layer == self.n_layers - 1

    def window(self, layer: int) -> int | None:
        """Tokens that the layer sees, the current one included; None where it sees all."""
        return None if self.is_full_attention(layer) else self.sliding_window

    @property
    def num_parameters(self) -> int:
        """All parameters."""
        return flops.num_parameters(self)

    @property
    def num_non_embedding_parameters(self) -> int:
        """All parameters but the input embedding; the LM head counts, as Ai2 counts it."""
        return self.num_parameters - self.vocab_size * self.d_model

    def flops_per_token(self, sequence_length: int) -> int:
        """Floating-point operations of one training step (forward, backward) per token."""
        return flops.flops_per_token(self, sequence_length)

    @property
    def head_flops_per_token(self) -> int:
        """Of them, those of the LM head; a token that is no target needs none."""
        return flops.head_flops_per_token(self)


def _require_positive(key: str, value: Any, kind: Any) -> None:
    # A bool is an int to Python; a whole number will do for a float.
    number = isinstance(value, (int, float) if kind is float else int)
    if not number or isinstance(value, bool) or not 0 < value < math.inf:
        expected = "a positive number" if kind is float else "a positive integer"
        raise UserError(f"{key}: {value!r} found, {expected} expected")


def _known(kind: type, values: Mapping[str, Any], where: str) -> dict[str, Any]:
    names = [f.name for f in fields(kind)]
    required = [f.name for f in fields(kind) if f.default is MISSING]
    if unknown := [key for key in values if key not in names]:
        raise UserError(f"{where}.{unknown[0]}: unknown key; expected one of {', '.join(names)}")
    if missing := [name for name in required if name not in values]:
        raise UserError(f"{where}.{missing[0]}: missing")
    return dict(values)
