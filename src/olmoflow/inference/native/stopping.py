"""Texts that end a sample, wherever their characters lie in its tokens."""

from __future__ import annotations

from collections.abc import Sequence

from olmoflow.tokens.tokenizer import Tokenizer

_LONGEST_CHARACTER = 4
"""Bytes of UTF-8, and so the most tokens, that make one character."""


def ends_at_text(tokenizer: Tokenizer, token_ids: Sequence[int], stops: Sequence[str]) -> bool:
    """Whether the last of the tokens completes one of the texts.

    Only the tokens that could hold it are looked at: each stands for one byte at least. Special
    tokens count as their text here, so that ``<|im_end|>`` may be a stop text too.
    """
    reach = _LONGEST_CHARACTER * (max(map(len, stops)) + 1)
    tail = tokenizer.decode(token_ids[-reach:])
    return any(stop in tail for stop in stops)


def text_before(tokenizer: Tokenizer, token_ids: Sequence[int], stops: Sequence[str]) -> str:
    """The tokens' text without special tokens, up to the stop text that is complete first in it.

    Of stops that end at one character the longest counts. So the text is the same however it is
    cut into tokens: what a token holds after the first complete stop decides nothing.
    """
    whole = tokenizer.decode(token_ids)
    places = [(place + len(stop), place) for stop in stops if (place := whole.find(stop)) >= 0]
    if not places:
        return tokenizer.decode(token_ids, skip_special_tokens=True)
    (_, end), kept = min(places), len(token_ids)
    # The last tokens hold the stop: a few steps back to where the text before it begins. Where a
    # token ends within a character, what is decoded up to there is not how the text begins.
    while not whole[:end].startswith(before := tokenizer.decode(token_ids[:kept])):
        kept -= 1
    text = tokenizer.decode(token_ids[:kept], skip_special_tokens=True)
    if not tokenizer.decode(token_ids[kept : kept + 1], skip_special_tokens=True):
        return text  # the stop is part of a special token, which is no text
    return text + whole[len(before) : end]  # a token may hold both this and the stop's beginning
