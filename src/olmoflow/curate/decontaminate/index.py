"""The index of reference sets: which questions have an n-gram, and what each n-gram is worth.

Questions are an inverted index over n-grams, answers and passages a sorted list of n-grams each. An
n-gram counts by its inverse document frequency, ln(N / df), over the N entries of the index.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from olmoflow.curate.decontaminate.kernels import fill_table, hash_ngrams
from olmoflow.curate.decontaminate.references import Reference
from olmoflow.curate.decontaminate.settings import Settings
from olmoflow.curate.decontaminate.tokenizer import Tokenizer, Words, open_tokenizer
from olmoflow.curate.decontaminate.words import Hashes, Integers
from olmoflow.curate.strings import strings_of
from olmoflow.errors import UserError

Floats = NDArray[np.float64]

_CHUNK = 20_000  # entries that are cut into tokens at a time
_LEAST_HOT = 2000


class Questions(NamedTuple):
    """The inverted index of questions, as the compiled loops read it.

    Attributes:
        keys: [2**k], hashes of n-grams; 0: empty.
        values: [2**k], number of the n-gram.
        starts: [n-grams + 1], where an n-gram's entries start in ``entries``.
        entries: Numbers of entries, rising for each n-gram.
        idf: [n-grams].
        hot: [n-grams], whether it is in too many entries to start a search.
        ngrams: [entries], how many different n-grams a question has.
        tokens: [entries], its length.
        total: [entries], sum of its idf.
    """

    keys: Hashes
    values: NDArray[np.int32]
    starts: Integers
    entries: NDArray[np.int32]
    idf: Floats
    hot: NDArray[np.bool_]
    ngrams: NDArray[np.int32]
    tokens: NDArray[np.int32]
    total: Floats


class Parts(NamedTuple):
    """Answers or passages.

    Attributes:
        starts: [entries + 1], where the n-grams of a part start.
        hashes: Its different n-grams, rising.
        idf: As many.
        total: [entries], sum of its idf.
        token_starts: [entries + 1], where its tokens start.
        tokens: In order.
        different: [entries], how many different tokens.
    """

    starts: Integers
    hashes: Hashes
    idf: Floats
    total: Floats
    token_starts: Integers
    tokens: Hashes
    different: NDArray[np.int32]


@dataclass(frozen=True)
class Index:
    """What `detect` looks documents up in.

    Attributes:
        settings: With which it was made.
        tokenizer: With which it was made.
        references: The entries, by number.
        questions: Inverted index.
        answers: By entry; empty where there is none, or answers do not count.
        passages: By entry, likewise.
        skipped: How many entries were left out, by why.
    """

    settings: Settings
    tokenizer: Tokenizer
    references: list[Reference]
    questions: Questions
    answers: Parts
    passages: Parts
    skipped: dict[str, int]


@dataclass
class _Texts:
    """Tokens of one field of many entries, as they come in."""

    tokens: list[Hashes]
    lengths: list[Integers]

    def joined(self) -> tuple[Hashes, Integers]:
        offsets = np.concatenate([[0], np.cumsum(np.concatenate(self.lengths), dtype=np.int64)])
        return np.concatenate(self.tokens), offsets


def build_index(references: Iterable[Reference], settings: Settings, tokenizer: str) -> Index:
    """Index reference sets; all of them are held in memory.

    Args:
        references: Entries.
        settings: Of decontamination.
        tokenizer: ``words`` or the path of a ``tokenizer.json``.

    Raises:
        UserError: No entry is left to look for.
    """
    cut = open_tokenizer(tokenizer, settings.punctuation_chars)
    words = Words(settings.punctuation_chars)
    kept: list[Reference] = []
    fields = [_Texts([], []) for _ in range(3)]
    seen: set[tuple[str, str]] = set()
    skipped = dict.fromkeys(("short", "few words", "duplicate", "no question"), 0)
    stream = iter(references)
    while chunk := list(islice(stream, _CHUNK)):
        encoded = [_encode(cut, chunk, name, settings) for name in _FIELDS]
        lengths = np.sum([np.diff(offsets) for _, offsets in encoded], axis=0)
        spoken = encoded
        if not isinstance(cut, Words):
            spoken = [_encode(words, chunk, name, settings) for name in _FIELDS]
        keep = np.zeros(len(chunk), bool)
        for row, reference in enumerate(chunk):
            why = _fault(reference, row, int(lengths[row]), spoken, encoded[0], settings, seen)
            keep[row] = not why
            if why:
                skipped[why] += 1
            else:
                kept.append(reference)
        for field, (tokens, offsets) in zip(fields, encoded, strict=True):
            field.tokens.append(tokens[np.repeat(keep, np.diff(offsets))])
            field.lengths.append(np.diff(offsets)[keep])
    if not kept:
        raise UserError(f"references: no entry to look for; left out were {skipped}")
    questions, answers, passages = (field.joined() for field in fields)
    return Index(
        settings,
        cut,
        kept,
        _questions(*questions, settings.ngram_size),
        _parts(*answers, settings.answer_ngram_size),
        _parts(*passages, settings.passage_ngram_size),
        skipped,
    )


_FIELDS = ("question", "answer", "passage")


def _encode(
    tokenizer: Tokenizer, chunk: list[Reference], name: str, settings: Settings
) -> tuple[Hashes, Integers]:
    """The tokens of a field; none where it does not count."""
    counts = {"answer": settings.index_answers, "passage": settings.index_passages}.get(name, True)
    texts = [getattr(one, name) if counts else "" for one in chunk]
    valid = [text.encode(errors="replace").decode() for text in texts]
    return tokenizer.encode(strings_of(pa.array(valid, pa.large_string())))


def _fault(
    reference: Reference,
    row: int,
    length: int,
    words: list[tuple[Hashes, Integers]],
    question: tuple[Hashes, Integers],
    settings: Settings,
    seen: set[tuple[str, str]],
) -> str:
    """Why an entry is left out, or nothing."""
    if length < settings.eval_min_token_length:
        return "short"
    different: set[int] = set()
    for tokens, offsets in words:
        if len(different) < settings.eval_min_unique_word_count:
            different.update(tokens[offsets[row] : offsets[row + 1]].tolist())
    if len(different) < settings.eval_min_unique_word_count:
        return "few words"
    key = (reference.key, reference.fingerprint)
    if settings.eval_dedup and reference.fingerprint:
        if key in seen:
            return "duplicate"
        seen.add(key)
    return "no question" if question[1][row] == question[1][row + 1] else ""


def _questions(tokens: Hashes, offsets: Integers, size: int) -> Questions:
    number = len(offsets) - 1
    hashes, owners = hash_ngrams(tokens, offsets, size)
    # Stable, and owners rise: so they rise for each hash as well.
    order = np.argsort(hashes, kind="stable")
    hashes, owners = hashes[order], owners[order]
    first = np.ones(len(hashes), bool)
    first[1:] = (hashes[1:] != hashes[:-1]) | (owners[1:] != owners[:-1])
    hashes, owners = hashes[first], owners[first]
    new = np.ones(len(hashes), bool)
    new[1:] = hashes[1:] != hashes[:-1]
    starts = np.append(np.flatnonzero(new), len(hashes)).astype(np.int64)
    frequency = np.diff(starts)
    idf = np.log(number / frequency)
    hot = frequency > max(_LEAST_HOT, 2 * math.isqrt(number))
    slots = 1 << max(4, (2 * len(frequency)).bit_length())
    keys, values = np.zeros(slots, np.uint64), np.zeros(slots, np.int32)
    fill_table(hashes[new], keys, values)
    return Questions(
        keys,
        values,
        starts,
        owners.astype(np.int32),
        idf,
        hot,
        np.bincount(owners, minlength=number).astype(np.int32),
        np.diff(offsets).astype(np.int32),
        np.bincount(owners, np.repeat(idf, frequency), minlength=number).astype(np.float64),
    )


def _parts(tokens: Hashes, offsets: Integers, size: int) -> Parts:
    number = len(offsets) - 1
    hashes, owners, _ = _different(*hash_ngrams(tokens, offsets, size))
    _, which, frequency = np.unique(hashes, return_inverse=True, return_counts=True)
    idf = np.log(number / frequency)[which] if len(hashes) else np.empty(0)
    _, _, different = _different(tokens, np.repeat(np.arange(number), np.diff(offsets)), number)
    return Parts(
        np.searchsorted(owners, np.arange(number + 1)).astype(np.int64),
        hashes,
        idf,
        np.bincount(owners, idf, minlength=number).astype(np.float64),
        offsets,
        tokens,
        different.astype(np.int32),
    )


def _different(
    hashes: Hashes, owners: Integers, number: int = 0
) -> tuple[Hashes, Integers, Integers]:
    """Each hash of each owner once, sorted by owner and hash; and how many each owner has."""
    order = np.lexsort((hashes, owners))
    hashes, owners = hashes[order], owners[order]
    first = np.ones(len(hashes), bool)
    first[1:] = (hashes[1:] != hashes[:-1]) | (owners[1:] != owners[:-1])
    owners = owners[first]
    return hashes[first], owners, np.bincount(owners, minlength=number)
