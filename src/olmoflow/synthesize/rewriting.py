"""Passages written anew by a model: what it is asked, and which of its answers become documents.

Rewriting is where Olmo 3's midtraining data has much of its mathematics and code from: CraneMath
and MegaMatt were web pages, CraneCode Python files, Wiki-to-RCQA passages of Wikipedia, which a
model wrote anew (Olmo 3 report, section 3.5.2).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olmoflow.documents import fault
from olmoflow.errors import UserError
from olmoflow.inference.chat import Failure, Reply, Unaskable
from olmoflow.synthesize.instruction import INSTRUCTIONS, Instruction
from olmoflow.synthesize.passages import Passage
from olmoflow.synthesize.prompt import Prompt
from olmoflow.synthesize.recipe import Ask, Removed
from olmoflow.tokens.chat.conversation import Message
from olmoflow.tokens.chat.forging import forgery
from olmoflow.verifiers.extraction import without_thinking

WRITER = "writer"
STEPS = ("answers", "rewrites")
REWRITING = INSTRUCTIONS / "rewriting"
BLANKS = [{"passage"}, {"passage", "source"}]

# Words of a run that counts as taken over.
_RUN = 8
# A script without spaces: each character is a word.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W_]+")
# Around the whole of an answer; code that is shown within a text stays as it is shown.
_FENCE = re.compile(r"```[^\n`]*\n((?:(?!```).)*)\n```", re.S)
_BEGINNING = 300
_SORRY = re.compile(
    r"\W*(?:(?:i am|i'm|we are|we're)?\s*(?:very |really |so )?sorry\b|(?:i|we) apologi[sz]e"
    r"|my apologies|unfortunately|as an? (?:ai|(?:large )?language model|assistant)\b)",
    re.I,
)
_CANNOT = re.compile(
    r"\b(?:i|we)(?:'m| am|'re| are)? (?:cannot|can't|can not|could not|couldn't|won't|will not"
    r"|unable|not able|not allowed|must decline|have to decline)\b",
    re.I,
)


@dataclass(frozen=True)
class Rewriting:
    """Asks for passages anew and judges what comes.

    Args:
        instruction: What the model is told, with a blank for the passage.
        passage_first: The passage stands in the document before what was written of it.
        keep_unfinished: An answer that was cut at its limit may stay.
        min_share: Characters of an answer for each of the passage's, at least.
        max_overlap: Share of an answer's runs of eight words that stand in the passage, at most.
        special_tokens: Whose text no answer may hold, unless the passage does.

    Raises:
        UserError: A setting has no meaning.
    """

    instruction: Instruction
    passage_first: bool = False
    keep_unfinished: bool = False
    min_share: float = 0.1
    max_overlap: float = 0.8
    special_tokens: Sequence[str] = ()

    def __post_init__(self) -> None:
        for key, most in (("min_share", float("inf")), ("max_overlap", 1.0)):
            value = getattr(self, key)
            if type(value) not in (int, float) or not 0 <= value <= most:
                expected = "a share, 0 to 1" if most == 1 else "a number, 0 or more"
                raise UserError(f"pipeline.{key}={value}: expected {expected}")
        for key in ("passage_first", "keep_unfinished"):
            if type(value := getattr(self, key)) is not bool:
                raise UserError(f"pipeline.{key}={value}: expected true or false")

    @property
    def name(self) -> str:
        """Of the instruction, as documents have it."""
        return Path(self.instruction.name).stem

    def ask(self, passage: Passage) -> Ask:
        """What the model is asked."""
        values = {"passage": passage.text, "source": passage.document.source}
        return Ask(WRITER, self.instruction.fill(**values))

    def end(self, passage: Passage, reply: Reply, model: str) -> dict[str, Any] | Removed:
        """The document that an answer becomes, or why it becomes none.

        Args:
            passage: That was asked.
            reply: To it.
            model: Who answered.
        """
        if isinstance(reply, Failure):
            return self._unanswered(passage, reply)
        text = written(reply.text)
        reason = self._fault(passage, text, cut=reply.finish_reason == "length")
        if reason:
            return Removed(_shown(passage), "rewrites", reason, text or reply.text)
        return self._document(passage, text, model)

    def _unanswered(self, passage: Passage, failure: Failure) -> Removed:
        if isinstance(failure, Unaskable):
            return Removed(_shown(passage), "answers", failure.reason, passage.text)
        return Removed(_shown(passage), "answers", f"no answer from {WRITER}", failure.reason)

    def _fault(self, passage: Passage, text: str, *, cut: bool) -> str | None:
        """The first thing that is wrong with an answer."""
        if cut and not self.keep_unfinished:
            return "the answer was cut at its limit"
        if not text:
            return "the answer is empty"
        if wrong := fault(text):
            return wrong
        slips = [token for token in self.special_tokens if token not in passage.text]
        if slip := forgery(Message("assistant", text), slips):
            return f"the answer {slip}"
        if refuses(text):
            return "the writer refuses"
        if len(text) < self.min_share * len(passage.text):
            return f"shorter than {self.min_share:g} of the passage"
        if overlap(text, passage.text) > self.max_overlap:
            return f"more than {self.max_overlap:g} of it is the passage"
        return None

    def _document(self, passage: Passage, text: str, model: str) -> dict[str, Any]:
        of = passage.document
        kept = {"path": of.path, "url": of.url, "license": of.license}
        return {
            "id": f"{of.id}/{self.name}/{passage.number}",
            "text": f"{passage.text}\n\n{text}" if self.passage_first else text,
            "source": of.source,
            **{name: value for name, value in kept.items() if value},
            "metadata": {
                "document": of.id,
                "passage": passage.number,
                "passages": passage.count,
                "instruction": self.name,
                "model": model,
            },
        }


def written(said: str) -> str:
    """What is meant for the document: without thinking, and without a fence around all of it."""
    text = without_thinking(said).encode(errors="replace").decode()
    whole = _FENCE.fullmatch(text)
    return whole[1] if whole else text


def refuses(text: str) -> bool:
    """Whether an answer begins by saying that it will not be one; in English.

    Passages about people who are sorry are none: what is looked for is an apology together with
    what the speaker cannot do, or the latter as the first words.
    """
    beginning = text[:_BEGINNING].replace("’", "'")
    if found := _CANNOT.search(beginning):
        return _SORRY.match(beginning) is not None or not beginning[: found.start()].strip(" \"'*")
    return False


def overlap(text: str, passage: str) -> float:
    """The share of a text's runs of eight words that stand in a passage, from 0 to 1.

    Of a text with fewer words the run is the text.
    """
    words = _words(text)
    size = min(_RUN, len(words))
    if not size:
        return 0.0
    theirs = set(_runs(_words(passage), size))
    ours = _runs(words, size)
    return sum(run in theirs for run in ours) / len(ours)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _runs(words: list[str], size: int) -> list[tuple[str, ...]]:
    return list(zip(*(words[start:] for start in range(size)), strict=False))


def _shown(passage: Passage) -> Prompt:
    """A passage as a report counts and shows it."""
    at = f"{passage.document.id}#{passage.number}"
    return Prompt(at, (Message("user", passage.text),), passage.document.source)
