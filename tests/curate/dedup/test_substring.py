"""Substrings that stand in several places: equality with a plain search, one copy stays, UTF-8."""

import numpy as np
import pytest

from olmoflow.curate.dedup import SubstringDedup
from olmoflow.curate.dedup.substring import chunks_of
from olmoflow.errors import UserError


def greedy(spans, coverage):
    joined, covered = [], 0
    for start, end in spans:
        if joined and (covered + end - start) / (end - joined[-1][0]) >= coverage:
            joined[-1][1] = end
            covered += end - start
        else:
            joined.append([start, end])
            covered = end - start
    return joined


def spans_of(flags):
    changes = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    return changes.reshape(-1, 2).tolist()


def reference(texts, length, coverage):
    """Windows in a dictionary, coverage in arrays: what is left of each text."""
    first = {}
    datas = [text.encode() for text in texts]
    later = [np.zeros(len(data), bool) for data in datas]
    protected = [np.zeros(len(data), bool) for data in datas]
    counts = {}
    for data in datas:
        for i in range(len(data) - length + 1):
            counts[data[i : i + length]] = counts.get(data[i : i + length], 0) + 1
    for document, data in enumerate(datas):
        for i in range(len(data) - length + 1):
            window = data[i : i + length]
            if counts[window] > 1:
                new = window not in first
                first.setdefault(window, document)
                (protected if new else later)[document][i : i + length] = True
    left = []
    for data, marked, kept in zip(datas, later, protected, strict=True):
        spans = spans_of(marked)
        backward = [[-end, -start] for start, end in reversed(spans)]
        gone = np.zeros(len(data), bool)
        for start, end in greedy(spans, coverage):
            gone[start:end] = True
        for start, end in greedy(backward, coverage):
            gone[-end : len(data) if start == 0 else -start] = True
        gone &= ~kept
        for start, end in spans_of(gone):
            while start < end and data[start] & 0xC0 == 0x80:
                gone[start] = False
                start += 1
            while end > start and end < len(data) and data[end] & 0xC0 == 0x80:
                end -= 1
                gone[end] = False
        left.append(bytes(byte for byte, g in zip(data, gone, strict=True) if not g).decode())
    return left


def spliced(seed, documents=25):
    """Texts made of a few phrases, in part of characters of several bytes, with noise between."""
    random = np.random.default_rng(seed)
    letters = list("ab é漢😀")
    phrases = ["".join(random.choice(letters, 14)) for _ in range(5)]
    texts = []
    for _ in range(documents):
        parts = []
        for _ in range(random.integers(0, 6)):
            parts.append(phrases[random.integers(5)][random.integers(3) :])
            parts.append("".join(random.choice(letters, random.integers(0, 8))))
        texts.append("".join(parts))
    return texts


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("length", "coverage"), [(8, 0.8), (12, 0.5), (5, 1.0)])
def test_equals_a_plain_search(corpus, seed, length, coverage):
    texts = spliced(seed)
    decided = corpus.decide(SubstringDedup(length=length, coverage=coverage), texts, cuts=(9, 9))
    expected = reference(texts, length, coverage)
    assert decided.column("text").to_pylist() == expected
    decided.column("text").combine_chunks().validate(full=True)
    empty = [not new.strip() and new != old for new, old in zip(expected, texts, strict=True)]
    assert decided.column("keep").to_pylist() == [not one for one in empty]
    assert sum(map(len, expected)) < sum(map(len, texts))


def test_every_repeated_string_stays_once(corpus):
    texts = spliced(9, documents=60)
    left = corpus.decide(SubstringDedup(length=8, coverage=0.5), texts).column("text").to_pylist()
    windows = {text.encode()[i : i + 8] for text in texts for i in range(len(text.encode()) - 7)}
    there = {text.encode()[i : i + 8] for text in left for i in range(len(text.encode()) - 7)}
    counts = dict.fromkeys(windows, 0)
    for text in texts:
        for i in range(len(text.encode()) - 7):
            counts[text.encode()[i : i + 8]] += 1
    repeated = {window for window in windows if counts[window] > 1}
    # A character that a span would cut stays, so what is valid UTF-8 is found again.
    whole = {window for window in repeated if window.decode(errors="ignore").encode() == window}
    assert whole <= there


def test_planted_paragraph_of_500_bytes(corpus):
    random = np.random.default_rng(0)

    def noise(number):
        return "".join(random.choice(list("abcdefghij "), number))

    paragraph, shorter = "é" * 3 + noise(510), noise(499)
    before = noise(40)
    texts = [
        before + paragraph + noise(30),
        "<" + paragraph + ">",
        "x" + shorter + "y",
        "z" + shorter + "w",
        paragraph,
    ]
    stage = SubstringDedup(annotate="metadata.repeated")
    decided = corpus.decide(stage, texts)
    assert decided.column("text").to_pylist() == [texts[0], "<>", texts[2], texts[3], ""]
    assert decided.column("keep").to_pylist() == [True, True, True, True, False]
    size = len(paragraph.encode())
    spans = [[], [[1, 1 + size]], [], [], [[0, size]]]
    assert decided.column("metadata.repeated").to_pylist() == spans
    assert stage.figures["removed_bytes"] == 2 * size
    assert stage.figures["changed"] == 2
    assert stage.figures["dropped"] == 1
    only = SubstringDedup(annotate="metadata.repeated", remove=False)
    decided = corpus.decide(only, texts)
    assert "text" not in decided.column_names
    assert all(decided.column("keep").to_pylist())


def test_chunks_are_independent_and_follow_no_shard(corpus):
    texts = spliced(1, documents=80)
    size = sum(len(text.encode()) for text in texts)
    stage = SubstringDedup(length=8, chunk_bytes=(chunk := -(-size // 3)), memory=11 * chunk)
    tables = [corpus.decide(stage, texts, cuts, group) for cuts, group in [((), 99), ((3, 40), 5)]]
    assert tables[0].equals(corpus.decide(SubstringDedup(length=8, chunk_bytes=chunk), texts))
    assert stage.figures["chunks"] == 3
    assert tables[0].equals(tables[1])
    chosen = chunks_of(np.arange(len(texts)), 3, stage.seed)
    expected = [""] * len(texts)
    for chunk in range(3):
        members = np.flatnonzero(chosen == chunk)
        for place, text in zip(
            members, reference([texts[i] for i in members], 8, 0.8), strict=True
        ):
            expected[place] = text
    assert tables[0].column("text").to_pylist() == expected


def test_texts_that_are_empty_or_blank_from_the_start_stay(corpus):
    decided = corpus.decide(SubstringDedup(length=3), ["", "  ", "abcabc", ""])
    assert decided.column("keep").to_pylist() == [True] * 4
    assert decided.column("text").to_pylist() == ["", "  ", "abc", ""]
    assert len(corpus.decide(SubstringDedup(), [], cuts=(0,))) == 0


def test_memory_for_less_than_a_chunk_is_refused():
    with pytest.raises(UserError, match=r"memory=1,000: .* chunk_bytes=100 takes 1,100; expected"):
        SubstringDedup(chunk_bytes=100, memory=1000)
