"""What an assistant says in the text of a conversation: which characters a model learns.

Learnt are an assistant's words, its function calls and the token that closes its turn; not the
header that a generation prompt gives. Since ``<think>`` stands in the assistant's content, it is
learnt, also where a template's generation prompt ends with it. (A span that starts where the
generation prompt ends would leave it out, and the model would never learn to begin a thought:
`docs/olmo3.md` of allenai/open-instruct.)

A template is a program, so nothing is assumed of what it does with a turn. The conversation is
rendered once as it is and once with marks around what the assistant says; if the second without
its marks is not the first, or a mark is lost, the template has changed the words, and the row is
set apart.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from typing import Literal, NamedTuple

from olmoflow.errors import UserError
from olmoflow.tokens.chat.conversation import Message
from olmoflow.tokens.chat.template import ChatTemplate, own_template, unshown_functions
from olmoflow.tokens.tokenizer import Tokenizer

Learn = Literal["all", "last"]
Span = tuple[int, int]
# Of the private use area, for marks that no text holds.
_MARKS = [chr(point) for point in range(0xF0000, 0xF0100)]


class UnderivableSpans(Exception):  # noqa: N818
    """A conversation of which it cannot be said for certain what is to be learnt.

    Attributes:
        reason: Why.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Frame(NamedTuple):
    """What stands around an assistant's turn.

    Attributes:
        opener: The special token that begins it.
        header: The text between it and the content.
        closers: The special tokens that may end it: within a conversation, and at its end.
    """

    opener: str
    header: str
    closers: tuple[str, ...]


def find_frame(template: ChatTemplate) -> Frame:
    """Read a template's frame off what it renders.

    The header is what a generation prompt and a turn that follows it have in common, so a
    ``<think>`` at the prompt's end is no part of it.

    Raises:
        UserError: The template does not mark the assistant's turns by special tokens.
    """
    asked = Message("user", "?")
    prompt = template.render([asked], add_generation_prompt=True)
    said, other = Message("assistant", "A"), Message("assistant", "B")
    once = template.render([asked, said])
    both = template.render([asked, said, asked, other])
    common = 0
    while common < min(len(prompt), len(once)) and prompt[common] == once[common]:
        common += 1
    tokens = list(dict.fromkeys([*template.special_tokens, *template.tokens.values()]))
    special = re.compile("|".join(map(re.escape, sorted(tokens, key=len, reverse=True))))
    before = list(special.finditer(once, 0, common))
    last, inner = special.search(once, common), special.search(both, common)
    if not before or last is None or inner is None or once[common:].startswith(last[0]):
        raise UserError(
            f"template {template.name}: marks no turns of an assistant by special tokens, so a "
            "model cannot learn them from it; expected a chat template"
        )
    header = once[before[-1].end() : common]
    return Frame(before[-1][0], header, tuple(dict.fromkeys([inner[0], last[0]])))


@lru_cache(maxsize=8)
def closing_ids(tokenizer: Tokenizer) -> frozenset[int]:
    """The tokens with which a model ends its turn in its own chat template.

    None where the tokenizer has no template, or one without turns.
    """
    try:
        frame = find_frame(own_template(tokenizer))
    except UserError:
        return frozenset()
    found = (tokenizer.special_id(closer) for closer in frame.closers)
    return frozenset(id_ for id_ in found if id_ is not None)


def learnt_characters(
    template: ChatTemplate, messages: Sequence[Message], closers: Sequence[str], learn: Learn
) -> tuple[str, list[Span]]:
    """The text of a conversation and the spans of it that are learnt.

    Args:
        template: Writes it.
        messages: Its turns.
        closers: The tokens that may end an assistant's turn.
        learn: Which of the assistant's turns: ``all``, or the ``last``.

    Raises:
        UnderivableSpans: The template changes the words, leaves functions out, or does not close a
            turn.
    """
    turns = [place for place, message in enumerate(messages) if message.role == "assistant"]
    if not turns:
        raise UnderivableSpans("no turn of an assistant")
    learnt = turns if learn == "all" else turns[-1:]
    plain = _render(template, messages)
    if lost := unshown_functions(messages, plain):
        raise UnderivableSpans(lost)
    marks = [mark for mark in _MARKS if mark not in plain][:2]
    marked = _render(template, [_marked(m, i in learnt, marks) for i, m in enumerate(messages)])
    found = list(re.finditer("|".join(marks), marked))
    places = [mark.start() - number for number, mark in enumerate(found)]
    expected = [_said(messages[place]) for place in learnt]
    kinds = "".join("ab"[marks.index(mark[0])] for mark in found)
    if kinds != "ab" * sum(map(len, expected)) or _without(marked, marks) != plain:
        raise UnderivableSpans("the template changes what the assistant says")
    pairs = iter(zip(places[::2], places[1::2], strict=True))
    spans = []
    for texts in expected:
        said = [next(pairs) for _ in texts]
        if [plain[start:end] for start, end in said] != texts:
            raise UnderivableSpans("the template changes what the assistant says")
        spans.append((said[0][0], _closed(plain, said[-1][1], closers)))
    if any(end > start for (_, end), (start, _) in pairwise(spans)):
        raise UnderivableSpans("the template does not close a turn of the assistant")
    return plain, spans


def _render(template: ChatTemplate, messages: Sequence[Message]) -> str:
    try:
        return template.render(messages)
    except UserError as error:
        raise UnderivableSpans(str(error)) from error


def _said(message: Message) -> list[str]:
    calls = message.function_calls
    return [message.content] if calls is None else [message.content, calls]


def _marked(message: Message, learnt: bool, marks: Sequence[str]) -> Message:
    if not learnt:
        return message
    before, after = marks
    calls = message.function_calls
    return replace(
        message,
        content=f"{before}{message.content}{after}",
        function_calls=None if calls is None else f"{before}{calls}{after}",
    )


def _without(text: str, marks: Sequence[str]) -> str:
    for mark in marks:
        text = text.replace(mark, "")
    return text


def _closed(text: str, start: int, closers: Sequence[str]) -> int:
    """Where the first closing token after a place ends."""
    ends = [at + len(closer) for closer in closers if (at := text.find(closer, start)) >= 0]
    if not ends:
        raise UnderivableSpans("the template does not close a turn of the assistant")
    return min(ends)
