"""Which special tokens no answer may hold the text of.

A model that was trained little says ``<|im_start|>`` as if it were a word. As a row of a
conversation that would forge a turn, and `olmoflow tokenize` refuses it; here it is set apart with
the prompt that it answers.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from olmoflow.commands.synthesize.speakers import Role, template_of
from olmoflow.errors import UserError

if TYPE_CHECKING:
    from olmoflow.tokens.tokenizer import Tokenizer


def special_tokens_of(roles: Iterable[Role], counting: Path | None) -> tuple[str, ...]:
    """The tokens of those who speak and of the tokenizer that counts.

    An endpoint does not say what its model's tokens are. Where only endpoints speak and nothing
    counts, they are those of our own templates, in which the rows are likely to be written.

    Args:
        roles: Who speaks.
        counting: A tokenizer's folder.

    Raises:
        UserError: A speaker has no template, or one that does not fit.
    """
    from olmoflow.tokens.tokenizer import EOS, PAD, TURNS, load_tokenizer

    found: dict[str, None] = {}
    for role in roles:
        if role.checkpoint is not None:
            found |= dict.fromkeys(_of_speaker(role))
    if counting is not None:
        found |= dict.fromkeys(_of_tokenizer(load_tokenizer(counting)))
    return tuple(found) or (*TURNS, EOS, PAD)


def _of_speaker(role: Role) -> tuple[str, ...]:
    from olmoflow.tokens.chat.forging import forging_tokens
    from olmoflow.tokens.chat.spans import find_frame

    tokenizer, template = template_of(role)
    named = template.with_tokens_of(tokenizer)
    try:
        return forging_tokens(named, find_frame(named))
    except UserError as error:
        raise UserError(f"{role.name}.template: {error}") from error


def _of_tokenizer(tokenizer: Tokenizer) -> tuple[str, ...]:
    """Of its own template if it has one, else those of our templates that it has."""
    from olmoflow.tokens.chat.forging import forging_tokens
    from olmoflow.tokens.chat.spans import find_frame
    from olmoflow.tokens.chat.template import load_template, own_template

    try:
        template = own_template(tokenizer)
        return forging_tokens(template, find_frame(template))
    except UserError:
        template = load_template("plain").with_tokens_of(tokenizer)
        tokens = forging_tokens(template, find_frame(template))
        return tuple(token for token in tokens if tokenizer.special_id(token) is not None)
