"""Gopher's shares are what plain Python counts; periods are found exactly."""

import random
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
import regex

from olmoflow.curate.strings import strings_of
from olmoflow.curate.text import repetition
from olmoflow.curate.text.repetition import GOPHER_LIMITS, SHARES, gopher_shares, has_period

BOUNDARY = regex.compile(r"\b", flags=regex.V1 | regex.WORD)


def seen_before(elements):
    repeated = [e for i, e in enumerate(elements) if e in elements[:i]]
    size = sum(map(len, elements))
    return [len(repeated) / max(len(elements), 1), sum(map(len, repeated)) / max(size, 1)]


def reference(text):
    words = [w for w in BOUNDARY.split(text) if regex.search(r"[\p{Alphabetic}\p{N}]", w)]
    total = max(sum(map(len, words)), 1)
    shares = seen_before([line for line in text.split("\n") if line.strip()])
    paragraphs = [p.strip("\n") for p in text.split("\n\n") if p.strip()]
    shares += seen_before(paragraphs)
    for n in range(2, 11):
        grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
        counts = Counter(grams)
        if n < 5:
            most = max(counts.values(), default=0)
            top = [len("".join(g)) for g, count in counts.items() if count == most]
            shares.append(most * max(top) / total if most > 1 else 0.0)
        else:
            covered = {i + k for i, g in enumerate(grams) if counts[g] > 1 for k in range(n)}
            shares.append(sum(len(words[i]) for i in covered) / total)
    return shares


def texts_of(seed):
    """Texts of few words and few lines, so that all kinds of repetition happen."""
    choose = random.Random(seed)
    vocabulary = ["a", "the", "wörd", "it's", "3.14", "日", "long-winded", "x"]
    for _ in range(60):
        lines = []
        for _ in range(choose.randrange(12)):
            if lines and choose.random() < 0.4:
                lines.append(choose.choice(lines))
            else:
                lines.append(" ".join(choose.choices(vocabulary, k=choose.randrange(9))))
        yield choose.choice(["\n", "\n\n"]).join(lines)


@pytest.mark.parametrize("seed", range(4))
def test_shares_are_those_of_plain_python(seed):
    texts = list(texts_of(seed))
    shares = gopher_shares(strings_of(pa.array(texts, pa.large_string())))
    assert shares.shape == (len(texts), len(SHARES)) == (len(texts), len(GOPHER_LIMITS))
    np.testing.assert_allclose(shares, [reference(text) for text in texts])


def test_the_limits_are_those_of_gopher():
    expected = [0.3, 0.2, 0.3, 0.2, 0.20, 0.18, 0.16, 0.15, 0.14, 0.13, 0.12, 0.11, 0.10]
    assert GOPHER_LIMITS.tolist() == expected


def test_a_long_text_is_measured_like_a_short_one(monkeypatch):
    texts = list(texts_of(9))
    monkeypatch.setattr(repetition, "_LONG", 1)
    shares = gopher_shares(strings_of(pa.array(texts, pa.large_string())))
    np.testing.assert_allclose(shares, [reference(text) for text in texts])


def test_looking_stops_at_the_first_limit_that_is_passed():
    shares = gopher_shares(strings_of(pa.array(["a\na\nb c d e f g"])), GOPHER_LIMITS)
    assert shares[0, 0] == pytest.approx(1 / 3)
    assert not shares[0, 4:].any()


def periodic(tokens, shortest, longest, times, aligned):
    for period in range(shortest, longest + 1):
        for start in range(0, len(tokens) - period * times + 1, period if aligned else 1):
            if tokens[start : start + period * times] == tokens[start : start + period] * times:
                return True
    return False


@pytest.mark.parametrize("aligned", [False, True])
def test_periods_are_found_as_in_plain_python(aligned):
    choose = random.Random(0)
    texts = [choose.choices(range(2), k=choose.randrange(40)) for _ in range(300)]
    tokens = np.array([t for text in texts for t in text], np.uint32)
    offsets = np.cumsum([0, *map(len, texts)])
    found = has_period(tokens, offsets, 1, 5, 4, aligned)
    assert found.tolist() == [periodic(text, 1, 5, 4, aligned) for text in texts]
    assert 0 < found.sum() < len(texts)
