"""Models of a few thousand parameters that speak."""

import pytest


@pytest.fixture
def models(tmp_path, small_tokenizer, speaking_config):
    """Folders ``large`` and ``small`` of models that were never trained."""
    from tokenizers import AddedToken

    from olmoflow.model import Olmo3, initialise
    from olmoflow.model.hf import export_hf
    from olmoflow.tokens.tokenizer import load_tokenizer

    opened = load_tokenizer(small_tokenizer)
    opened.backend.add_special_tokens(
        [AddedToken(token, special=True) for token in ("<|im_start|>", "<|im_end|>")]
    )
    opened.save(tmp_path / "tokenizer")
    for seed, name in enumerate(("large", "small")):
        model = Olmo3(speaking_config)
        initialise(model, seed=seed)
        tensors = model.state_dict().items()
        target, tokenizer = tmp_path / name, tmp_path / "tokenizer"
        export_hf(tensors, speaking_config, target, tokenizer=tokenizer)
