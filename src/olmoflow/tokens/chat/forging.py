"""Special tokens whose text in a message could forge a turn, and messages that hold such text.

A conversation is encoded as one text in which special tokens are recognised, wherever they stand.
So a message with ``<|im_end|>`` in its words would end its turn there. Whoever renders messages, or
makes messages that will be rendered, asks here.
"""

from __future__ import annotations

from collections.abc import Sequence

from olmoflow.tokens.chat.conversation import Message
from olmoflow.tokens.chat.spans import Frame
from olmoflow.tokens.chat.template import ChatTemplate


def forging_tokens(template: ChatTemplate, frame: Frame) -> tuple[str, ...]:
    """The tokens that frame an assistant's turn, and those that the tokenizer names.

    Not all special tokens: ``<function_calls>`` is part of what an assistant says.

    Args:
        template: With the tokenizer's own names of its tokens.
        frame: Of the template.
    """
    return tuple(dict.fromkeys([frame.opener, *frame.closers, *template.tokens.values()]))


def forgery(message: Message, tokens: Sequence[str]) -> str | None:
    """What is wrong with a message, if it holds the text of one of the tokens."""
    said = [text for text in (message.content, message.functions, message.function_calls) if text]
    token = next((token for token in tokens for text in said if token in text), None)
    return None if token is None else f"holds the text of the special token {token}"
