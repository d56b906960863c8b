"""MADLAD-400's rules on sentences (Kudugunta et al. 2023, section 2 and appendix A).

1. The sentence is in another language than the document.
2. List case: most of its tokens start with a capital letter.
3. It is abnormally short or long.
4. Too many of its characters are technical: digits and ``{}+/()>``.
5. A "cursed" pattern matches in it.

The annotator notes, for each rule, the numbers of the sentences that break it; the filter judges.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from olmoflow.curate.operations.arguments import refuse, require_choice, require_file, require_share
from olmoflow.curate.operations.classifiers import classify, labels_of, require_model
from olmoflow.curate.operations.columns import Mask, objects_of, scores_of, strings_in, text_of
from olmoflow.curate.operations.operation import Outcome
from olmoflow.curate.operations.patterns import matches, require_pattern
from olmoflow.curate.schema import field as field_of
from olmoflow.curate.schema import with_field
from olmoflow.curate.strings import array_of
from olmoflow.curate.text.characters import (
    UPPERCASE,
    WHITE,
    Bytes,
    Integers,
    Properties,
    decode,
    properties,
)
from olmoflow.curate.text.lines import Lines
from olmoflow.curate.text.sentences import split_sentences

RULES = (1, 2, 3, 4, 5)
_ANNOTATOR = "madlad400_sentence_annotator"
_FILTER = "madlad400_rule_filter"
# [128] which ASCII characters are technical.
_TECHNICAL = np.array([chr(byte) in "0123456789{}+/()>" for byte in range(128)])
_TOO_SHORT, _QUESTIONABLE, _GOOD = "too_short", "questionable", "good"


@njit(cache=True, nogil=True)
def _count(text: Bytes, offsets: Integers, table: Properties) -> Integers:
    """[sentences, 4] characters, technical ones, tokens (by white space), capitalised ones."""
    counts = np.zeros((len(offsets) - 1, 4), np.int64)
    for s in range(len(counts)):
        i, end = offsets[s], offsets[s + 1]
        characters = technical = tokens = capitalised = 0
        between = True
        while i < end:
            if text[i] < 0x80:
                point, size = int(text[i]), 1
                technical += _TECHNICAL[point]
            else:
                point, size = decode(text, i, end)
            flags = table[point]
            characters += 1
            white = flags & WHITE != 0
            if between and not white:
                tokens += 1
                capitalised += flags & UPPERCASE != 0
            between = white
            i += size
        counts[s, 0], counts[s, 1] = characters, technical
        counts[s, 2], counts[s, 3] = tokens, capitalised
    return counts


@dataclass(frozen=True)
class Madlad400SentenceAnnotator:
    """Note which sentences of a text break which of MADLAD-400's rules.

    Notes ``KEY.num_sentences``, for each rule ``KEY.rule.N`` with the numbers of the sentences,
    from 0, and a status: ``too_short``, ``questionable`` or ``good``.

    Args:
        fast_text_file: The language model of rule 1, see `FasttextAnnotator`.
        langid_field: The document's language, for rule 1: a field with the label, or the field
            above the scores of the labels, of which the highest counts.
        cursed_regex_file: The patterns of rule 5, one a line, in RE2's syntax; may be ``.gz``.
        rules_to_include: Which rules to look at.
        sentence_lower_bound: A text of fewer sentences is too short.
        sentence_question_upper_bound: Highest share of sentences that break a rule in a good text.
        case_upper_bound: Rule 2: highest share of capitalised tokens.
        case_tok_lower_bound: Rule 2: it holds from this many tokens on.
        char_len_lower_bound: Rule 3: fewest characters.
        char_len_upper_bound: Rule 3: most characters.
        tech_lower_bound: Rule 4: lowest share of technical characters that is too much.
        annotation_key: Where to note it.
        status_key: Where to note the status.
        text_field: The text.
    """

    fast_text_file: str | None = None
    langid_field: str | None = None
    cursed_regex_file: str | None = None
    rules_to_include: list[int] = field(default_factory=lambda: list(RULES))
    sentence_lower_bound: int = 5
    sentence_question_upper_bound: float = 0.20
    case_upper_bound: float = 0.50
    case_tok_lower_bound: int = 12
    char_len_lower_bound: int = 20
    char_len_upper_bound: int = 500
    tech_lower_bound: float = 0.20
    annotation_key: str = "metadata.madlad"
    status_key: str = "metadata.madlad_status"
    text_field: str = "text"

    def __post_init__(self) -> None:
        for rule in self.rules_to_include:
            require_choice(_ANNOTATOR, "rules_to_include", rule, RULES)
        if 1 in self.rules_to_include:
            if not self.langid_field:
                refuse(_ANNOTATOR, "langid_field", self.langid_field, "a field, for rule 1")
            if not self.fast_text_file:
                refuse(_ANNOTATOR, "fast_text_file", self.fast_text_file, "a model, for rule 1")
            require_model(_ANNOTATOR, "fast_text_file", self.fast_text_file)
        if 5 in self.rules_to_include:
            if not self.cursed_regex_file:
                refuse(_ANNOTATOR, "cursed_regex_file", None, "a file of patterns, for rule 5")
            require_file(_ANNOTATOR, "cursed_regex_file", self.cursed_regex_file)
            _cursed(self.cursed_regex_file)

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        sentences = split_sentences(strings_in(text_of(documents, self.text_field)))
        numbers = np.diff(sentences.first)
        broken = self._broken(documents, sentences)
        key = self.annotation_key
        documents = with_field(documents, f"{key}.num_sentences", pa.chunked_array([numbers]))
        for rule, mask in broken.items():
            column = pa.chunked_array([_numbers(mask, sentences.first)])
            documents = with_field(documents, f"{key}.rule.{rule}", column)
        status = self._status(numbers, broken, sentences.first)
        return Outcome(with_field(documents, self.status_key, pa.chunked_array([status])))

    def _broken(self, documents: pa.Table, sentences: Lines) -> dict[int, Mask]:
        """For each rule, [sentences] whether they break it."""
        strings = sentences.strings
        counts = _count(strings.data, strings.offsets, properties())
        characters, technical, tokens, capitalised = counts.T
        broken: dict[int, Mask] = {}
        if 1 in self.rules_to_include:
            broken[1] = self._foreign(documents, sentences)
        if 2 in self.rules_to_include:
            listed = capitalised > self.case_upper_bound * tokens
            broken[2] = listed & (tokens >= self.case_tok_lower_bound)
        if 3 in self.rules_to_include:
            broken[3] = (characters < self.char_len_lower_bound) | (
                characters > self.char_len_upper_bound
            )
        if 4 in self.rules_to_include:
            broken[4] = technical > self.tech_lower_bound * characters
        if 5 in self.rules_to_include:
            broken[5] = matches(array_of(strings), _cursed(str(self.cursed_regex_file)))
        return broken

    def _foreign(self, documents: pa.Table, sentences: Lines) -> Mask:
        path = require_model(_ANNOTATOR, "fast_text_file", str(self.fast_text_file))
        column = pa.chunked_array([array_of(sentences.strings)])
        scores = classify(path, column, 1, 0.0)
        names = np.array(labels_of(path), object)
        found = names[np.nan_to_num(scores, nan=-1.0).argmax(1)]
        languages = np.array(_languages(documents, str(self.langid_field)), object)
        expected = np.repeat(languages, np.diff(sentences.first))
        foreign: Mask = np.asarray(found != expected, np.bool_)
        return foreign

    def _status(self, numbers: Integers, broken: dict[int, Mask], first: Integers) -> pa.Array:
        any_rule = np.zeros(first[-1], np.bool_)
        for mask in broken.values():
            any_rule |= mask
        share = _sums(any_rule, first) / np.maximum(numbers, 1)
        status = np.where(share > self.sentence_question_upper_bound, _QUESTIONABLE, _GOOD)
        status = np.where(numbers < self.sentence_lower_bound, _TOO_SHORT, status)
        return pa.array(status.tolist(), pa.large_string())


def _languages(documents: pa.Table, name: str) -> list[Any]:
    """The label of each document's language."""
    values = field_of(documents, name)
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        return list(values.to_pylist())
    labels, scores = scores_of(documents, name)
    if not labels:
        return [None] * len(documents)
    best = np.nan_to_num(scores, nan=-1.0).argmax(1)
    return [labels[place] for place in best]


def _sums(mask: Mask, first: Integers) -> NDArray[np.int64]:
    """[texts] how many sentences of each are marked."""
    before = np.concatenate([[0], np.cumsum(mask)])
    sums: NDArray[np.int64] = before[first[1:]] - before[first[:-1]]
    return sums


def _numbers(mask: Mask, first: Integers) -> pa.Array:
    """[texts] the numbers, within the text, of the marked sentences."""
    places = np.flatnonzero(mask)
    texts = np.searchsorted(first, places, side="right") - 1
    offsets = np.concatenate([[0], np.cumsum(_sums(mask, first))])
    values = pa.array(places - first[texts], pa.int64())
    return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), values)


@cache
def _cursed(path: str) -> str:
    """One pattern that matches where any of a file's does."""
    file = require_file(_ANNOTATOR, "cursed_regex_file", path)
    data = file.read_bytes()
    text = (gzip.decompress(data) if file.suffix == ".gz" else data).decode()
    patterns = [line for line in text.splitlines() if line.strip()]
    for pattern in patterns:
        require_pattern(_ANNOTATOR, "cursed_regex_file", pattern)
    joined = "|".join(f"(?:{pattern})" for pattern in patterns) or r"[^\s\S]"
    require_pattern(_ANNOTATOR, "cursed_regex_file", joined)
    return joined


@dataclass(frozen=True)
class Madlad400RuleFilter:
    """Drop texts by what `Madlad400SentenceAnnotator` noted.

    Args:
        annotation_key: Where it noted the sentences.
        status_key: Where it noted the status.
        remove_too_short: Drop texts of too few sentences.
        rules_to_remove: Drop texts of which too many sentences break any of these rules.
        threshold: Highest share of such sentences in a text that stays.
    """

    annotation_key: str = "metadata.madlad"
    status_key: str = "metadata.madlad_status"
    remove_too_short: bool = False
    rules_to_remove: list[int] = field(default_factory=list)
    threshold: float = 0.2

    def __post_init__(self) -> None:
        for rule in self.rules_to_remove:
            require_choice(_FILTER, "rules_to_remove", rule, RULES)
        require_share(_FILTER, "threshold", self.threshold)

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        keep: Mask = np.ones(len(documents), np.bool_)
        errors: dict[int, str] = {}
        if self.remove_too_short:
            status = field_of(documents, self.status_key).to_pylist()
            keep &= np.array([value != _TOO_SHORT for value in status], np.bool_)
        if self.rules_to_remove:
            counts = objects_of(documents, f"{self.annotation_key}.num_sentences")
            names = [f"{self.annotation_key}.rule.{rule}" for rule in self.rules_to_remove]
            found = [objects_of(documents, name) for name in names]
            for row, number in enumerate(counts):
                rules = [column[row] for column in found]
                if number is None or any(rule is None for rule in rules):
                    errors[row] = f"{self.annotation_key}: rules {self.rules_to_remove} not noted"
                    continue
                broken = set().union(*rules)
                keep[row] &= len(broken) <= self.threshold * number
        return Outcome(documents, keep, errors)
