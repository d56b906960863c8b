"""Which evaluation questions a prompt repeats: the rule of Olmo 3's post-training data, compiled by
NumPy's sorting.

A question's words are covered where they belong to an n-gram that stands in the prompt as well. The
overlap is the share of its words that are covered (Olmo 3, section 4.2.1: 8-grams, 0.5 and more).
Two kinds of n-gram say nothing and count neither way: those of a task's own wording, which many
questions of a set share, and in sets of mathematics those made mostly of single characters,
``x + y = 1``, which stand in any two equations.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from olmoflow.curate.decontaminate.references import Reference
from olmoflow.curate.decontaminate.settings import PUNCTUATION
from olmoflow.curate.decontaminate.words import hash_words, split_words
from olmoflow.curate.strings import strings_of

Integers = NDArray[np.int64]
Hashes = NDArray[np.uint64]

_FACTOR = np.uint64(0x9E3779B97F4A7C15)


class Question(NamedTuple):
    """A question of an evaluation; ``key`` is its set and split."""

    key: str
    instance: int
    text: str


@dataclass(frozen=True)
class Rule:
    """What an n-gram is, and which of them count.

    Attributes:
        ngram_size: Words of an n-gram.
        generic_questions: An n-gram that more questions of its set have is the task's wording.
        math_sets: Parts of the names of sets in which n-grams of mostly single characters do not
            count.
    """

    ngram_size: int
    generic_questions: int
    math_sets: tuple[str, ...]


@dataclass(frozen=True)
class OverlapIndex:
    """The n-grams of questions, sorted by their hashes.

    Attributes:
        rule: By which it was made.
        questions: Those that have an n-gram that counts.
        hashes: [n], of n-grams; the same one for each place where it stands.
        owners: [n], the number of the question.
        places: [n], the n-gram's first word in it.
        words: [questions], how many of its words belong to an n-gram that counts.
        left_out: Questions that cannot be found, by why.
    """

    rule: Rule
    questions: list[Question]
    hashes: Hashes
    owners: Integers
    places: Integers
    words: Integers
    left_out: dict[str, int]


class Match(NamedTuple):
    """A text and the question that it repeats most of."""

    row: int
    question: Question
    overlap: float


def questions_of(references: Iterable[Reference]) -> list[Question]:
    """Each question once: a reference set has an entry for each of its choices."""
    seen: dict[tuple[str, str], Question] = {}
    for one in references:
        question = Question(one.key, one.instance, one.question)
        seen.setdefault((one.dataset, one.question), question)
    return list(seen.values())


def build(questions: Sequence[Question], rule: Rule) -> OverlapIndex:
    """The index of the questions."""
    texts = pa.array([q.text for q in questions], pa.large_string())
    words, offsets = hash_words(strings_of(texts), PUNCTUATION)
    hashes, owners, places = _ngrams(words, offsets, rule.ngram_size)
    counts = ~_generic(questions, hashes, owners, rule.generic_questions)
    counts &= ~_symbolic(questions, owners, places, rule)
    hashes, owners, places = hashes[counts], owners[counts], places[counts]
    covered = _covered(owners, places, rule.ngram_size, len(questions))
    order = np.argsort(hashes, kind="stable")
    long = np.diff(offsets) >= rule.ngram_size
    left_out = Counter(
        {
            "shorter than an n-gram": int(np.count_nonzero(~long)),
            "no n-gram of its own": int(np.count_nonzero(long & (covered == 0))),
        }
    )
    return OverlapIndex(
        rule, list(questions), hashes[order], owners[order], places[order], covered, dict(left_out)
    )


def matches(index: OverlapIndex, texts: Sequence[str], threshold: float) -> list[Match]:
    """The texts that repeat a question, each with the one that it repeats most of.

    Args:
        index: Of the questions.
        texts: Prompts.
        threshold: The least overlap that is one.
    """
    words, offsets = hash_words(strings_of(pa.array(texts, pa.large_string())), PUNCTUATION)
    hashes, rows, _ = _ngrams(words, offsets, index.rule.ngram_size)
    first = np.searchsorted(index.hashes, hashes, "left")
    counts = np.searchsorted(index.hashes, hashes, "right") - first
    found = np.repeat(first - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
    number = len(index.questions)
    pairs = np.repeat(rows, counts) * number + index.owners[found]
    both, places = _unique_pairs(pairs, index.places[found])
    kinds, numbers = np.unique(both, return_inverse=True)
    covered = _covered(numbers, places, index.rule.ngram_size, len(kinds))
    overlaps = covered / index.words[kinds % number] if len(kinds) else np.empty(0)
    best: dict[int, Match] = {}
    for kind in np.flatnonzero(overlaps >= threshold).tolist():
        row, question = divmod(int(kinds[kind]), number)
        if row not in best or overlaps[kind] > best[row].overlap:
            best[row] = Match(row, index.questions[question], float(overlaps[kind]))
    return list(best.values())


def _ngrams(words: Hashes, offsets: Integers, size: int) -> tuple[Hashes, Integers, Integers]:
    """All n-grams of texts: hash, text, and the place of the first word within the text."""
    number = max(0, len(words) - size + 1)
    hashes = np.zeros(number, np.uint64)
    for k in range(size):
        hashes = hashes * _FACTOR + words[k : k + number]
    texts = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))[:number]
    starts = np.arange(number)
    inside = starts + size <= offsets[1:][texts]
    return hashes[inside], texts[inside], (starts - offsets[:-1][texts])[inside]


def _unique_pairs(pairs: Integers, places: Integers) -> tuple[Integers, Integers]:
    """Each pair with each of its places once, sorted."""
    order = np.lexsort((places, pairs))
    pairs, places = pairs[order], places[order]
    new = np.ones(len(pairs), np.bool_)
    new[1:] = (pairs[1:] != pairs[:-1]) | (places[1:] != places[:-1])
    return pairs[new], places[new]


def _covered(owners: Integers, places: Integers, size: int, number: int) -> Integers:
    """[number], how many words the n-grams at these places cover; sorted by owner, then place."""
    if not len(owners):
        return np.zeros(number, np.int64)
    gaps = np.full(len(owners), size)
    same = owners[1:] == owners[:-1]
    gaps[:-1][same] = np.minimum(size, np.diff(places)[same])
    return np.bincount(owners, gaps, number).astype(np.int64)


def _generic(
    questions: Sequence[Question], hashes: Hashes, owners: Integers, most: int
) -> NDArray[np.bool_]:
    """[n-grams], which of them more than ``most`` questions of their set have."""
    keys = {key: place for place, key in enumerate(dict.fromkeys(q.key for q in questions))}
    sets = np.array([keys[q.key] for q in questions], np.int64)[owners]
    order = np.lexsort((owners, hashes, sets))
    new = np.ones(len(order), np.bool_)
    group = (sets[order][1:] != sets[order][:-1]) | (hashes[order][1:] != hashes[order][:-1])
    new[1:] = group | (owners[order][1:] != owners[order][:-1])
    groups = np.concatenate([[0], np.cumsum(group)])[: len(order)]
    asked = np.bincount(groups, new)
    generic = np.zeros(len(order), np.bool_)
    generic[order] = asked[groups] > most
    return generic


def _symbolic(
    questions: Sequence[Question], owners: Integers, places: Integers, rule: Rule
) -> NDArray[np.bool_]:
    """[n-grams], which of them are of mathematics and more than half single characters."""
    symbolic = np.zeros(len(owners), np.bool_)
    edges = np.searchsorted(owners, np.arange(len(questions) + 1))
    for number, question in enumerate(questions):
        if not any(part in question.key for part in rule.math_sets):
            continue
        single = [len(word) == 1 for word in split_words(question.text, PUNCTUATION)]
        sums = np.concatenate([[0], np.cumsum(single)])
        mine = slice(edges[number], edges[number + 1])
        count = sums[places[mine] + rule.ngram_size] - sums[places[mine]]
        symbolic[mine] = 2 * count > rule.ngram_size
    return symbolic
