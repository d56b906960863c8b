"""Conversations up to the user's last turn: what speakers are asked to answer."""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from olmoflow.documents import Intake, rows_of_file
from olmoflow.tokens.chat.conversation import (
    Conversation,
    MalformedTurnsError,
    Message,
    check_length,
    conversation_files,
    parse_messages,
)


@dataclass(frozen=True)
class Prompt:
    """A conversation that waits for an answer.

    Attributes:
        id: Of the conversation.
        messages: The last is the user's.
        source: Where the conversation comes from.
        reference: What a verifier compares with, where the conversation has it.
    """

    id: str
    messages: tuple[Message, ...]
    source: str = ""
    reference: Any = None

    @property
    def size(self) -> int:
        """UTF-8 bytes of what is said."""
        return sum(len(message.content.encode(errors="replace")) for message in self.messages)

    @cached_property
    def digest(self) -> str:
        """The same for equal messages, 32 hexadecimal digits."""
        return digest_of(self.messages)


def digest_of(messages: Sequence[Message]) -> str:
    """Of what was said and by whom, 32 hexadecimal digits."""
    return hashlib.blake2b(canonical(messages).encode(), digest_size=16).hexdigest()


def canonical(messages: Sequence[Message]) -> str:
    """Messages as one text, equal for equal messages only."""
    rows = [[m.role, m.content, m.functions, m.function_calls] for m in messages]
    return json.dumps(rows, ensure_ascii=True)


@dataclass
class PromptCount:
    """What became of the conversations.

    Attributes:
        conversations: Read, and well formed.
        prompts: Made of them.
        no_user: Without a turn of the user.
        duplicates: Equal to the prompt of an earlier conversation.
        over_limit: Left out because so many were not asked for.
    """

    conversations: int = 0
    prompts: int = 0
    no_user: int = 0
    duplicates: int = 0
    over_limit: int = 0
    examples: list[str] = field(default_factory=list)


def read_verifiable(path: Path, intake: Intake, column: str) -> Iterator[Prompt]:
    """The conversations of a file or folder with what a verifier compares with.

    Args:
        path: JSON lines or Parquet.
        intake: Counts the rows and keeps what is malformed.
        column: Of the reference; one that is the text of a JSON list or object is read as that.

    Raises:
        UserError: There is no conversation, or too many are malformed.
    """
    for file in conversation_files(path):
        for number, row in rows_of_file(file, intake, "messages"):
            try:
                messages = parse_messages(row.get("messages"))
                check_length(messages, intake.max_document_bytes)
                if row.get(column) is None:
                    raise MalformedTurnsError(f"no {column}, expected a reference")
            except MalformedTurnsError as error:
                intake.reject(file, number, str(error))
                continue
            intake.documents += 1
            id_ = str(row.get("id") or f"{file.name}:{number}")
            source = str(row.get("source") or file.name.partition(".")[0])
            yield Prompt(id_, messages, source, _plain(row[column]))
    intake.close(path)


def _plain(reference: Any) -> Any:
    if isinstance(reference, str) and reference.lstrip()[:1] in ("[", "{"):
        with suppress(ValueError):
            return json.loads(reference)
    return reference


def prompts_of(
    conversations: Iterable[Conversation | Prompt], count: PromptCount
) -> Iterator[Prompt]:
    """The distinct prompts of conversations, in their order."""
    seen: set[str] = set()
    for conversation in conversations:
        count.conversations += 1
        asked = up_to_the_user(conversation.messages)
        reference = conversation.reference if isinstance(conversation, Prompt) else None
        prompt = Prompt(conversation.id, asked, conversation.source, reference)
        if not asked:
            count.no_user += 1
            count.examples = [*count.examples, conversation.id][:5]
        elif prompt.digest in seen:
            count.duplicates += 1
        else:
            seen.add(prompt.digest)
            count.prompts += 1
            yield prompt


def up_to_the_user(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The messages with the user's last as the last; none if the user says nothing."""
    last = max((n for n, m in enumerate(messages) if m.role == "user"), default=-1)
    return tuple(messages[: last + 1])


def take(
    prompts: Iterable[Prompt], limit: int | None, seed: int, count: PromptCount
) -> list[Prompt]:
    """So many prompts, drawn by their digests and left in their order.

    A larger limit with the same seed draws the same ones and more.
    """
    if limit is None:
        return list(prompts)
    drawn = heapq.nsmallest(
        limit, enumerate(prompts), key=lambda each: draw(seed, "limit", each[1].digest)
    )
    count.over_limit = count.prompts - len(drawn)
    return [prompt for _, prompt in sorted(drawn, key=lambda each: each[0])]


def draw(seed: int, purpose: str, digest: str) -> int:
    """A number from 0 to 2**63 - 1 that belongs to a prompt and a purpose, and to nothing else."""
    text = f"{seed}/{purpose}/{digest}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
