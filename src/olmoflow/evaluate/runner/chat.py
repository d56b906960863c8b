"""A question as the only turn of a conversation, in the model's own chat template."""

from __future__ import annotations

from functools import cache
from typing import Any

from olmoflow.errors import UserError
from olmoflow.tokens.tokenizer import Tokenizer


def render_chat(tokenizer: Tokenizer, said: str) -> str:
    """The text of a conversation in which the user has said this and the model is to answer.

    Raises:
        UserError: The tokenizer has no chat template.
    """
    text: str = _renderer(tokenizer).apply_chat_template(
        [{"role": "user", "content": said}], tokenize=False, add_generation_prompt=True
    )
    return text


@cache
def _renderer(tokenizer: Tokenizer) -> Any:
    """Transformers renders templates, in a sandbox: they come with downloaded models."""
    from transformers import PreTrainedTokenizerFast

    config = tokenizer.config
    template = config.get("chat_template")
    if not template:
        raise UserError(
            f"{tokenizer.name}: has no chat template, which tasks in chat format ask in; expected "
            "a model that was trained on conversations, or tasks in completion format"
        )
    given = {key: config.get(key) for key in ("bos_token", "eos_token", "pad_token")}
    tokens = {k: t["content"] if isinstance(t, dict) else t for k, t in given.items() if t}
    make: Any = PreTrainedTokenizerFast
    return make(tokenizer_object=tokenizer.backend, chat_template=template, **tokens)
