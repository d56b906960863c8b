"""MADLAD-400's rules on sentences (Kudugunta et al. 2023, section 2 and appendix A).

1. The sentence is in another language than the document.
2. List case: most of its words start with a capital letter.
3. It is abnormally short or long.
4. Too many of its characters are technical: digits and ``{}+/()>``.
5. A "cursed" string or pattern is in it.

The annotator notes, for each rule, the numbers of the sentences that break it; the filter judges.
Sentences are `split_sentences`'s.
"""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from olmoflow.curate.operations.arguments import refuse, require_choice, require_file, require_share
from olmoflow.curate.operations.classifiers import classify, labels_of, require_model
from olmoflow.curate.operations.columns import Mask, objects_of, scores_of, text_of
from olmoflow.curate.operations.operation import Outcome
from olmoflow.curate.operations.patterns import matches, require_pattern
from olmoflow.curate.schema import field as field_of
from olmoflow.curate.schema import with_field
from olmoflow.curate.strings import array_of, strings_of
from olmoflow.curate.text.characters import Integers
from olmoflow.curate.text.lines import Lines
from olmoflow.curate.text.sentences import count_in_sentences, split_sentences

RULES = (1, 2, 3, 4, 5)
_ANNOTATOR = "madlad400_sentence_annotator"
_FILTER = "madlad400_rule_filter"
_TOO_SHORT = "killed:too_short"
_QUESTIONABLE, _GOOD = "killed:too_many_sus_sentences", "survived"
# The last lines of a file of cursed strings are regular expressions.
_PATTERNS = 4


@dataclass(frozen=True)
class Madlad400SentenceAnnotator:
    """Note which sentences of a text break which of MADLAD-400's rules.

    Notes ``KEY.num_sentences``, for each rule ``KEY.rule.N`` with the numbers of the sentences,
    from 0, and ``KEY_status``: ``killed:too_many_sus_sentences``, ``survived``, or
    ``killed:too_short``, where nothing else is noted.

    Args:
        fast_text_file: The language model of rule 1, see `FasttextAnnotator`.
        langid_field: The document's language, for rule 1: a field with the label, or the field
            above the scores of the labels, of which the highest counts.
        cursed_regex_file: Rule 5: a string a line, as it must stand in the text; the last four
            lines are regular expressions, see `RegexLineModifier`. May be ``.gz``.
        rules_to_include: Which rules to look at; none: all.
        sentence_lower_bound: A text of fewer sentences is too short.
        sentence_question_upper_bound: Highest share of sentences that break a rule in a good text.
        case_upper_bound: Rule 2: highest share of capitalised words.
        case_tok_lower_bound: Rule 2: it holds from this many words on.
        char_len_lower_bound: Rule 3: fewest bytes.
        char_len_upper_bound: Rule 3: most bytes.
        tech_lower_bound: Rule 4: more technical characters to a byte are too many.
        annotation_key: Where to note it.
        text_field: The text.
    """

    fast_text_file: str | None = None
    langid_field: str | None = None
    cursed_regex_file: str | None = None
    rules_to_include: list[int] = field(default_factory=list)
    sentence_lower_bound: int = 5
    sentence_question_upper_bound: float = 0.20
    case_upper_bound: float = 0.50
    case_tok_lower_bound: int = 12
    char_len_lower_bound: int = 20
    char_len_upper_bound: int = 500
    tech_lower_bound: float = 0.20
    annotation_key: str = "metadata.madlad"
    text_field: str = "text"

    def __post_init__(self) -> None:
        for rule in self.rules_to_include:
            require_choice(_ANNOTATOR, "rules_to_include", rule, RULES)
        if 1 in self._rules:
            if not self.langid_field:
                refuse(_ANNOTATOR, "langid_field", self.langid_field, "a field, for rule 1")
            if not self.fast_text_file:
                refuse(_ANNOTATOR, "fast_text_file", self.fast_text_file, "a model, for rule 1")
            require_model(_ANNOTATOR, "fast_text_file", self.fast_text_file)
        if 5 in self._rules:
            if not self.cursed_regex_file:
                refuse(_ANNOTATOR, "cursed_regex_file", None, "a file of strings, for rule 5")
            require_file(_ANNOTATOR, "cursed_regex_file", self.cursed_regex_file)
            _cursed(self.cursed_regex_file)

    @property
    def _rules(self) -> tuple[int, ...]:
        return tuple(sorted(set(self.rules_to_include))) or RULES

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        sentences = split_sentences(strings_of(text_of(documents, self.text_field)))
        numbers = np.diff(sentences.first)
        short = numbers < self.sentence_lower_bound
        broken = self._broken(documents, sentences)
        key = self.annotation_key
        noted = pa.array(numbers, mask=short)
        documents = with_field(documents, f"{key}.num_sentences", pa.chunked_array([noted]))
        for rule, mask in broken.items():
            column = pa.chunked_array([_numbers(mask, sentences.first, short)])
            documents = with_field(documents, f"{key}.rule.{rule}", column)
        status = self._status(numbers, broken, sentences.first)
        return Outcome(with_field(documents, f"{key}_status", pa.chunked_array([status])))

    def _broken(self, documents: pa.Table, sentences: Lines) -> dict[int, Mask]:
        """For each rule, [sentences] whether they break it."""
        strings = sentences.strings
        size = np.diff(strings.offsets)
        technical, words, capitalised = count_in_sentences(strings).T
        broken: dict[int, Mask] = {}
        if 1 in self._rules:
            broken[1] = self._foreign(documents, sentences)
        if 2 in self._rules:
            listed = _exceeds(capitalised, words, self.case_upper_bound)
            broken[2] = listed & (words >= self.case_tok_lower_bound)
        if 3 in self._rules:
            broken[3] = (size < self.char_len_lower_bound) | (size > self.char_len_upper_bound)
        if 4 in self._rules:
            broken[4] = _exceeds(technical, size, self.tech_lower_bound)
        if 5 in self._rules:
            broken[5] = matches(array_of(strings), _cursed(str(self.cursed_regex_file)))
        return broken

    def _foreign(self, documents: pa.Table, sentences: Lines) -> Mask:
        path = require_model(_ANNOTATOR, "fast_text_file", str(self.fast_text_file))
        column = pa.chunked_array([array_of(sentences.strings)])
        # As datamap-rs asks the model: without the newline that would say that a text ends.
        scores = classify(path, column, 1, 0.0, end="")
        names = np.array(labels_of(path), object)
        found = names[np.nan_to_num(scores, nan=-1.0).argmax(1)]
        languages = np.array(_languages(documents, str(self.langid_field)), object)
        expected = np.repeat(languages, np.diff(sentences.first))
        foreign: Mask = np.asarray(found != expected, np.bool_) | np.isnan(scores).all(1)
        return foreign

    def _status(self, numbers: Integers, broken: dict[int, Mask], first: Integers) -> pa.Array:
        any_rule = np.zeros(first[-1], np.bool_)
        for mask in broken.values():
            any_rule |= mask
        many = _exceeds(_sums(any_rule, first), numbers, self.sentence_question_upper_bound)
        status = np.where(many, _QUESTIONABLE, _GOOD)
        status = np.where(numbers < self.sentence_lower_bound, _TOO_SHORT, status)
        return pa.array(status.tolist(), pa.large_string())


def _exceeds(counts: Integers, of: Integers, share: float) -> Mask:
    """Whether counts are above a share, in single precision as datamap-rs multiplies."""
    exceeds: Mask = counts.astype(np.float32) > of.astype(np.float32) * np.float32(share)
    return exceeds


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


def _numbers(mask: Mask, first: Integers, short: Mask) -> pa.Array:
    """[texts] the numbers, within the text, of the marked sentences; null for short texts."""
    mask = mask & ~np.repeat(short, np.diff(first))
    places = np.flatnonzero(mask)
    texts = np.searchsorted(first, places, side="right") - 1
    offsets = np.concatenate([[0], np.cumsum(_sums(mask, first))])
    values = pa.array(places - first[texts], pa.int64())
    return pa.LargeListArray.from_arrays(
        pa.array(offsets, pa.int64()), values, mask=pa.array(short)
    )


@cache
def _cursed(path: str) -> str:
    """One pattern that matches where any line of a file does."""
    file = require_file(_ANNOTATOR, "cursed_regex_file", path)
    data = file.read_bytes()
    text = (gzip.decompress(data) if file.suffix == ".gz" else data).decode()
    lines = [line for line in text.splitlines() if line.strip()]
    strings, patterns = lines[:-_PATTERNS], lines[-_PATTERNS:]
    for pattern in patterns:
        require_pattern(_ANNOTATOR, "cursed_regex_file", pattern)
    parts = [*map(re.escape, strings), *(f"(?:{pattern})" for pattern in patterns)]
    joined = "|".join(parts) or r"[^\s\S]"
    require_pattern(_ANNOTATOR, "cursed_regex_file", joined)
    return joined


@dataclass(frozen=True)
class Madlad400RuleFilter:
    """Drop texts by what `Madlad400SentenceAnnotator` noted.

    Args:
        annotation_key: Where it noted the sentences.
        status_key: Where it noted the status.
        remove_too_short: Drop texts of too few sentences; else they stay, whatever the rules.
        rules_to_remove: Groups of rules. A text goes if, of one group, too many sentences break
            any of its rules.
        threshold: The share of the sentences that is too many.
    """

    annotation_key: str = "metadata.madlad"
    status_key: str = "metadata.madlad_status"
    remove_too_short: bool = False
    rules_to_remove: list[list[int]] = field(default_factory=list)
    threshold: float = 0.2

    def __post_init__(self) -> None:
        for group in self.rules_to_remove:
            for rule in group:
                require_choice(_FILTER, "rules_to_remove", rule, RULES)
        require_share(_FILTER, "threshold", self.threshold)

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        status = field_of(documents, self.status_key).to_pylist()
        keep = np.ones(len(documents), np.bool_)
        errors: dict[int, str] = {}
        noted = self._noted(documents) if self.rules_to_remove else []
        for row, value in enumerate(status):
            if value == _TOO_SHORT:
                keep[row] = not self.remove_too_short
            elif noted and (found := noted[row]) is None:
                errors[row] = f"{self.annotation_key}: rules {self.rules_to_remove} not noted"
            elif noted and found is not None:
                keep[row] = not self._bad(*found)
        return Outcome(documents, keep, errors)

    def _bad(self, number: int, rules: dict[int, list[int]]) -> bool:
        for group in self.rules_to_remove:
            broken = set().union(*(rules.get(rule, ()) for rule in group))
            if len(broken) >= number * self.threshold:
                return True
        return False

    def _noted(self, documents: pa.Table) -> list[tuple[int, dict[int, list[int]]] | None]:
        """[documents] how many sentences, and by rule which break it; None: it was not noted."""
        key = self.annotation_key
        if f"{key}.num_sentences" not in documents.column_names:
            return [_written(value) for value in objects_of(documents, key)]
        numbers = documents.column(f"{key}.num_sentences").to_pylist()
        wanted = sorted({rule for group in self.rules_to_remove for rule in group})
        columns = {rule: objects_of(documents, f"{key}.rule.{rule}") for rule in wanted}
        noted: list[tuple[int, dict[int, list[int]]] | None] = []
        for row, number in enumerate(numbers):
            rules = {rule: column[row] for rule, column in columns.items()}
            noted.append(None if number is None or None in rules.values() else (number, rules))
        return noted


def _written(value: Any) -> tuple[int, dict[int, list[int]]] | None:
    """What an annotator noted, ours or that of datamap-rs, as it stands in a file."""
    if not isinstance(value, dict) or "num_sentences" not in value:
        return None
    number = value["num_sentences"]
    found = value.get("rule") or {}
    rules = {rule: found.get(str(rule)) or value.get(f"rule.{rule}") or [] for rule in RULES}
    return number[0] if isinstance(number, list) else number, rules
