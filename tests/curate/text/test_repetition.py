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


def size(elements):
    return sum(len(element.encode()) for element in elements)


def recurring(elements):
    if not elements:
        return [1.0, 1.0]
    counts = Counter(elements)
    repeated = [e for e in elements if counts[e] > 1]
    return [len(repeated) / len(elements), size(repeated) / size(elements)]


def reference(text):
    words = [w for w in BOUNDARY.split(text) if regex.search(r"[\p{Alphabetic}\p{N}]", w)]
    total = max(size(words), 1)
    shares = recurring([line for line in text.split("\n") if line])
    shares += recurring([p for p in text.split("\n\n") if p])
    for n in range(2, 11):
        grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
        counts = Counter(grams)
        chosen = [g for g, number in counts.items() if number > 1]
        if n < 5:
            # Of equals `max` takes the first.
            chosen = chosen and [max(chosen, key=lambda g: (counts[g], size(g)))]
        covered = {i + k for i, g in enumerate(grams) if g in chosen for k in range(n)}
        shares.append(size(words[i] for i in covered) / total)
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
        yield choose.choice(["\n", "\n\n", "\n\n\n", " \n"]).join(lines)


@pytest.mark.parametrize("seed", range(4))
def test_shares_are_those_of_plain_python(seed):
    texts = list(texts_of(seed))
    shares = gopher_shares(strings_of(pa.array(texts, pa.large_string())))
    assert shares.shape == (len(texts), len(SHARES)) == (len(texts), len(GOPHER_LIMITS))
    np.testing.assert_array_equal(shares, np.float32([reference(text) for text in texts]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [1, 1, 1, 1]),
        ("\n\n\n\n", [1, 1, 1, 1]),
        ("\n", [1, 1, 0, 0]),
        ("aé", [0, 0, 0, 0]),
        ("\n\n\n", [1, 1, 0, 0]),
        # The first place counts, bytes do, and lines of nothing but blanks.
        ("é\na\né", [2 / 3, 4 / 5, 0, 0]),
        (" \n \nab", [2 / 3, 2 / 4, 0, 0]),
        # Two newlines divide, from the left: "a", "\nb", "a", "b\n".
        ("a\n\n\nb\n\na\n\nb\n", [1, 1, 1 / 2, 2 / 6]),
    ],
)
def test_shares_of_planted_lines_and_paragraphs(text, expected):
    shares = gopher_shares(strings_of(pa.array([text], pa.large_string())))
    np.testing.assert_array_equal(shares[0, :4], np.float32(expected))


def test_overlapping_places_count_once():
    shares = gopher_shares(strings_of(pa.array(["x x x x yyyyyy"])))
    assert shares[0, 4:8].tolist() == np.float32([0.4, 0.4, 0.0, 0.0]).tolist()


def test_the_limits_are_those_of_gopher():
    expected = [0.3, 0.2, 0.3, 0.2, 0.20, 0.18, 0.16, 0.15, 0.14, 0.13, 0.12, 0.11, 0.10]
    assert GOPHER_LIMITS.tolist() == np.float32(expected).tolist()


def test_a_long_text_is_measured_like_a_short_one(monkeypatch):
    texts = list(texts_of(9))
    monkeypatch.setattr(repetition, "_LONG", 1)
    shares = gopher_shares(strings_of(pa.array(texts, pa.large_string())))
    np.testing.assert_array_equal(shares, np.float32([reference(text) for text in texts]))


def test_looking_stops_at_the_first_limit_that_is_passed():
    shares = gopher_shares(strings_of(pa.array(["a\na\nb c d e f g"])), GOPHER_LIMITS)
    assert shares[0, 0] == pytest.approx(2 / 3)
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
