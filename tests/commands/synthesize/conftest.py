"""Models of a few thousand parameters that speak."""

import pytest


@pytest.fixture
def models(tmp_path, small_tokenizer):
    """Folders ``large`` and ``small`` of models that were never trained."""
    from tokenizers import AddedToken

    from olmoflow.model import Olmo3, Olmo3Config, initialise
    from olmoflow.model.hf import export_hf
    from olmoflow.tokens.tokenizer import load_tokenizer

    opened = load_tokenizer(small_tokenizer)
    opened.backend.add_special_tokens(
        [AddedToken(token, special=True) for token in ("<|im_start|>", "<|im_end|>")]
    )
    opened.save(tmp_path / "tokenizer")
    config = Olmo3Config(
        vocab_size=304,
        d_model=32,
        n_layers=2,
        n_heads=2,
        n_kv_heads=2,
        ffn_hidden_size=64,
        sliding_window=16,
        max_sequence_length=256,
        init_std=0.3,
    )
    for seed, name in enumerate(("large", "small")):
        model = Olmo3(config)
        initialise(model, seed=seed)
        tensors = model.state_dict().items()
        export_hf(tensors, config, tmp_path / name, tokenizer=tmp_path / "tokenizer")
