"""A question as the only turn of a conversation, in the model's own chat template."""

from __future__ import annotations

from olmoflow.errors import UserError
from olmoflow.tokens.chat.conversation import Message
from olmoflow.tokens.chat.template import own_template
from olmoflow.tokens.tokenizer import Tokenizer


def render_chat(tokenizer: Tokenizer, said: str) -> str:
    """The text of a conversation in which the user has said this and the model is to answer.

    Raises:
        UserError: The tokenizer has no chat template.
    """
    if not tokenizer.config.get("chat_template"):
        raise UserError(
            f"{tokenizer.name}: has no chat template, which tasks in chat format ask in; expected "
            "a model that was trained on conversations, or tasks in completion format"
        )
    return own_template(tokenizer).render([Message("user", said)], add_generation_prompt=True)
