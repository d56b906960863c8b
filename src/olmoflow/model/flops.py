"""Parameters and floating-point operations, counted from the config alone.

The FLOP formula is the one behind Ai2's published MFU figures (OLMo-core's speed monitor): 6 per
parameter of the blocks and the LM head, which is a multiply and an add in the forward pass and
twice that in the backward pass, and 12 * heads * head width * visible tokens per layer for the
scores and the weighted sum. It neither halves attention for causality nor counts recomputation.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from olmoflow.model.config import Olmo3Config


def num_parameters(config: "Olmo3Config") -> int:
    """Parameters of the whole model."""
    embedding = config.vocab_size * config.d_model
    return 2 * embedding + config.d_model + config.n_layers * _block_parameters(config)


def flops_per_token(config: "Olmo3Config", sequence_length: int) -> int:
    """FLOPs per token of a forward and backward pass over sequences of the given length."""
    embedding = config.vocab_size * config.d_model
    weights = 6 * (num_parameters(config) - embedding)
    windows = (config.window(layer) or sequence_length for layer in range(config.n_layers))
    visible = sum(min(window, sequence_length) for window in windows)
    return weights + 12 * config.n_heads * config.head_width * visible


def head_flops_per_token(config: "Olmo3Config") -> int:
    """Of them, those of the LM head."""
    return 6 * config.vocab_size * config.d_model


def _block_parameters(config: "Olmo3Config") -> int:
    queries = config.n_heads * config.head_width
    keys = config.n_kv_heads * config.head_width
    projections = config.d_model * (2 * queries + 2 * keys)  # q, o and k, v
    norms = queries + keys + 2 * config.d_model
    return projections + 3 * config.d_model * config.ffn_hidden_size + norms
