"""What all speakers say: how many prompts of how many tokens, and how much is said to each.

Imported by speakers that run in environments of their own: only the standard library.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "trainers"))
from task import SHAPE

PROMPTS, PROMPT, ANSWER = 64, 64, 128
SKEWED_REQUESTS, SHORTEST, LONGEST, MEAN = 192, 8, 512, 96
MAX_LENGTH = 1024


def prompts(number: int = PROMPTS) -> list[list[int]]:
    """Prompts of random tokens, the same in every process."""
    source = random.Random(0)
    return [[source.randrange(SHAPE["vocab_size"]) for _ in range(PROMPT)] for _ in range(number)]


def skewed_lengths() -> list[int]:
    """New tokens of each request: mostly few, sometimes many."""
    source = random.Random(1)
    drawn = (SHORTEST + source.expovariate(1 / MEAN) for _ in range(SKEWED_REQUESTS))
    return [min(int(length), LONGEST) for length in drawn]


def hf_config() -> dict[str, object]:
    """Of the model, in the words of `transformers`."""
    layers = SHAPE["n_layers"]
    return {
        "vocab_size": SHAPE["vocab_size"],
        "hidden_size": SHAPE["d_model"],
        "num_hidden_layers": layers,
        "num_attention_heads": SHAPE["n_heads"],
        "num_key_value_heads": SHAPE["n_heads"],
        "intermediate_size": SHAPE["ffn_hidden_size"],
        "sliding_window": SHAPE["window"],
        "max_position_embeddings": MAX_LENGTH,
        "layer_types": [
            "full_attention" if (i + 1) % 4 == 0 else "sliding_attention" for i in range(layers)
        ],
    }
